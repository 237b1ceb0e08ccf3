"""Commands that are killed by SIGKILL at any moment: the next one puts things right, or says how."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from e2e_bench import Bench, until

from lab.core.places import data_root
from lab.core.seed import stream

pytestmark = pytest.mark.slow
STARTER = str(data_root() / "exercises" / "stuck-workers" / "starter")
EXPERIMENT: dict[str, Any] = {
    "title": "A worker hangs for a while",
    "description": "It is rolled back.",
    "method": [
        {
            "type": "action",
            "name": "a worker hangs",
            "provider": {
                "type": "python",
                "module": "lab.experiments.activities",
                "func": "inject",
                "arguments": {"fault": "hung-workers", "seconds": 600},
            },
            "pauses": {"after": 60},
        }
    ],
    "rollbacks": [],
}


def killed(bench: Bench, after: float, *arguments: str) -> None:
    """Run a command for at most so many seconds; whatever it had come to then is the point."""
    process = bench.start(*arguments)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
    assert "Traceback" not in bench.end(process).err


def active(bench: Bench) -> list[str]:
    ran = bench.lab("faults", "--json")
    assert ran.code == 0, ran.err
    return [entry["fault"] for entry in ran.data["active"]]


def healed(bench: Bench) -> None:
    ran = bench.lab("heal")
    assert ran.code == 0, ran.err
    assert active(bench) == []


@pytest.mark.parametrize("after", ["Kubernetes API", "manifests"])
def test_down_removes_what_a_killed_up_left(bench: Bench, after: str):
    bench.interrupt(signal.SIGKILL, after, "up", "--name", "cut")
    status = bench.lab("status", "--name", "cut")
    assert status.code in (0, 3), status.err
    assert "Traceback" not in status.err
    if status.code and after == "Kubernetes API":
        assert "lab up starts" in status.err
    down = bench.lab("down", "--name", "cut")
    assert down.code == 0, down.err
    assert bench.left() == []


def test_up_makes_good_what_a_killed_up_and_a_killed_down_left(bench: Bench):
    bench.interrupt(signal.SIGKILL, "manifests", "up", "--name", "cut")
    up = bench.lab("up", "--name", "cut")
    assert up.code == 0, up.err
    until(lambda: bench.lab("status", "--name", "cut").code == 0)
    killed(bench, stream(3, "down").uniform(0.2, 1.5), "down", "--name", "cut")
    again = bench.lab("up", "--name", "cut")
    assert again.code == 0, again.err
    until(lambda: bench.lab("status", "--name", "cut").code == 0)
    killed(bench, stream(4, "down").uniform(0.2, 1.5), "down", "--name", "cut")
    assert bench.lab("down", "--name", "cut").code == 0
    assert bench.left() == []


def test_heal_and_run_put_right_what_killed_commands_began(bench: Bench, tmp_path: Path):
    chance = stream(5, "kills")
    assert bench.lab("up", "--toil", "off").code == 0
    for fault in ("hung-workers", "bad-config", "api-latency"):
        killed(bench, moment(chance), "break", fault)
    killed(bench, moment(chance), "heal")
    healed(bench)
    experiment = tmp_path / "experiment.json"
    experiment.write_text(json.dumps(EXPERIMENT))
    process = bench.start("experiment", str(experiment))
    until(lambda: active(bench) == ["hung-workers"])
    process.kill()
    bench.end(process)
    healed(bench)
    for _ in range(2):
        killed(bench, moment(chance) + 0.3, "run", STARTER, "--mode", "live")
    ran = bench.lab("run", STARTER, "--mode", "shadow")
    assert ran.code == 0, ran.err
    killed(bench, moment(chance), "stop")
    assert bench.lab("stop").code == 0
    status = until(lambda: (ran := bench.lab("status", "--json")).code == 0 and ran)
    assert status.data["mode"] == "shadow"
    assert status.data["active_faults"] == 0
    assert bench.lab("down").code == 0


def moment(chance: random.Random) -> float:
    """A command needs about half a second for itself before it does anything."""
    return chance.uniform(0.3, 1.2)
