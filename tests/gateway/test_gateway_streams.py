"""Streams into pods through the gateway, with a kubectl that speaks SPDY and one that speaks WebSocket."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import any_cluster
import pytest
from gateway_stage import BUNDLED, Stage, running_stage

SPEAKERS = {"1.30": "SPDY", "1.33": "WebSocket"}
POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "shop"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "busybox", "command": ["sleep", "600"]}],
    },
}
MAY_STREAM: tuple[dict[str, Any], dict[str, Any]] = (
    {
        "kind": "Role",
        "metadata": {"name": "streams", "namespace": "shop"},
        "rules": [
            {"apiGroups": [""], "resources": ["pods/exec", "pods/portforward"], "verbs": ["get", "create"]}
        ],
    },
    {
        "kind": "RoleBinding",
        "metadata": {"name": "streams", "namespace": "shop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "streams"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "automation", "name": "automation"}],
    },
)


def kubectl(minor: str) -> str:
    path = BUNDLED / f"kubectl.{minor}"
    if not path.exists():
        pytest.skip(f"kubectl {minor} is not installed")
    return str(path)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """The gateway before a cluster that runs pods; in shadow."""
    async with running_stage(tmp_path, source=any_cluster.localkube) as stage:
        for obj in (*MAY_STREAM, POD):
            await stage.kube.create(obj.get("kind", "Pod"), obj)
        async for event in stage.kube.watch("pods", "shop", timeout_seconds=60):
            if (event["object"].get("status") or {}).get("phase") == "Running":
                break
        yield stage


@pytest.mark.slow
@any_cluster.own_cluster_only
async def test_no_stream_passes_in_shadow_and_every_one_in_live(stage: Stage, tmp_path: Path) -> None:
    command = f"echo out; echo in >> {tmp_path}/done; cat; exit 3"
    arguments = ("exec", "-i", "p", "--", "sh", "-c", command)
    for minor in SPEAKERS:
        code, said = await stage.kubectl(kubectl(minor), *arguments, stdin="typed")
        assert code == 1
        assert "exec has no dry run" in said
    assert not (tmp_path / "done").exists()
    refused = [record for record in _execs(stage) if record["decision"] == "refused"]
    assert len(refused) >= len(SPEAKERS)
    await stage.control(mode="live")
    for minor in SPEAKERS:
        code, said = await stage.kubectl(kubectl(minor), *arguments, stdin="typed")
        assert (code, said) == (3, "out\ntypedcommand terminated with exit code 3\n")
    assert (tmp_path / "done").read_text() == "in\n" * len(SPEAKERS)
    allowed = [record for record in _execs(stage) if record["decision"] == "allowed"]
    assert [record["code"] for record in allowed] == [101] * len(SPEAKERS)


@pytest.mark.slow
@any_cluster.own_cluster_only
@pytest.mark.parametrize("minor", SPEAKERS)
async def test_the_kill_switch_cuts_a_terminal(stage: Stage, minor: str) -> None:
    await stage.control(mode="live")
    script = "echo $$; exec sleep 500"
    process = await asyncio.create_subprocess_exec(
        kubectl(minor),
        *("exec", "p", "--", "sh", "-c", script),
        env={"KUBECONFIG": str(stage.kubeconfig), "HOME": str(stage.kubeconfig.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        command = int(await process.stdout.readline())
        await stage.control(killSwitch="on", by="ann", reason="too fast")
        assert await process.wait() != 0
        while Path(f"/proc/{command}/stat").exists():
            await asyncio.sleep(0.05)
    cut = _execs(stage)[-1]
    assert (cut["decision"], cut["reason"][:18]) == ("refused", "the stream was cut")


def _execs(stage: Stage) -> list[dict[str, Any]]:
    return [record for record in stage.gateway.book.read(0, 1000) if record["subresource"] == "exec"]
