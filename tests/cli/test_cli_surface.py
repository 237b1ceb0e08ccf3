"""The command line as a person or a script meets it: exit codes, envelopes, and what bad input says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(sys.executable).with_name("lab")


class Ran:
    """What a command left: exit code, product, narration."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def envelope(self) -> dict[str, object]:
        return dict(json.loads(self.out))


@pytest.fixture
def lab(tmp_path: Path):
    def run(*arguments: str, **environment: str) -> Ran:
        env = {**os.environ, "LAB_HOME": str(tmp_path / "home"), **environment}
        return Ran(
            subprocess.run(
                [LAB, *arguments],
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=env,
                timeout=60,
                check=False,
            )
        )

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nonsense",), 2, "No such command"),
        (("up", "--seed", "many"), 2, "--seed"),
        (("up", "--hour", "yesterday"), 2, "not a span of time"),
        (("up", "--hour", "1s"), 2, "too short"),
        (("up", "--toil", "sometimes"), 2, "recurring or off"),
        (("up", "--name", "../up"), 2, "cannot be a lab's name"),
        (("up", "--provider", "moon"), 2, "no provider"),
        (("status",), 3, "lab up"),
        (("env",), 3, "lab up"),
        (("logs", "nowhere"), 2, "there is no part"),
        (("kill-switch", "on"), 3, "lab up"),
        (("start", "stuck-worker"), 2, "stuck-workers"),
        (("run",), 2, "lab start"),
        (("grade", "no-such-exercise"), 2, "no-such-exercise"),
        (("report", "no-such-run"), 2, "no-such-run"),
    ],
)
def test_bad_input_names_the_thing_and_the_way_out(lab, arguments, code, says):
    ran = lab(*arguments)
    assert ran.code == code, ran.err
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_a_failure_in_json_is_one_envelope(lab):
    ran = lab("status", "--json")
    assert ran.code == 3
    envelope = ran.envelope()
    assert envelope["schema_version"] == 1
    assert envelope["command"] == "status"
    assert envelope["ok"] is False
    assert envelope["error"]["id"] == "NotReadyError"
    assert "lab up" in envelope["error"]["hint"]


def test_usage_errors_in_json_too(lab):
    ran = lab("up", "--seed", "many", "--json")
    assert ran.code == 2
    assert ran.envelope()["error"]["id"] == "UsageError"


def test_help_needs_no_lab_and_lists_the_commands(lab):
    ran = lab("--help")
    assert ran.code == 0
    for command in ("up", "down", "run", "grade", "report", "break", "heal", "kill-switch", "doctor"):
        assert f" {command} " in ran.out


def test_down_without_a_lab_is_done_at_once(lab):
    ran = lab("down", "--json")
    assert ran.code == 0
    assert ran.envelope()["data"] == {"removed": []}


def test_start_copies_once_and_never_overwrites(lab, tmp_path):
    assert lab("start", "stuck-workers").code == 0
    mine = tmp_path / "workspace" / "stuck-workers" / "automation.yaml"
    mine.write_text("mine")
    again = lab("start", "stuck-workers")
    assert again.code == 2
    assert "left as it is" in again.err
    assert mine.read_text() == "mine"


def test_a_read_only_home_is_named(lab, tmp_path):
    if os.geteuid() == 0:
        target = "/proc/nowhere"
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        target = str(tmp_path / "locked" / "home")
    ran = lab("up", LAB_HOME=target)
    assert ran.code == 3
    assert target in ran.err
    assert "LAB_HOME" in ran.err


def test_up_without_prometheus_says_at_once_how_to_get_it(lab, tmp_path):
    ran = lab("up", LAB_PROMETHEUS="", PATH="/nowhere", LAB_CACHE=str(tmp_path / "cache"))
    assert ran.code == 3
    assert "lab setup" in ran.err
    assert lab("status", "--all", "--json").envelope()["data"] == {"labs": []}


def test_doctor_lists_findings_and_its_exit_code_follows(lab):
    ran = lab("doctor", "--json", LAB_PROMETHEUS="/nowhere/prometheus", PATH="/nowhere", LAB_CACHE="/nowhere")
    data = ran.envelope()["data"]
    missing = {f["name"] for f in data["findings"] if f["required"] and not f["ok"]}
    assert "Prometheus" in missing
    assert data["ready"] is False
    assert ran.code == 3


def test_a_full_disk_behind_standard_output_is_named(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [LAB, "exercises"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False
        )
    assert done.returncode == 4
    assert "standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_output_in_a_closed_pipe_is_no_error(tmp_path):
    process = subprocess.Popen(
        [LAB, "exercises"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    assert process.returncode == 0
