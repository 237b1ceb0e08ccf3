"""The runner with real programs: contract, restarts, the whole tree's end, hostile output."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest

Run = Callable[..., Any]

REPORT = """\
import json, os, sys, pathlib
pathlib.Path("note").write_text("the copy is writable")
said = {"env": dict(os.environ), "argv": sys.argv[1:], "cwd": os.getcwd(), "stdin": sys.stdin.read()}
print(json.dumps(said))
import time
time.sleep(600)
"""
CONTRACT = {
    "PATH",
    "HOME",
    "LANG",
    "KUBECONFIG",
    "PROMETHEUS_URL",
    "PAGER_URL",
    "TEXTFILE_DIR",
    "TMPDIR",
    "LAB_HOUR_SECONDS",
}


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def commands() -> list[str]:
    """The command lines of this process's descendants that have not ended."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a zombie is none either
            found.append(" ".join(process.cmdline()))
    return found


def pids_in(log: str) -> list[int]:
    return [int(line.split()[1]) for line in log.splitlines() if line.startswith("PID ")]


def test_program_sees_only_the_contract(run: Run) -> None:
    runner = run({"main.py": REPORT}, extra="args: [--flag, 1]\nenv: {LIMIT: 3}\n")
    runner.until(lambda: '"env"' in runner.log())
    said = json.loads(next(line for line in runner.log().splitlines() if line.startswith("{")))
    assert set(said["env"]) - {"LC_CTYPE"} == CONTRACT | {"LIMIT"}
    assert said["env"]["KUBECONFIG"] == "/credentials/kubeconfig"
    assert said["argv"] == ["--flag", "1"]
    assert said["cwd"].startswith(str(runner.scratch))
    assert said["stdin"] == ""
    assert runner.stop() == 0
    assert "[runner] stopped" in runner.log()


def test_metrics_of_the_program_and_of_the_runner(run: Run) -> None:
    program = """\
import os, pathlib, time
folder = pathlib.Path(os.environ["TEXTFILE_DIR"])
(folder / "a.prom").write_text("# TYPE toil_auto_success_rate gauge\\ntoil_auto_success_rate 0.5\\n")
(folder / "b.prom").write_text("garbage {\\n")
time.sleep(600)
"""
    runner = run({"main.py": program})
    runner.until(lambda: "toil_auto_success_rate 0.5" in runner.metrics())
    runner.until(lambda: "toil_automation_textfile_errors 1" in runner.metrics())
    assert "toil_automation_up 1" in runner.metrics()
    assert runner.log().count("'b.prom' is left out") == 1
    assert runner.stop() == 0


def test_crashing_program_is_restarted_and_its_traceback_shown(run: Run) -> None:
    runner = run({"main.py": "import nothing_like_this\n"})
    runner.until(lambda: "toil_automation_restarts_total 2" in runner.metrics())
    assert "ModuleNotFoundError" in runner.log()
    assert "ended with exit code 1" in runner.log()
    assert runner.stop() == 0


def test_stop_ends_daemons_that_left_the_group(run: Run) -> None:
    program = """\
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = [sys.executable, "-c", deaf]
escaped = subprocess.Popen(child, start_new_session=True, stdout=subprocess.DEVNULL)
middle = os.fork()
if middle == 0:
    orphan = subprocess.Popen(child, start_new_session=True, stdout=subprocess.DEVNULL)
    print("PID", orphan.pid, flush=True)
    os._exit(0)
os.waitpid(middle, 0)
print("PID", escaped.pid, flush=True)
print("PID", os.getpid(), flush=True)
time.sleep(600)
"""
    runner = run({"main.py": program})
    runner.until(lambda: len(pids_in(runner.log())) == 3)
    pids = pids_in(runner.log())
    assert all(alive(pid) for pid in pids)
    assert runner.stop() == 0
    assert not any(alive(pid) for pid in pids)


def test_leftovers_end_before_the_next_start(run: Run) -> None:
    program = """\
import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("PID", left.pid, flush=True)
"""
    runner = run({"main.py": program})
    runner.until(lambda: len(pids_in(runner.log())) >= 2)
    assert not alive(pids_in(runner.log())[0])
    assert runner.stop() == 0


def test_fork_bomb_is_ended(run: Run) -> None:
    program = """\
import os, time
for _ in range(260):
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
time.sleep(600)
"""
    runner = run({"main.py": program})
    runner.until(lambda: "processes, at most 200 are allowed" in runner.log())
    assert runner.stop() == 0


def test_flood_and_binary_output_are_bounded(run: Run) -> None:
    program = """\
import os, sys, time
os.write(1, bytes(range(256)) + b"\\n" + b"y" * 100_000 + b"\\n")
for _ in range(200_000):
    print("flood")
os.write(1, b"the end\\n")
time.sleep(600)
"""
    runner = run({"main.py": program})
    runner.until(lambda: "lines of output dropped" in runner.log())
    assert "toil_automation_up 1" in runner.metrics()
    assert len(runner.log()) < 400_000
    assert "\\x01" in runner.log()
    assert runner.stop() == 0


def test_executable_of_any_language(run: Run) -> None:
    script = '#!/bin/sh\necho "shell says $1 $LAB_HOUR_SECONDS"\nexec sleep 600\n'
    runner = run({"go.sh": script}, runtime="executable", entrypoint="go.sh", extra="args: [hi]\n")
    runner.until(lambda: "shell says hi 60" in runner.log())
    assert runner.stop() == 0


def test_executable_that_cannot_start_is_said(run: Run) -> None:
    runner = run({"go": "not a program"}, runtime="executable", entrypoint="go")
    runner.until(lambda: "cannot start go: Exec format error" in runner.log())
    assert "toil_automation_up 0" in runner.metrics()
    assert runner.stop() == 0


def test_broken_workspace_ends_with_every_problem(run: Run) -> None:
    runner = run({"main.py": ""}, extra="every: never\nargs: 3\n")
    assert runner.process.wait(15) == 2
    assert "every must be" in runner.log()
    assert "args must be" in runner.log()


def test_playbook_runs_again_and_again(run: Run) -> None:
    pytest.importorskip("ansible_runner", reason="ansible-runner is not installed")
    playbook = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Say it
      ansible.builtin.debug:
        msg: "hour is {{ lookup('env', 'LAB_HOUR_SECONDS') }} {{ extra | default('') }}"
    - name: Count
      ansible.builtin.lineinfile:
        path: "{{ playbook_dir }}/count"
        line: "{{ lookup('pipe', 'date +%s%N') }}"
        create: true
        mode: "0600"
"""
    runner = run(
        {"site.yml": playbook},
        runtime="ansible",
        entrypoint="site.yml",
        extra="every: 0.2\nargs: [-e, extra=given]\n",
    )
    count = runner.scratch / "workspace/count"
    runner.until(lambda: count.exists() and len(count.read_text().splitlines()) >= 2, seconds=40)
    assert "hour is 60 given" in runner.log()
    assert runner.stop() == 0
    assert not any("ansible" in command for command in commands())
