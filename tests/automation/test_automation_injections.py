"""What the fault injector may do to a running program: end, stop and falsify it, and fill its disk."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from lab.automation.filling import MOST_BYTES, Filler
from lab.core.clock import SystemClock
from lab.core.places import data_root
from lab.kube.quantity import parse_quantity
from lab.localkube.kubelet.disk import disk_usage

Run = Callable[..., Any]
MEBIBYTE = 1 << 20

TICKING = """\
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
file = pathlib.Path(os.environ["TEXTFILE_DIR"]) / "ticks.prom"
for number in range(100000):
    beside = file.with_suffix(".new")
    beside.write_text(f"# TYPE probe_ticks counter\\nprobe_ticks_total {number}\\n")
    beside.rename(file)
    time.sleep(0.02)
"""


def call(runner: Any, method: str, key: str, body: Any = None) -> dict[str, Any]:
    url = f"http://127.0.0.1:{runner.port}/injections/{key}"
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=3) as answer:
        return dict(json.loads(answer.read()))


def ticks(runner: Any) -> float:
    lines = [line for line in runner.metrics().splitlines() if line.startswith("probe_ticks_total ")]
    return float(lines[0].split()[1]) if lines else -1.0


def ticking(runner: Any) -> None:
    runner.until(lambda: ticks(runner) > 0)


def stopped(runner: Any) -> bool:
    tree = [process.status() for process in runner.tree()]
    return len(tree) >= 2 and set(tree) == {psutil.STATUS_STOPPED}


def test_a_kill_ends_the_whole_tree_once_and_the_runner_starts_it_again(run: Run) -> None:
    runner = run({"main.py": TICKING})
    ticking(runner)
    before = {process.pid for process in runner.tree()}
    assert call(runner, "POST", "k1", {"act": "kill"}) == {"active": False}
    runner.until(lambda: "toil_automation_restarts_total 1" in runner.metrics())
    runner.until(lambda: len(runner.tree()) >= 2 and not before & {p.pid for p in runner.tree()})
    again = {process.pid for process in runner.tree()}
    assert call(runner, "POST", "k1", {"act": "kill"}) == {"active": False}
    ticking(runner)
    assert again <= {process.pid for process in runner.tree()}
    assert "ended by signal 9" in runner.log()
    assert runner.stop() == 0


def test_a_pause_stops_the_tree_until_it_is_ended(run: Run) -> None:
    runner = run({"main.py": TICKING})
    ticking(runner)
    assert call(runner, "POST", "p1", {"act": "pause", "seconds": 600}) == {"active": True}
    runner.until(lambda: stopped(runner))
    at = ticks(runner)
    assert "toil_automation_up 1" in runner.metrics()
    assert ticks(runner) == at
    call(runner, "DELETE", "p1")
    runner.until(lambda: ticks(runner) > at)
    assert call(runner, "POST", "p1", {"act": "pause"}) == {"active": False}
    assert not stopped(runner)
    call(runner, "DELETE", "p2")
    assert call(runner, "POST", "p2", {"act": "pause"}) == {"active": False}
    assert runner.stop() == 0


def test_a_pause_ends_with_its_lease_and_never_outlives_the_runner(run: Run) -> None:
    runner = run({"main.py": TICKING})
    ticking(runner)
    call(runner, "POST", "p1", {"act": "pause", "seconds": 0.3})
    runner.until(lambda: not stopped(runner))
    at = ticks(runner)
    runner.until(lambda: ticks(runner) > at)
    call(runner, "POST", "p2", {"act": "pause"})
    runner.until(lambda: stopped(runner))
    tree = runner.tree()
    assert runner.stop() == 0
    assert not any(process.is_running() for process in tree)


def test_metrics_that_are_gone_or_old(run: Run) -> None:
    runner = run({"main.py": TICKING})
    ticking(runner)
    assert call(runner, "POST", "m1", {"act": "metrics-frozen"}) == {"active": True}
    at = ticks(runner)
    assert [ticks(runner) for _ in range(3)] == [at] * 3
    call(runner, "POST", "m2", {"act": "metrics-gone", "seconds": 60})
    with pytest.raises(urllib.error.HTTPError, match="503"):
        runner.metrics()
    call(runner, "DELETE", "m2")
    call(runner, "DELETE", "m1")
    runner.until(lambda: ticks(runner) > at)
    assert runner.stop() == 0


BODIES: list[Any] = [{}, [], {"act": "dance"}, {"act": "pause", "seconds": 0}, {"act": None}]


def test_what_is_no_injection_is_refused(run: Run) -> None:
    runner = run({"main.py": TICKING})
    ticking(runner)
    for body in BODIES:
        with pytest.raises(urllib.error.HTTPError, match="400"):
            call(runner, "POST", "k", body)


@pytest.mark.slow
def test_a_disk_fills_until_that_is_ended_or_its_time_is_over(run: Run) -> None:
    runner = run({"main.py": TICKING})
    ticking(runner)
    for _ in range(2):
        assert call(runner, "POST", "d1", {"act": "fill-disk"}) == {"active": True}
    runner.until(lambda: disk_usage(runner.scratch) > 5 * MEBIBYTE)
    at = ticks(runner)
    runner.until(lambda: ticks(runner) > at)
    call(runner, "DELETE", "d1")
    assert disk_usage(runner.scratch) < MEBIBYTE
    assert call(runner, "POST", "d1", {"act": "fill-disk"}) == {"active": False}
    brief = {"act": "fill-disk", "seconds": 0.2}
    assert call(runner, "POST", "d2", brief) == {"active": True}
    runner.until(lambda: call(runner, "POST", "d2", brief) == {"active": False})
    assert disk_usage(runner.scratch) < MEBIBYTE
    assert runner.stop() == 0


def test_a_filling_exceeds_the_limit_of_the_pod_and_does_not_outlive_a_runner(tmp_path: Path) -> None:
    manifests = yaml.safe_load_all((data_root() / "clusters" / "base" / "automation.yaml").read_text())
    deployment = next(each for each in manifests if each and each["kind"] == "Deployment")
    volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
    assert parse_quantity(volumes["scratch"]["emptyDir"]["sizeLimit"]) < MOST_BYTES
    (tmp_path / ".spill").write_bytes(b"left behind")
    (tmp_path / "state").write_text("the program's")
    Filler(tmp_path, SystemClock())
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
