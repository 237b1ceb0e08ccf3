"""kubectl attach and run -it: what a container says from then on, and what it is told."""

from __future__ import annotations

import subprocess
import uuid
from typing import Any

import pytest
from streams_bench import (
    SHELL,
    Kubectls,
    Terminal,
    either_kubectl,
    every_kubectl,
    kubectl,
    lives,
    make_pod,
    wait_until,
)

from lab.kube.client import KubeClient

__all__ = ["kubectl"]

ATTACH = pytest.mark.conforms(client="kubectl", verb="attach")
INPUT = pytest.mark.conforms(client="kubectl", verb="attach -i")
TERMINAL = pytest.mark.conforms(client="kubectl", verb="attach -it")
RUN = pytest.mark.conforms(client="kubectl", verb="run -it --rm")


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {**SHELL, "command": ["sh", "-c", script], **more}


@ATTACH
@every_kubectl
@pytest.mark.slow
async def test_output_comes_from_the_moment_of_attaching(
    kubectl: Kubectls, kube: KubeClient, namespace: str, minor: str
) -> None:
    script = 'echo before; i=0; while :; do i=$((i+1)); printf "part$i,"; echo err$i, >&2; sleep 0.2; done'
    name = await make_pod(kube, namespace, "talks", shell(script))
    wait_until(lambda: kubectl(minor).ok("logs", name).startswith("before\n"), "it has begun")
    pipe = subprocess.PIPE
    with kubectl(minor).start("attach", name, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        out = process.stdout.read(30)  # without waiting for the end of a line
        err = b""
        while b"err" not in err:
            err += process.stderr.readline()
        process.kill()
        process.communicate()
    assert out.startswith(b"part")
    assert b"before" not in out
    assert b"err" not in out


@ATTACH
@INPUT
@every_kubectl
@pytest.mark.slow
async def test_input_is_given_and_ended_once(
    kubectl: Kubectls, kube: KubeClient, namespace: str, minor: str
) -> None:
    """stdinOnce: the first client's end of input is the container's."""
    once = shell("cat; echo over; sleep 0.3; exit 5", stdin=True, stdinOnce=True)
    name = await make_pod(kube, namespace, "once", once, restartPolicy="Never")
    text = "".join(f"line {number}\n" for number in range(2000)).encode()
    done = kubectl(minor).run("attach", "-i", name, stdin=text)
    assert (done.returncode, done.stdout) == (0, text + b"over\n")
    reason = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    wait_until(lambda: kubectl(minor).ok("get", "pod", name, "-o", reason) == "5", "it ends")
    done = kubectl(minor).run("attach", name)
    assert done.returncode == 1
    assert b"completed pod; current phase is Failed" in done.stderr


@INPUT
@every_kubectl
@pytest.mark.slow
async def test_input_goes_on_with_the_next_client(
    kubectl: Kubectls, kube: KubeClient, namespace: str, minor: str
) -> None:
    script = "while read line; do echo got $line; done; echo never"
    name = await make_pod(kube, namespace, "reads", shell(script, stdin=True))
    for word in ("one", "two"):
        assert kubectl(minor).run("attach", "-i", name, stdin=f"{word}\n".encode()).returncode == 0
        wait_until(lambda: f"got {word}\n" in kubectl(minor).ok("logs", name), f"it reads {word}")  # noqa: B023
    assert "never" not in kubectl(minor).ok("logs", name)


@TERMINAL
@every_kubectl
@pytest.mark.slow
async def test_a_container_at_a_terminal(
    kubectl: Kubectls, kube: KubeClient, namespace: str, minor: str
) -> None:
    name = await make_pod(kube, namespace, "sh", {**SHELL, "command": ["sh"], "tty": True, "stdin": True})
    with Terminal(kubectl(minor), "attach", "-it", name) as terminal:
        terminal.type("echo fir''st $TERM\r")
        terminal.until("first xterm\r\n")
        terminal.type("while [ \"$(stty size)\" != '40 100' ]; do sleep 0.05; done; echo re''sized\r")
        terminal.resize(40, 100)
        terminal.until("resized\r\n")
    with Terminal(kubectl(minor), "attach", "-it", name) as terminal:
        terminal.type("echo sec''ond; sleep 3600\r")
        terminal.until("second\r\n")
        terminal.type("\x03")
        terminal.type("exit 3\r")
        code, rest = terminal.end()
    assert (code, "Session ended, resume using" in rest) == (0, True)
    restarts = "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}"
    wait_until(lambda: kubectl(minor).ok("get", "pod", name, "-o", restarts) == "3", "the shell ends")
    assert "first xterm" in kubectl(minor).ok("logs", name, "--previous")


@RUN
@every_kubectl
@pytest.mark.slow
def test_run_with_a_terminal(kubectl: Kubectls, minor: str) -> None:
    name = f"run-{uuid.uuid4().hex[:6]}"
    run = ["run", name, "-it", "--rm", "--restart=Never", "--image=busybox", "--quiet"]
    script = "while read word && [ $word != bye ]; do echo got $word; done; stty size; exit 6"
    with Terminal(kubectl(minor), *run, "--", "sh", "-c", script) as terminal:
        terminal.type("hello\r")
        terminal.until("got hello\r\n")
        terminal.type("bye\r")
        code, rest = terminal.end()
    assert (code, "31 77\r\n" in rest) == (6, True)
    assert kubectl(minor).run("get", "pod", name).returncode == 1


@RUN
@every_kubectl
@pytest.mark.slow
def test_run_with_a_pipe(kubectl: Kubectls, minor: str) -> None:
    name = f"run-{uuid.uuid4().hex[:6]}"
    run = ["run", name, "-i", "--rm", "--restart=Never", "--image=busybox", "--quiet"]
    done = kubectl(minor).run(*run, "--", "sh", "-c", "cat; exit 4", stdin=b"through\n")
    assert done.returncode == 4, done.stderr
    assert done.stdout.startswith(b"through\n")


@ATTACH
@pytest.mark.slow
@either_kubectl
async def test_a_container_never_waits_for_a_client(
    kubectl: Kubectls, kube: KubeClient, namespace: str, minor: str
) -> None:
    """A client that does not read is let go, and the container goes on."""
    script = "sleep 1; i=0; while [ $i -lt 40 ]; do i=$((i+1)); head -c 1000000 /dev/zero; done; echo through"
    pod = shell(f"{script}; sleep 3600")
    name = await make_pod(kube, namespace, "much", pod)
    with kubectl(minor).start("attach", name, stdout=subprocess.PIPE) as process:
        wait_until(lambda: kubectl(minor).ok("logs", name, "--tail=1").endswith("through\n"), "all is said")
        assert lives(process.pid)
        process.kill()
