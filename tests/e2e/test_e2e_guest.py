"""Whole labs as guests in somebody's cluster: side by side, reached by port-forward, gone without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_contents import everything
from e2e_bench import Bench, until
from localkube_process import Served, running

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

pytestmark = pytest.mark.slow
NAMESPACES = ("shop", "lab-system", "automation")


@pytest.fixture(scope="module")
def host() -> Iterator[Served]:
    """Somebody's cluster, in which pods run."""
    with running() as server:
        yield server


def status(bench: Bench, name: str) -> dict[str, Any]:
    found = bench.lab("status", "--name", name, "--json")
    assert found.code == 0, found.out
    return dict(found.data)


def images(host: Served, namespace: str) -> set[str]:
    """What the pods of a namespace run."""

    async def listed() -> list[dict[str, Any]]:
        async with KubeClient(load_kubeconfig(host.kubeconfig)) as kube:
            return list((await kube.list("pods", namespace))["items"])

    return {container["image"] for pod in asyncio.run(listed()) for container in pod["spec"]["containers"]}


def untouched(bench: Bench, name: str) -> bool:
    """No fault was ever injected, nobody engaged the kill switch, and every part is there. What its pager
    says is left out: on a busy machine a shop has incidents of its own."""
    found = status(bench, name)
    off = (found["active_faults"], found["kill_switch"]) == (0, "off")
    return off and all(part["ok"] for part in found["parts"])


def test_two_guests_do_not_see_each_other_and_leave_nothing(host: Served, bench: Bench) -> None:
    before = everything(host.kubeconfig)
    options = ("--provider", "kubeconfig", "--kubeconfig", str(host.kubeconfig), "--starts", "cheap")
    for name, registry in (("team-a", ""), ("team-b", "registry.example.com")):
        up = bench.lab("up", "--name", name, "--toil", "off", "--registry", registry, *options)
        assert up.code == 0, up.err
    assert images(host, "team-a-shop") == {"toil-lab", "docker.io/library/postgres:18.6"}
    mirrored = {"registry.example.com/toil-lab", "registry.example.com/library/postgres:18.6"}
    assert images(host, "team-b-shop") == mirrored
    there = everything(host.kubeconfig) - before
    assert {f"namespaces /{lab}-{name}" for lab in ("team-a", "team-b") for name in NAMESPACES} <= there
    assert all("team-a" in found or "team-b" in found for found in there), there

    assert bench.lab("break", "hung-workers", "--name", "team-a").code == 0
    until(lambda: status(bench, "team-a")["open_incidents"])
    assert bench.lab("kill-switch", "on", "--name", "team-a").code == 0
    assert status(bench, "team-a")["kill_switch"] == "on"
    until(lambda: untouched(bench, "team-b"))

    down = bench.lab("down", "--name", "team-a")
    assert down.code == 0, down.err
    assert "namespaces team-a-shop" in down.err
    assert "team-b" not in down.err
    until(lambda: untouched(bench, "team-b"))
    left = everything(host.kubeconfig) - before
    assert {found for found in there if "team-b" in found and "events" not in found} <= left

    assert bench.lab("down", "--name", "team-b").code == 0
    until(lambda: everything(host.kubeconfig) == before)
