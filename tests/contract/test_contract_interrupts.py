"""What every provider has to do when a command is cut short: nothing is left, or `lab down` takes it away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_contents import everything
from e2e_bench import Bench, until

pytestmark = pytest.mark.contract

UP = ("up", "--name", "cut", "--toil", "off", "--starts", "cheap")
DOWN = ("down", "--name", "cut")
GRADE = ("grade", "stuck-workers", "--solution", "python", "--group", "shadow")
GONE_SECONDS = 120.0


@pytest.fixture(autouse=True)
def nothing_stays(bench: Bench, host: Path | None) -> Iterator[None]:
    """After each test there is no folder, no process, and the cluster holds what it held."""
    before = everything(host) if host else set()
    yield
    assert bench.left() == []
    if host:
        until(lambda: everything(host) == before, GONE_SECONDS)


@pytest.mark.parametrize(
    ("after", "times"), [("Kubernetes API", 1), ("manifests", 3), ("[3/", 2), ("[8/", 1)]
)
def test_an_interrupted_up_leaves_nothing(bench: Bench, after: str, times: int) -> None:
    ran = bench.interrupt(signal.SIGINT, after, *UP, times=times)
    assert ran.code == 130, ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("after", ["manifests", "[3/"])
def test_down_removes_what_a_killed_up_has_made(bench: Bench, after: str) -> None:
    bench.interrupt(signal.SIGKILL, after, *UP)
    down = bench.lab(*DOWN)
    assert down.code == 0, down.err


def test_down_finishes_what_a_killed_down_has_begun(bench: Bench, host: Path | None) -> None:
    up = bench.lab(*UP)
    assert up.code == 0, up.err
    bench.interrupt(signal.SIGKILL, "taken out of the cluster" if host else "", *DOWN)
    if bench.left():
        down = bench.lab(*DOWN)
        assert down.code == 0, down.err


def test_an_interrupted_grade_takes_its_labs_along(bench: Bench) -> None:
    ran = bench.interrupt(signal.SIGINT, "starting the automation", *GRADE)
    assert ran.code == 130, ran.err
    assert "Traceback" not in ran.err
