"""Host processes: run to the end, start and end daemons, never hit somebody else's pid."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from lab.core import interrupt
from lab.errors import ProviderError
from lab.process import RunError, is_running, kill_sessions, process_started, run, start_daemon, terminate

WAIT = "import signal; signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
)
FAMILY = f"""
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", "{WAIT}"], start_new_session=True)
print("up", flush=True)
signal.pause()
"""


def test_run_returns_what_was_said_and_passes_input() -> None:
    done = run([sys.executable, "-c", "print(input()[::-1])"], timeout=10, input="abc\n")
    assert done.stdout == "cba\n"


def test_run_names_command_code_and_last_lines() -> None:
    with pytest.raises(RunError) as caught:
        run(
            [sys.executable, "-c", "import sys; print('why it failed', file=sys.stderr); sys.exit(3)"],
            timeout=10,
        )
    assert caught.value.returncode == 3
    assert "exit code 3" in caught.value.message
    assert "why it failed" in caught.value.message


def test_run_of_an_unknown_program_is_a_provider_error() -> None:
    with pytest.raises(ProviderError, match="cannot start"):
        run(["/nowhere/at-all"], timeout=1)


def test_a_late_command_is_killed() -> None:
    with pytest.raises(RunError, match=r"did not end within 0\.2 s") as caught:
        run([sys.executable, "-c", WAIT], timeout=0.2)
    assert caught.value.returncode is None


def test_arguments_are_not_shell_text(tmp_path: Path) -> None:
    done = run(
        [sys.executable, "-c", "import sys; print(sys.argv[1])", f"$(touch {tmp_path}/x); *"], timeout=10
    )
    assert done.stdout == f"$(touch {tmp_path}/x); *\n"
    assert list(tmp_path.iterdir()) == []


def _until_logged(log: Path, pid: int) -> None:
    process = psutil.Process(pid)
    for _ in range(500):
        if "up" in log.read_text():
            return
        try:
            process.wait(timeout=0.02)
        except psutil.TimeoutExpired:
            continue
    raise AssertionError(f"{pid} said nothing: {log.read_text()}")


def test_a_daemon_has_its_own_session_and_a_private_log(tmp_path: Path) -> None:
    log = tmp_path / "d" / "daemon.log"
    pid = start_daemon([sys.executable, "-c", "print('up', flush=True)\n" + WAIT], log=log)
    started = process_started(pid)
    _until_logged(log, pid)
    assert os.getsid(pid) == pid
    assert log.stat().st_mode & 0o777 == 0o600
    assert is_running(pid, started)
    assert terminate(pid, started, grace=5)
    assert not is_running(pid, started)


def test_a_reused_pid_is_not_ours(tmp_path: Path) -> None:
    assert not is_running(os.getpid(), process_started(os.getpid()) - 60)
    assert not terminate(os.getpid(), process_started(os.getpid()) - 60, grace=0)


def test_a_stubborn_daemon_is_killed_after_the_grace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pid = start_daemon([sys.executable, "-c", STUBBORN], log=log)
    started = process_started(pid)
    _until_logged(log, pid)
    assert terminate(pid, started, grace=0.2)
    assert not is_running(pid, started)


def test_children_in_other_sessions_end_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pid = start_daemon([sys.executable, "-c", FAMILY], log=log)
    started = process_started(pid)
    _until_logged(log, pid)
    children = psutil.Process(pid).children(recursive=True)
    assert children
    assert terminate(pid, started, grace=1)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def test_terminate_of_a_gone_process_says_so() -> None:
    pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", WAIT])
    started = process_started(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not terminate(pid, started, grace=0)
    with pytest.raises(ProviderError, match="does not exist"):
        process_started(pid)


ORPHAN = f"""
import os, subprocess, sys
left = subprocess.Popen([sys.executable, "-c", "{WAIT}"])
print("up", left.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_members_of_a_session_end_after_their_leader(tmp_path: Path) -> None:
    log = tmp_path / "log"
    leader = start_daemon([sys.executable, "-c", ORPHAN], log=log)
    os.waitpid(leader, 0)
    orphan = int(log.read_text().split()[1])
    assert psutil.pid_exists(orphan)
    assert kill_sessions([leader]) == 1
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
    assert kill_sessions([leader]) == 0


def test_a_zombie_that_nobody_takes_is_not_waited_for(tmp_path: Path) -> None:
    holder = (
        "import signal, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "signal.signal(signal.SIGTERM, lambda *_: child.kill())\n"
        "print('up', flush=True)\n"
        "while True: signal.pause()\n"
    )
    log = tmp_path / "log"
    pid = start_daemon([sys.executable, "-c", holder], log=log)
    started = process_started(pid)
    _until_logged(log, pid)
    assert terminate(pid, started, grace=0.3)
    assert not is_running(pid, started)


def test_an_interrupt_ends_a_tool_and_lets_it_clean_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    monkeypatch.setattr(interrupt, "check", lambda: _interrupted(started))
    script = f"trap 'touch {ended}; exit' TERM; touch {started}; sleep 60 & wait"
    with pytest.raises(KeyboardInterrupt):
        run(["bash", "-c", script], timeout=60)
    assert ended.exists()
    assert run(["echo", "cleaned up"], timeout=60, interruptible=False).stdout == "cleaned up\n"


def _interrupted(started: Path) -> None:
    if started.exists():
        raise KeyboardInterrupt
