"""kopf operators: what they watch, keep, run and say; two that know of each other; one that comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from localkube_process import Served

from lab.kube.client import KubeClient
from lab.kube.resources import Resource, builtin

pytest.importorskip("kopf")
CLIENT = "kopf"
WAIT = 60.0
"""Seconds: far more than anything here takes, also on a loaded machine."""
DEFINITIONS = builtin("CustomResourceDefinition")
PEERINGS = Resource("kopf.dev", "v1", "kopfpeerings", "KopfPeering")
OPERATOR = """
import asyncio

import kopf

GEARS = ("GROUP", "v1", "gears")


@kopf.on.startup()
def configure(settings, **_):
    settings.persistence.finalizer = "example.com/operator"
    settings.posting.level = 30
    settings.batching.idle_timeout = 0.1


@kopf.index("pods", labels={"gear": kopf.PRESENT})
def pods(labels, name, **_):
    return {labels["gear"]: name}


@kopf.on.create(*GEARS)
def made(name, namespace, spec, pods, patch, body, **_):
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-settings"}}
    kopf.adopt(child, owner=body)
    patch.status["pods"] = sorted(pods.get(name, []))
    kopf.event(body, type="Normal", reason="Made", message="as asked")
    return {"child": child["metadata"]["name"], "owner": child["metadata"]["ownerReferences"][0]["name"]}


@kopf.on.field(*GEARS, field="spec.teeth")
def teeth(old, new, patch, **_):
    patch.status["teeth"] = f"{old} to {new}"


@kopf.on.resume(*GEARS)
def resumed(patch, status, **_):
    patch.status["resumed"] = status.get("resumed", 0) + 1


@kopf.timer(*GEARS, interval=0.2)
def ticks(patch, status, **_):
    if status.get("ticks", 0) < 3:
        patch.status["ticks"] = status.get("ticks", 0) + 1


@kopf.daemon(*GEARS, cancellation_timeout=1)
async def guards(stopped, body, **_):
    kopf.event(body, type="Normal", reason="Guarded", message="day and night")
    while not stopped:
        await stopped.wait(10)


@kopf.on.delete(*GEARS)
def gone(body, **_):
    kopf.event(body, type="Warning", reason="Gone", message="all is cleared away")


@kopf.on.update("configmaps", labels={"watched": "yes"}, field="data.level")
def level(old, new, patch, **_):
    patch.metadata.annotations["example.com/level"] = f"{old} to {new}"


@kopf.on.event("deployments", labels={"watched": "yes"})
def seen(event, patch, meta, **_):
    if not meta.annotations.get("example.com/seen"):
        patch.metadata.annotations["example.com/seen"] = "yes"
"""
LEADER = """
import kopf


@kopf.on.create("configmaps", labels={"claimed": "by-one"})
def claim(patch, **_):
    patch.metadata.annotations["example.com/by"] = "NAME"
"""


def definition(group: str, plural: str, kind: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version: dict[str, Any] = {"name": "v1", "served": True, "storage": True, "schema": schema}
    if kind == "Gear":
        version["subresources"] = {"status": {}}
    names = {"plural": plural, "kind": kind}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": spec}


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> None:
    try:
        async with asyncio.timeout(WAIT):
            while not await condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(what) from None


async def define(kube: KubeClient, wanted: Mapping[str, Any]) -> None:
    """Create a definition and wait until it is served."""
    name = wanted["metadata"]["name"]
    await kube.create(DEFINITIONS, dict(wanted))

    async def established() -> bool:
        status = (await kube.get(DEFINITIONS, name)).get("status") or {}
        return any(
            each["type"] == "Established" and each["status"] == "True"
            for each in status.get("conditions", ())
        )

    await until(established, f"{name} is not served")


@pytest.fixture
async def gears(kube: KubeClient, namespace: str) -> AsyncIterator[Resource]:
    """A kind of the test's own."""
    group = f"{namespace}.example.com"
    await define(kube, definition(group, "gears", "Gear"))
    yield Resource(group, "v1", "gears", "Gear")
    await kube.delete(DEFINITIONS, f"gears.{group}")


@pytest.fixture
async def peerings(kube: KubeClient) -> AsyncIterator[Resource]:
    """The kind by which operators know of each other."""
    await define(kube, definition("kopf.dev", "kopfpeerings", "KopfPeering"))
    yield PEERINGS
    await kube.delete(DEFINITIONS, "kopfpeerings.kopf.dev")


def named(kind: Resource) -> dict[str, str]:
    """What an object of a custom kind has to say of itself."""
    return {"apiVersion": kind.api_version, "kind": kind.kind}


@contextmanager
def operator(program: Path, served: Served, namespace: str, *flags: str) -> Iterator[Path]:
    """A running one; its log. It must end well, and have nothing to complain of."""
    log = program.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "kopf", "run", "-n", namespace, *flags, str(program)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"KUBECONFIG": str(served.kubeconfig)},
        )
    try:
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(WAIT)
        finally:
            process.kill()
    said = log.read_text()
    assert code == 0, said
    assert "ERROR" not in said, said
    assert "Traceback" not in said, said


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="create, field, resume after a restart, delete; finalizers, status")
@pytest.mark.conforms(client=CLIENT, verb="timers, daemons, indexes, adoption, events")
@pytest.mark.conforms(client=CLIENT, verb="handlers of built-in kinds")
async def test_an_operator(
    cluster: Served, kube: KubeClient, namespace: str, gears: Resource, tmp_path: Path
) -> None:
    program = tmp_path / "operator.py"
    program.write_text(OPERATOR.replace("GROUP", gears.group))

    async def shows(resource: Resource, name: str, *path: str, value: Any) -> None:
        async def look() -> bool:
            found: Any = await kube.get(resource, name, namespace)
            for key in path:
                found = (found or {}).get(key)
            return bool(found == value)

        await until(look, f"{name}: {'.'.join(path)} is not {value}")

    container = {"name": "c", "image": "pause"}
    pod = {"metadata": {"name": "p", "labels": {"gear": "g"}}, "spec": {"containers": [container]}}
    await kube.create("pods", pod, namespace)
    maps, deployments = builtin("ConfigMap"), builtin("Deployment")
    watched = {"name": "watched", "labels": {"watched": "yes"}}
    with operator(program, cluster, namespace, "--standalone"):
        await kube.create(gears, named(gears) | {"metadata": {"name": "g"}, "spec": {"teeth": 7}}, namespace)
        await shows(gears, "g", "status", "made", value={"child": "g-settings", "owner": "g"})
        await shows(gears, "g", "status", "pods", value=["p"])
        await shows(gears, "g", "status", "ticks", value=3)
        await shows(gears, "g", "metadata", "finalizers", value=["example.com/operator"])
        await kube.patch(gears, "g", {"spec": {"teeth": 8}}, namespace)
        await shows(gears, "g", "status", "teeth", value="7 to 8")
        await kube.create(maps, {"metadata": watched, "data": {"level": "low"}}, namespace)
        await shows(maps, "watched", "data", "level", value="low")
        noted = "kopf.zalando.org/last-handled-configuration"

        async def known() -> bool:
            return noted in (
                (await kube.get(maps, "watched", namespace))["metadata"].get("annotations") or {}
            )

        await until(known, "the operator never took the ConfigMap in")
        await kube.patch(maps, "watched", {"data": {"level": "high"}}, namespace)
        await shows(maps, "watched", "metadata", "annotations", "example.com/level", value="low to high")
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
        spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
        await kube.create(deployments, {"metadata": watched, "spec": spec}, namespace)
        await shows(deployments, "watched", "metadata", "annotations", "example.com/seen", value="yes")
    resumed = (await kube.get(gears, "g", namespace))["status"].get("resumed", 0)
    with operator(program, cluster, namespace, "--standalone"):
        await shows(gears, "g", "status", "resumed", value=resumed + 1)
        await kube.delete(gears, "g", namespace)

        async def gone() -> bool:
            return not (await kube.list(gears, namespace))["items"]

        await until(gone, "the operator never let it go")

        async def told() -> bool:
            events = (await kube.list("events", namespace))["items"]
            return {"Made", "Guarded", "Gone"} <= {each["reason"] for each in events}

        await until(told, "the operator never told")


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="peering: the lesser of two pauses, and takes over")
async def test_two_operators(
    cluster: Served, kube: KubeClient, namespace: str, peerings: Resource, tmp_path: Path
) -> None:
    await kube.create(peerings, named(peerings) | {"metadata": {"name": "both"}}, namespace)
    programs = [tmp_path / f"{name}.py" for name in ("lesser", "greater")]
    for program in programs:
        program.write_text(LEADER.replace("NAME", program.stem))
    lesser, greater = programs

    async def present() -> int:
        return len((await kube.get(peerings, "both", namespace)).get("status") or {})

    async def claimed(name: str) -> str:
        await kube.create(
            "configmaps", {"metadata": {"name": name, "labels": {"claimed": "by-one"}}}, namespace
        )
        by = ""

        async def look() -> bool:
            nonlocal by
            annotations = (await kube.get("configmaps", name, namespace))["metadata"].get("annotations") or {}
            by = annotations.get("example.com/by", "")
            return bool(by)

        await until(look, f"nobody claimed {name}")
        return by

    async def pauses() -> bool:
        return "Pausing operations" in lesser.with_suffix(".log").read_text()

    async def alone() -> bool:
        return await present() == 1

    with operator(lesser, cluster, namespace, "--peering=both", "--priority=1"):
        await until(alone, "the first never joined")
        assert await claimed("a") == "lesser"
        with operator(greater, cluster, namespace, "--peering=both", "--priority=2"):
            await until(pauses, "the lesser never paused")
            assert await claimed("b") == "greater"
        await until(alone, "the second never left")
        assert await claimed("c") == "lesser"
    assert await present() == 0
