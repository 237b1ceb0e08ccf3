"""kubectl exec: streams, exit codes, terminals, much data, many at once, clients that vanish."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from localkube_process import Served
from streams_bench import (
    SECONDS,
    Kubectls,
    Terminal,
    either_kubectl,
    every_kubectl,
    kubectl,
    lives,
    make_pod,
    memory,
    wait_until,
)

from lab.kube.client import KubeClient

__all__ = ["kubectl"]

EXEC = pytest.mark.conforms(client="kubectl", verb="exec")
STDIN = pytest.mark.conforms(client="kubectl", verb="exec -i")
TERMINAL = pytest.mark.conforms(client="kubectl", verb="exec -it")
slow = pytest.mark.slow
MUCH = 100 * 1024 * 1024
ROOM = 40 * 1024 * 1024
"""Bytes that localkube may weigh more after much has gone through it."""


@pytest.fixture
async def pod(kube: KubeClient, namespace: str) -> str:
    """A pod in which commands can run."""
    return await make_pod(kube, namespace, "p")


@EXEC
@STDIN
@pytest.mark.parametrize(
    "minor", ["1.30", "1.33", *(pytest.param(each, marks=slow) for each in ("1.31", "1.32"))]
)
def test_output_errors_input_and_exit_codes(kubectl: Kubectls, pod: str, minor: str) -> None:
    run = kubectl(minor).run
    done = run("exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, b"out\n")
    assert done.stderr == b"err\ncommand terminated with exit code 3\n"
    data = os.urandom(300_000)
    done = run("exec", "-i", pod, "--", "sh", "-c", "cat; exit 0", stdin=data)
    assert (done.returncode, done.stdout == data, done.stderr) == (0, True, b"")
    done = run("exec", "-i", pod, "--", "head", "-c", "5", stdin=data)
    assert (done.returncode, done.stdout) == (0, data[:5])


@EXEC
@every_kubectl
@pytest.mark.slow
def test_what_cannot_run_is_said(kubectl: Kubectls, pod: str, minor: str) -> None:
    run = kubectl(minor).run
    done = run("exec", pod, "--", "no-such-program")
    assert done.returncode != 0
    assert b"executable file not found in $PATH" in done.stderr
    done = run("exec", pod, "-c", "other", "--", "ls")
    assert (done.returncode, b"container other is not valid for pod p" in done.stderr) == (1, True)
    done = run("exec", "gone", "--", "ls")
    assert (done.returncode, b'pods "gone" not found' in done.stderr) == (1, True)
    done = run("exec", pod, "--", "sh", "-c", "kill -9 $$")
    assert done.returncode == 137


@TERMINAL
@every_kubectl
@pytest.mark.slow
def test_a_terminal_is_one(kubectl: Kubectls, pod: str, minor: str) -> None:
    with Terminal(kubectl(minor), "exec", "-it", pod, "--", "sh") as terminal:
        terminal.type("stty size; tty; echo $TERM\r")
        seen = terminal.until("xterm\r\n")
        assert "31 77\r\n/dev/pts/" in seen
        sleep = f"sleep {1_000_000 + os.getpid()}"
        terminal.type(f"{sleep}\r")
        wait_until(lambda: _processes(sleep), "sleep runs")
        terminal.type("\x03")
        terminal.until("^C")
        terminal.type("echo st''ill; echo err >&2\r")
        terminal.until("still\r\nerr\r\n")
        terminal.type("exit 7\r")
        code, rest = terminal.end()
    assert (code, "command terminated with exit code 7" in rest) == (7, True)


@TERMINAL
@every_kubectl
@pytest.mark.slow
def test_programs_hear_of_a_new_size(kubectl: Kubectls, pod: str, minor: str) -> None:
    script = "trap 'stty size; exit 9' WINCH; echo ready; while :; do sleep 0.05; done"
    with Terminal(kubectl(minor), "exec", "-it", pod, "--", "sh", "-c", script) as terminal:
        terminal.until("ready\r\n")
        terminal.resize(40, 100)
        terminal.until("40 100\r\n")
        assert terminal.end()[0] == 9


@TERMINAL
@either_kubectl
@pytest.mark.slow
def test_keys_end_a_program_at_a_terminal(kubectl: Kubectls, pod: str, minor: str) -> None:
    script = "print('on', flush=True)\nwhile True: input()"
    for key, why in (("\x03", "KeyboardInterrupt"), ("\x04", "EOFError")):
        with Terminal(kubectl(minor), "exec", "-it", pod, "--", "python3", "-c", script) as terminal:
            terminal.until("on\r\n")
            terminal.type(key)
            terminal.until(why)
            assert terminal.end()[0] in (1, 130)


@EXEC
@either_kubectl
@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "input", "terminal"])
def test_a_client_that_vanishes_ends_the_command(kubectl: Kubectls, pod: str, minor: str, how: str) -> None:
    flags = {"plain": [], "input": ["-i"], "terminal": ["-it"]}[how]
    arguments = ["exec", *flags, pod, "--", "sh", "-c", "echo pid=$$.; exec sleep 3600"]
    if how == "terminal":
        with Terminal(kubectl(minor), *arguments) as terminal:
            command = int(terminal.until(".").partition("pid=")[2].partition(".")[0])
            assert lives(command)
    else:
        pipe = subprocess.PIPE
        with kubectl(minor).start(*arguments, stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            command = int(process.stdout.readline().decode().removeprefix("pid=").removesuffix(".\n"))
            assert lives(command)
            process.send_signal(signal.SIGKILL)
    wait_until(lambda: not lives(command), "the command ends")


@EXEC
@either_kubectl
@pytest.mark.slow
def test_much_goes_through_in_little_memory(kubectl: Kubectls, cluster: Served, pod: str, minor: str) -> None:
    before = memory(cluster.process.pid)
    script = f"head -c {MUCH} /dev/zero"
    with kubectl(minor).start("exec", pod, "--", "sh", "-c", script, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        most, left = memory(cluster.process.pid), MUCH - len(first)
        while left and (data := process.stdout.read(min(left, 1 << 22))):
            left -= len(data)
            most = max(most, memory(cluster.process.pid))
    assert (left, process.returncode) == (0, 0)
    counting = ["exec", "-i", pod, "--", "sh", "-c", "sleep 0.5; wc -c"]
    pipe = subprocess.PIPE
    with kubectl(minor).start(*counting, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(MUCH >> 20):
            process.stdin.write(b"\0" * (1 << 20))
            most = max(most, memory(cluster.process.pid))
        process.stdin.close()
        assert int(process.stdout.read()) == MUCH
    assert most - before < ROOM


@EXEC
@pytest.mark.slow
@either_kubectl
def test_many_at_once(kubectl: Kubectls, pod: str, minor: str) -> None:
    run, pipe = kubectl(minor), subprocess.PIPE
    running = [
        run.start("exec", "-i", pod, "--", "cat", stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(12)
    ]
    for number, process in enumerate(running):
        out, err = process.communicate(f"number {number}".encode(), timeout=SECONDS)
        assert (process.returncode, out) == (0, f"number {number}".encode())
        # These clients read before they know their streams, and may lose the empty message that says: ready.
        assert all(line.endswith(b"Unknown stream id 1, discarding message") for line in err.splitlines())


def _processes(command: str) -> list[int]:
    words = command.encode().replace(b" ", b"\0") + b"\0"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes() == words:
                found.append(int(folder.name))
        except OSError:
            continue
    return found
