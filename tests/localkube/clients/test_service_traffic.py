"""Services over real pods: named ports, node ports, and what becomes of connections while pods go."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lab.kube.client import KubeClient

PROGRAM = """
import asyncio, os, signal
serving = set()
async def serve(reader, writer):
    serving.add(asyncio.current_task())
    try:
        while line := await reader.readline():
            writer.write(os.environ['HOSTNAME'].encode() + b' ' + line)
    finally:
        writer.close()
        serving.discard(asyncio.current_task())
async def main():
    server = await asyncio.start_server(serve, os.environ['POD_IP'], 8080)
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    await asked.wait()
    while serving: await asyncio.sleep(0.02)
asyncio.run(main())
"""


def pod(name: str) -> dict[str, Any]:
    """A server that tells its name, and when asked to end first serves those who are with it."""
    container = {
        "name": "main",
        "image": "toil-lab",
        "command": ["python", "-c", PROGRAM],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "lines", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": "lines"}, "periodSeconds": 1},
    }
    return {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [container]}}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Who is at the other end; nobody when the connection breaks."""
    try:
        writer.write(b"who\n")
        async with asyncio.timeout(20):
            return (await reader.readline()).decode().partition(" ")[0]
    except OSError:
        return ""


async def ask(address: str, port: int) -> str:
    """Who answers a new connection; nobody when none is accepted."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except OSError:
        return ""
    try:
        return await answer(reader, writer)
    finally:
        writer.close()


async def until_only(address: str, port: int, names: set[str]) -> None:
    """Wait until new connections are answered by all of these and nobody else."""
    async with asyncio.timeout(60):
        while {await ask(address, port) for _ in range(6)} != names:
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_connections_while_pods_come_and_go(kube: KubeClient, namespace: str) -> None:
    ports = [{"name": "lines", "port": 8000, "targetPort": "lines"}]
    spec = {"type": "NodePort", "selector": {"app": "web"}, "ports": ports}
    service = {"metadata": {"name": "web"}, "spec": spec}
    made = await kube.create("services", service, namespace)
    address, node_port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    assert await ask(address, 8000) == ""
    for name in ("one", "two"):
        await kube.create("pods", pod(name), namespace)
    await until_only(address, 8000, {"one", "two"})
    [node] = (await kube.list("nodes"))["items"]
    host = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    await until_only(host, node_port, {"one", "two"})
    reader, writer = await asyncio.open_connection(address, 8000)
    first = await answer(reader, writer)
    other = {"one": "two", "two": "one"}[first]
    await kube.delete("pods", first, namespace)
    await until_only(address, 8000, {other})
    assert await answer(reader, writer) == first, "it finishes what it began"
    slices = await kube.list("endpointslices", namespace)
    conditions = {
        endpoint["targetRef"]["name"]: endpoint["conditions"]
        for each in slices["items"]
        for endpoint in each["endpoints"]
    }
    assert conditions == {
        first: {"ready": False, "serving": True, "terminating": True},
        other: {"ready": True, "serving": True, "terminating": False},
    }, json.dumps(conditions)
    last_reader, last_writer = await asyncio.open_connection(address, 8000)
    assert await answer(last_reader, last_writer) == other
    await kube.delete("pods", other, namespace)
    await until_only(address, 8000, {first, other})
    for each in (writer, last_writer):
        each.close()
    await until_only(address, 8000, {""})
