"""Samples from a real Prometheus: the value, how old its data are, and what is no measurement at all."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from canary_stage import free_port, until

from lab.canary.analysis import Phase, judge
from lab.canary.measuring import PrometheusMeasure, freshness, in_real_time, selectors
from lab.core.canary import CanaryMetric
from lab.core.clock import SystemClock, TimeScale
from lab.providers.prometheus import installed_prometheus

SCALE = TimeScale(60)
AGED_SECONDS = 20


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('sum(rate(a_total{code=~"5..|x{3}"}[${5m}])) / a_total', ['a_total{code=~"5..|x{3}"}', "a_total"]),
        ('1 - sum by (le, pod) (rate(b{le="1.0"}[5m])) / on(x) group_left(y) c', ['b{le="1.0"}', "c"]),
        ("min(last_over_time(toil_auto_success_rate[3s]))", ["toil_auto_success_rate"]),
        ('{__name__="a:b", x!="}"} offset 5m', ['{__name__="a:b", x!="}"}']),
        ("histogram_quantile(0.99, sum(rate(d_bucket[1m:5s])) by (le)) > bool 3e5", ["d_bucket"]),
        ('label_replace(up, "a", "$1", "b", "(.*)") and x unless y or z @ 12', ["up", "x", "y", "z"]),
        ("vector(1)  # no_such_thing", []),
    ],
)
def test_the_selectors_of_a_query(query: str, found: list[str]):
    assert selectors(query) == found
    assert freshness(query) == [f"max(timestamp({selector}))" for selector in found]


def test_windows_follow_the_time_scale_and_are_never_shorter_than_five_scrapes():
    assert in_real_time("x[${5m}] y[${1h}] z[${30s}]", TimeScale(120)) == "x[10s] y[120s] z[5s]"


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[tuple[PrometheusMeasure, Any, Any]]:
    """A Prometheus, the runner of what it scrapes, and its process."""
    binary = installed_prometheus()
    if binary is None:
        pytest.skip("there is no Prometheus: lab setup fetches it")

    async def metrics(_: web.Request) -> web.Response:
        then = int((time.time() - AGED_SECONDS) * 1000)
        return web.Response(text=f'good 0.25\nbroken NaN\naged 1 {then}\nmany{{a="1"}} 1\nmany{{a="2"}} 2\n')

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    exporter = web.AppRunner(app)
    await exporter.setup()
    target, port = free_port(), free_port()
    await web.TCPSite(exporter, "127.0.0.1", target).start()
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f'scrape_configs: [{{job_name: x, static_configs: [{{targets: ["127.0.0.1:{target}"]}}]}}]\n'
    )
    process = await asyncio.create_subprocess_exec(
        str(binary),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    measure = PrometheusMeasure(f"http://127.0.0.1:{port}", SCALE)
    try:
        yield measure, exporter, process
    finally:
        await measure.close()
        await exporter.cleanup()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.mark.slow
async def test_a_sample_is_fresh_or_it_is_said_why_not(prometheus):
    measure, exporter, process = prometheus

    async def take(query: str, **more: Any):
        metric = CanaryMetric("m", query, success="result <= 100", max_data_age=5, **more)
        sample = await measure.sample(metric)
        return sample, judge(metric, sample, SystemClock().now(), SCALE)

    async def scraped() -> bool:
        return (await take("good"))[0].value == 0.25

    await until(scraped, "Prometheus scrapes")
    sample, verdict = await take("good * 2")
    assert (sample.value, verdict.phase) == (0.5, Phase.SUCCESSFUL)
    assert sample.age is not None
    assert sample.age < 5
    assert math.isnan((await take("broken"))[0].value)
    assert (await take("broken"))[1].phase is Phase.INCONCLUSIVE
    old, stale = await take("aged + good")
    assert old.age is not None
    assert AGED_SECONDS - 1 < old.age < AGED_SECONDS + 10
    assert stale.phase is Phase.INCONCLUSIVE
    assert "5 s is the limit" in stale.message
    assert (await take("no_such_metric"))[1].message == "there is no data"
    assert (await take("vector(1)"))[1].message == "how old the data are is not known"
    assert (await take("vector(1)", freshness="max(timestamp(good))"))[1].phase is Phase.SUCCESSFUL
    for query, says in (("many", "2 series; aggregate"), ("good[5s]", "matrix"), ("sum(", "400")):
        sample, verdict = await take(query)
        assert verdict.phase is Phase.ERROR, query
        assert says in sample.error

    await exporter.cleanup()  # a target that does not answer: its series end, and that is no success

    async def ended() -> bool:
        return (await take("good"))[1].phase is Phase.INCONCLUSIVE

    await until(ended, "the series has ended")
    process.terminate()
    await process.wait()
    sample, verdict = await take("good")
    assert verdict.phase is Phase.ERROR
    assert "127.0.0.1" in sample.error
