"""The benchmark: what it says about figures, and that each part runs against a real server."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from tests.bench_kube.__main__ import PARTS, ratios
from tests.bench_kube.figures import Size, medians, times
from tests.bench_kube.target import own_localkube, wait_until
from tests.bench_kube.verdict import judge

TINY = Size(
    requests=5,
    lists=1,
    writers=2,
    writes=3,
    replicas=3,
    pods=10,
    config_maps=10,
    singles=1,
    together=2,
    running=5,
)


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert medians([{"a": 1, "b": 9}, {"a": 5}, {"a": 2}]) == {"a": 2, "b": 9}


def test_a_hundred_values_have_a_percentile_and_fewer_a_longest() -> None:
    assert times("get", [number / 1000 for number in range(1, 201)]) == {
        "get, p50 ms": 100.5,
        "get, p99 ms": 198,
    }
    assert times("get", [0.002, 0.001, 0.009]) == {"get, p50 ms": 2, "get, max ms": 9}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("memory when idle, MiB", 79, "met: at most 80"),
        ("memory when idle, MiB", 81, "MISSED: at most 80"),
        ("pods running at last", 199, "MISSED: at least 200"),
        ("cpu probe before writers, ms", 20, ""),
    ],
)
def test_a_figure_is_held_against_its_bound(name: str, value: float, said: str) -> None:
    assert [row.said for row in judge({name: value}, {}, {})] == [said]


@pytest.mark.parametrize(
    ("name", "ratio", "word"),
    [
        ("create a pod, thin client, p50 ms", 0.5, "met"),
        ("create a pod, thin client, p50 ms", 1.1, "MISSED"),
        ("8 writers, pods a second, thin client", 1.1, "met"),
        ("8 writers, pods a second, thin client", 0.9, "MISSED"),
    ],
)
def test_a_figure_is_held_against_the_other_server(name: str, ratio: float, word: str) -> None:
    (row,) = judge({name: ratio}, {name: 1.0}, {name: ratio})
    assert row.said.startswith(word)
    assert row.ratio == ratio


def test_a_quick_run_is_not_judged() -> None:
    assert judge({"memory when idle, MiB": 500}, {}, {}, quick=True)[0].said == ""


def test_a_ratio_is_of_one_round() -> None:
    mine, others = [{"a": 2.0}, {"a": 30.0}, {"a": 4.0}], [{"a": 1.0}, {"a": 10.0}, {"a": 4.0}]
    assert ratios(mine, others) == {"a": 2.0}


@pytest.mark.slow
def test_every_part_runs_and_leaves_nothing() -> None:
    with own_localkube() as target:
        for name, part in PARTS.items():
            with target.namespace() as namespace:
                assert all(value >= 0 for value in part(target, namespace, TINY).values()), name
        with target.thin() as client:
            assert b"bench-kube-" not in client.ask("GET", "/api/v1/namespaces")


@pytest.mark.slow
def test_a_benchmark_that_is_ended_takes_its_localkube_along() -> None:
    bench = subprocess.Popen(
        [sys.executable, "-m", "tests.bench_kube", "requests"], stdout=subprocess.DEVNULL
    )
    try:
        root = psutil.Process(bench.pid)
        wait_until(root.children, 60, "its localkube")
        started = root.children(recursive=True)
    finally:
        bench.send_signal(signal.SIGTERM)
    assert bench.wait(60) == 128 + signal.SIGTERM
    assert psutil.wait_procs(started, timeout=30)[1] == []
