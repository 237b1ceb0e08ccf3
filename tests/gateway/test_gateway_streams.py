"""Streams into pods through the gateway, with a kubectl that speaks SPDY and one that speaks WebSocket."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import any_cluster
import pytest
from aiohttp import web
from gateway_stage import Stage, running_stage
from kubectls import kubectl_program

from lab.kube.takeover import take_over, taken

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
        code, said = await stage.kubectl(kubectl_program(minor), *arguments, stdin="typed")
        assert code == 1
        assert "exec has no dry run" in said
    assert not (tmp_path / "done").exists()
    refused = [record for record in _execs(stage) if record["decision"] == "refused"]
    assert len(refused) >= len(SPEAKERS)
    await stage.control(mode="live")
    for minor in SPEAKERS:
        code, said = await stage.kubectl(kubectl_program(minor), *arguments, stdin="typed")
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
        kubectl_program(minor),
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


EXEC = "/api/v1/namespaces/shop/pods/worker-1/exec"
SPDY = [
    ("Authorization", "Bearer secret-of-the-automation"),
    ("Connection", "Upgrade"),
    ("Upgrade", "SPDY/3.1"),
    ("X-Stream-Protocol-Version", "v4.channel.k8s.io"),
    ("X-Stream-Protocol-Version", "v3.channel.k8s.io"),
    ("Content-Length", "0"),
]


async def _upgrade(rig: Any) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask the gateway for a SPDY exec: the head of its answer, and the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    lines = "".join(f"{name}: {value}\r\n" for name, value in SPDY)
    writer.write(f"POST {EXEC}?command=ls HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    async with asyncio.timeout(30):
        return (await reader.readuntil(b"\r\n\r\n")).decode(), reader, writer


async def test_spdy_meets_the_wall_in_shadow_and_the_kill_switch(rig: Any) -> None:
    for control in ({"mode": "shadow"}, {"mode": "live", "killSwitch": "on"}, {"mode": "canary"}):
        rig.api.control = {"killSwitch": "off", "canaryPercent": "0", **control}
        head, _, writer = await _upgrade(rig)
        assert head.startswith("HTTP/1.1 403 ")
        writer.close()
    assert (rig.api.mutations, [seen for seen in rig.api.seen if seen.path == EXEC]) == ([], [])
    assert {record["decision"] for record in rig.records()} == {"refused"}


async def test_spdy_is_joined_in_live_and_speaks_for_the_actor(rig: Any) -> None:
    async def reverse(request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers.getall("X-Stream-Protocol-Version") == [
            "v4.channel.k8s.io",
            "v3.channel.k8s.io",
        ]
        assert request.headers["Impersonate-User"] == "system:serviceaccount:automation:automation"
        assert request.headers["Authorization"] == "Bearer of-the-gateway"
        headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), SPDY[3]]
        connection = take_over(request, headers)
        while data := await connection.read():
            await connection.write(data[::-1])
        await connection.close()
        return taken()

    rig.api.control = {"mode": "live", "killSwitch": "off"}
    rig.api.objects[EXEC] = reverse
    head, reader, writer = await _upgrade(rig)
    assert head.startswith("HTTP/1.1 101 ")
    assert "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n" in head
    sent = bytes(range(256)) * 8000
    async with asyncio.timeout(30):
        for block in (b"abc", b"\0\xff"):
            writer.write(block)
            assert await reader.readexactly(len(block)) == block[::-1]
        writer.write(sent)
        assert len(await reader.readexactly(len(sent))) == len(sent)
        writer.close()
        while len(rig.records()) < 1:
            await asyncio.sleep(0.01)
    assert [(record["decision"], record["code"]) for record in rig.records()] == [("allowed", 101)]


async def test_what_the_api_server_says_instead_of_switching_is_passed_on(rig: Any) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "reason": "Teapot", "message": "not today"}, status=418)

    rig.api.control = {"mode": "live", "killSwitch": "off"}
    rig.api.objects[EXEC] = refuse
    head, reader, writer = await _upgrade(rig)
    assert head.startswith("HTTP/1.1 418 ")
    async with asyncio.timeout(30):
        await reader.readuntil(b"not today")
    writer.close()


def _execs(stage: Stage) -> list[dict[str, Any]]:
    return [record for record in stage.gateway.book.read(0, 1000) if record["subresource"] == "exec"]
