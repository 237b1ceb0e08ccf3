"""kubectl logs of containers that go on talking, and of those that end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from streams_bench import SECONDS, SHELL, Kubectls, either_kubectl, every_kubectl, kubectl, make_pod

from lab.kube.client import KubeClient

__all__ = ["kubectl"]

FOLLOW = pytest.mark.conforms(client="kubectl", verb="logs -f")


@FOLLOW
@every_kubectl
@pytest.mark.slow
async def test_following_ends_with_the_container(
    kubectl: Kubectls, kube: KubeClient, namespace: str, minor: str, tmp_path: Path
) -> None:
    script = 'echo begin; while [ ! -e "$0" ]; do sleep 0.05; done; echo end >&2; printf "no newline"'
    container = {**SHELL, "command": ["sh", "-c", script, str(tmp_path / "go")]}
    name = await make_pod(kube, namespace, "talks", container, restartPolicy="Never")
    with kubectl(minor).start("logs", "-f", name, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begin\n"
        kubectl(minor).ok("exec", name, "--", "touch", str(tmp_path / "go"))
        rest = process.stdout.read()
        assert process.wait(SECONDS) == 0
    kubectl(minor).ok("wait", "pod", name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert sorted(rest.decode().split("\n")) == ["", "end", "no newline"]


@FOLLOW
@either_kubectl
@pytest.mark.slow
async def test_following_ends_with_the_pod(
    kubectl: Kubectls, kube: KubeClient, namespace: str, minor: str
) -> None:
    name = await make_pod(
        kube, namespace, "talks", {**SHELL, "command": ["sh", "-c", "echo on; exec sleep 3600"]}
    )
    with kubectl(minor).start("logs", "-f", name, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        kubectl(minor).ok("delete", "pod", name, "--now")
        assert (process.stdout.read(), process.wait(SECONDS)) == (b"", 0)
