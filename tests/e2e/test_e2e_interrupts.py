"""Interrupts, kills and doubles: each has a clear message, and nothing is left running."""

from __future__ import annotations

import os
import signal
import socket

import psutil
import pytest
from e2e_bench import Bench, Ran, until

from lab.core.places import data_root

pytestmark = pytest.mark.slow


STARTER = str(data_root() / "exercises" / "stuck-workers" / "starter")


def failed(ran: Ran) -> list[str]:
    """Ids of the checks that failed."""
    return [check["id"] for check in ran.data["checks"] if check["verdict"] == "fail"]


def ports_of(block: str) -> list[str]:
    """What listens on a lab's block of addresses."""
    return [
        f"{c.laddr.ip}:{c.laddr.port}"
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.ip.startswith(block)
    ]


def temporary() -> set[str]:
    return {name for name in os.listdir("/tmp") if name.startswith(("tmp", "automation-", "k8srcp-"))}


@pytest.mark.parametrize(
    ("number", "after"),
    [
        (signal.SIGINT, ""),
        (signal.SIGINT, "Kubernetes API"),
        (signal.SIGTERM, "manifests"),
        (signal.SIGHUP, "[2/"),
    ],
)
def test_an_interrupted_up_leaves_nothing(bench: Bench, number: signal.Signals, after: str):
    ran = bench.interrupt(number, after, "up", "--name", "cut")
    assert ran.code in ((130,) if after else (130, -number)), ran.err
    assert "Traceback" not in ran.err
    assert bench.left() == []


def test_an_impatient_user_interrupts_again_and_again(bench: Bench):
    ran = bench.interrupt(signal.SIGINT, "manifests", "up", "--name", "cut", times=5)
    assert ran.code == 130
    assert "Traceback" not in ran.err
    assert bench.left() == []


def test_an_interrupted_grade_takes_its_labs_along(bench: Bench):
    before = temporary()
    arguments = ("grade", "stuck-workers", "--solution", "python", "--serial")
    ran = bench.interrupt(signal.SIGINT, "starting the automation", *arguments)
    assert ran.code == 130
    assert "Traceback" not in ran.err
    assert bench.left() == []
    assert temporary() - before == set()


def test_a_grade_interrupted_while_it_collects_evidence_leaves_nothing(bench: Bench):
    before = temporary()
    arguments = ("grade", "stuck-workers", "--solution", "python", "--hour", "20s")
    ran = bench.interrupt(signal.SIGINT, "shadow: collecting evidence", *arguments)  # while others still run
    assert ran.code == 130, ran.err
    assert "Traceback" not in ran.err
    assert bench.left() == []
    assert bench.runs() == []
    assert temporary() - before == set()


def test_two_grades_at_once_get_their_own_verdicts(bench: Bench):
    right = bench.start("grade", "stuck-workers", "--solution", "python", "--group", "shadow", "--json")
    wrong = bench.start("grade", "stuck-workers", STARTER, "--group", "shadow", "--json")
    good, bad = bench.end(right), bench.end(wrong)
    assert good.code == 0, good.err
    assert bad.code == 1, bad.err
    assert failed(good) == []
    assert failed(bad) == ["shadow.named-nothing-else"]
    assert good.data["run"] != bad.data["run"]
    assert sorted(bench.runs()) == sorted((good.data["run"], bad.data["run"]))
    assert bench.left() == []


def test_labs_of_a_killed_grade_are_removed_by_the_next_command(bench: Bench):
    arguments = ("grade", "stuck-workers", "--solution", "python", "--serial")
    process = bench.start(*arguments)
    assert process.stderr is not None
    until(lambda: "starting the automation" in str(process.stderr.readline()))
    process.kill()
    bench.end(process)
    (row,) = bench.lab("status", "--all", "--json").data["labs"]
    assert row["state"] == "orphaned"
    assert bench.lab("down").code == 0
    assert bench.left() == []


def test_up_and_down_twice_and_at_once(bench: Bench):
    first, second = bench.start("up"), bench.start("up")
    ran = sorted((bench.end(first), bench.end(second)), key=lambda each: each.code)
    assert ran[0].code == 0, ran[0].err
    assert ran[1].code in (0, 3)
    if ran[1].code:
        assert "another command is bringing" in ran[1].err
    again = bench.lab("up")
    assert again.code == 0
    assert "is up already" in again.out
    other = bench.lab("up", "--seed", "7")
    assert other.code == 2
    assert "lab reset" in other.err
    first, second = bench.start("down"), bench.start("down")
    assert sorted((bench.end(first).code, bench.end(second).code))[0] == 0
    assert bench.left() == []


def test_a_killed_cluster_is_named_and_up_and_down_recover(bench: Bench):
    up = bench.lab("up", "--json")
    assert up.code == 0, up.err
    block = up.data["server"].removeprefix("https://").rpartition(".0.1:")[0]
    os.kill(bench.cluster_pid(), signal.SIGKILL)
    status = until(lambda: (ran := bench.lab("status")).code == 3 and ran)
    assert "lab up starts it anew" in status.err
    until(lambda: not bench.processes())
    assert ports_of(block + ".") == []
    again = bench.lab("up")
    assert again.code == 0, again.err
    os.kill(bench.cluster_pid(), signal.SIGKILL)
    assert bench.lab("down").code == 0
    assert bench.left() == []
    assert ports_of(block + ".") == []


def test_a_taken_port_moves_the_lab_to_another_block(bench: Bench):
    up = bench.lab("up", "--json")
    taken = up.data["server"].removeprefix("https://").partition(":")[0]
    assert bench.lab("down").code == 0
    with socket.socket() as occupied:
        occupied.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        occupied.bind((taken, 6443))
        occupied.listen()
        moved = bench.lab("up", "--json")
        assert moved.code == 0, moved.err
        assert taken not in moved.data["server"]
        assert bench.lab("down").code == 0


def test_an_interrupted_down_finishes_first(bench: Bench):
    assert bench.lab("up").code == 0
    process = bench.start("down")
    until(lambda: not (bench.home / "labs" / "lab" / "provider.json").exists() or process.poll() is not None)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    assert bench.end(process).code in (0, 130)
    assert bench.left() == []
