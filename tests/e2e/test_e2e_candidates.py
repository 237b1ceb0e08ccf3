"""Candidates that crash, flood, fork, hog and hide, in one running lab that has to stay healthy."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_bench import Bench, until

pytestmark = pytest.mark.slow

DAEMONS = """\
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(10):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 100)
        os.chdir("/")
        os.execve("/bin/sleep", ["candidate-daemon", "1000"], {})
print("hidden", flush=True)
while True:
    time.sleep(100)
"""
FORKS = """\
import os, time
for number in range(500):
    if os.fork() == 0:
        if number % 3 == 0:
            os.setsid()
        time.sleep(1000)
        os._exit(0)
time.sleep(1000)
"""
FLOOD = """\
import os
while True:
    os.write(1, b"y" * 65536)
"""
MEMORY = """\
import time
held = []
while True:
    held.append(b"x" * (64 << 20))
    time.sleep(0.05)
"""
METRICS = """\
import os, pathlib, time
folder = pathlib.Path(os.environ["TEXTFILE_DIR"])
(folder / "a.prom").write_text("toil_auto_success_rate 0.5\\n")
(folder / "bad.prom").write_bytes(bytes(range(256)))
(folder / "big.prom").write_text("".join(f"m{n} 1\\n" for n in range(300_000)))
os.mkfifo(folder / "pipe.prom")
print("written", flush=True)
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def running(bench: Bench) -> Bench:
    up = bench.lab("up", "--toil", "off")
    assert up.code == 0, up.err
    return bench


@pytest.fixture(autouse=True)
def others_stay_healthy(running: Bench):
    """Whatever a candidate does: no other part is restarted, and stop and status work."""
    yield
    stopped = running.lab("stop")
    assert stopped.code == 0, stopped.err
    status = running.lab("status", "--json")
    assert status.code == 0, status.out
    assert [part["part"] for part in status.data["parts"] if part["restarts"]] == []


def named(name: str) -> list[str]:
    """Processes of any parent that go by that name."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].decode(errors="replace") == name:
                found.append(folder.name)
    return found


def program_of(running: Bench) -> dict[str, object]:
    return dict(running.lab("status", "--json").data["program"] or {})


@pytest.mark.parametrize(
    ("name", "program", "says"),
    [("crash", "import no_such_module\n", "ModuleNotFoundError"), ("syntax", "def f(:\n", "SyntaxError")],
)
def test_a_program_that_ends_at_its_start_is_named_at_once(running, name, program, says):
    ran = running.lab("run", running.candidate(name, program), "--mode", "live")
    assert ran.code == 0
    assert "has ended already" in ran.out
    assert says in ran.err
    assert "lab logs automation" in ran.err
    status = running.lab("status")
    assert "of the program" in status.out


def test_hidden_daemons_that_ignore_sigterm_are_ended(running):
    assert running.lab("run", running.candidate("daemons", DAEMONS), "--mode", "live").code == 0
    until(lambda: len(named("candidate-daemon")) == 10)
    assert running.lab("stop").code == 0
    assert named("candidate-daemon") == []


def test_a_fork_bomb_is_bounded(running):
    assert running.lab("run", running.candidate("forks", FORKS), "--mode", "live").code == 0
    # the runner counts processes, the kubelet their memory: whichever is first ends all of them
    until(lambda: (state := program_of(running)) and state["restarts"] + state["pod_restarts"])
    assert running.lab("stop").code == 0
    assert [line for line in running.processes() if "forks" in line] == []


def test_a_flood_of_output_is_bounded(running):
    assert running.lab("run", running.candidate("flood", FLOOD), "--mode", "live").code == 0
    until(lambda: "yyy" in running.lab("logs", "automation").out)
    logs = list((running.home / "labs" / "lab" / "cluster" / "kubelet").glob("pods/*/logs/automation/*"))
    assert logs
    assert sum(path.stat().st_size for path in logs) < 64 * 1024 * 1024


def test_too_much_memory_is_an_oom_kill_that_status_shows(running):
    assert running.lab("run", running.candidate("memory", MEMORY), "--mode", "live").code == 0
    until(lambda: program_of(running).get("last_reason") == "OOMKilled")
    assert "OOMKilled" in running.lab("status").out


def test_broken_metrics_files_leave_the_good_one(running):
    assert running.lab("run", running.candidate("metrics", METRICS), "--mode", "live").code == 0
    log = until(
        lambda: (
            all(
                name in (text := running.lab("logs", "automation").out)
                for name in ("bad.prom", "big.prom", "pipe.prom")
            )
            and text
        )
    )
    assert "a.prom" not in log
    assert len(log.splitlines()) >= 4  # lines, not the repr of bytes


def test_binary_output_cannot_steer_the_terminal(running):
    program = "import os, time\nos.write(1, b'\\x1b]0;owned\\x07\\x00\\xff\\n')\ntime.sleep(1000)\n"
    assert running.lab("run", running.candidate("binary", program), "--mode", "live").code == 0
    text = until(lambda: "owned" in (said := running.lab("logs", "automation").out) and said)
    assert "\x1b" not in text
    assert "\x07" not in text
