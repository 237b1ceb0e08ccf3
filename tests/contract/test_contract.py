"""What every provider has to do: `make contract [PROVIDER=kubeconfig KUBECONFIG=/path]`.

Bring a lab up, keep the modes apart, break in every way of the catalogue and mend it, grade an exercise with
its reference and with mutants, take everything away. What a provider cannot do is skipped with its reason.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster_contents import everything
from e2e_bench import Bench, until

from lab.core.places import data_root
from lab.engine.lab import Lab, open_lab
from lab.faults.registry import FAULTS
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.objects import KubeObject
from lab.providers.base import Provider

pytestmark = pytest.mark.contract

EXERCISE = "stuck-workers"
READS = ("get", "list", "watch")
PARTS = ("--with", "logstore,database-ops", "--toil", "off", "--starts", "cheap")
LACKING = {"node-loss": ("node_loss", "a node of this cluster cannot lose its power")}
"""Faults that need what a provider may lack: the capability, and the reason for skipping."""
OF_SEVERAL_NODES = ("node-loss", "node-drain")


@pytest.fixture(scope="module")
def before(host: Path | None) -> set[str]:
    """What the cluster held before any lab came."""
    return everything(host) if host else set()


@pytest.fixture(scope="module")
def lab(bench: Bench, before: set[str]) -> Iterator[Bench]:
    """A running lab with all of its optional parts."""
    up = bench.lab("up", *PARTS)
    assert up.code == 0, up.err
    yield bench
    assert bench.lab("down").code == 0


@pytest.fixture(scope="module")
def automation(lab: Bench) -> str:
    """The reference solution, as a workspace."""
    source = data_root() / "exercises" / EXERCISE / "solutions" / "python"
    shutil.copytree(source, lab.folder / "workspace")
    return "workspace"


@contextmanager
def opened(lab: Bench) -> Iterator[Lab]:
    """The lab itself, for what no command says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(lab.home))
        found = open_lab("lab")
        try:
            yield found
        finally:
            found.close()


def parts(lab: Bench) -> dict[str, str]:
    return {part["part"]: part["ready"] for part in lab.lab("status", "--json").data["parts"] if part["ok"]}


def open_incidents(lab: Bench) -> int:
    return int(lab.lab("status", "--json").data["open_incidents"])


def decisions(lab: Bench) -> set[str]:
    """What the gateway has decided on the automation's mutations so far."""
    with opened(lab) as found:
        return {record.decision.value for record in found.gateway.audit() if record.verb not in READS}


def ends_of(lab: Bench, app: str) -> set[tuple[str, str]]:
    """Why containers of the shop have ended, and what is reported of their pods, with ids.
    A pod that is evicted and ends well in its last seconds may be `Succeeded`: only its event tells."""

    async def listed() -> tuple[list[KubeObject], list[KubeObject]]:
        async with KubeClient(load_kubeconfig(found.kubeconfig)) as kube:
            shop = found.namespaces.real("shop")
            pods = await kube.list("pods", shop, label_selector=f"app={app}")
            events = await kube.list("events", shop, field_selector="involvedObject.kind=Pod")
            return list(pods["items"]), list(events["items"])

    with opened(lab) as found:
        pods, events = asyncio.run(listed())
    ended = [
        kept.get("terminated") or {}
        for pod in pods
        for status in pod["status"].get("containerStatuses") or ()
        for kept in (status.get("state") or {}, status.get("lastState") or {})
    ]
    reported = [event for event in events if event["involvedObject"]["name"].startswith(f"{app}-")]
    found_ends = {(str(each.get("containerID")), str(each.get("reason"))) for each in ended}
    return found_ends | {(event["metadata"]["uid"], str(event.get("reason"))) for event in reported}


def test_every_part_comes_up(lab: Bench) -> None:
    found = parts(lab)
    assert found["shop/worker"] == "8/8"
    assert {
        "shop/logstore",
        "lab-system/gateway",
        "lab-system/pager",
        "lab-system/prometheus",
    } <= found.keys()


def test_shadow_changes_nothing_live_does_and_the_kill_switch_stops(lab: Bench, automation: str) -> None:
    ran = lab.lab("run", automation)
    assert ran.code == 0, ran.err
    assert lab.lab("break", "hung-workers").code == 0
    until(lambda: lab.lab("shadow-report", "--json").data["intents"], 120)
    assert decisions(lab) == {"shadowed"}
    assert lab.lab("kill-switch", "on", "--reason", "contract").code == 0
    ran = lab.lab("run", automation, "--mode", "live")
    assert ran.code == 0, ran.err
    assert lab.lab("break", "hung-workers").code == 0
    until(lambda: "refused" in decisions(lab), 120)
    assert "allowed" not in decisions(lab)
    assert lab.lab("kill-switch", "off", "--reason", "contract").code == 0
    assert lab.lab("break", "hung-workers").code == 0
    until(lambda: "allowed" in decisions(lab), 120)
    assert lab.lab("heal").code == 0
    until(lambda: open_incidents(lab) == 0, 120)


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_fault_bites_and_is_mended(lab: Bench, automation: str, provider: Provider, fault: str) -> None:
    if fault in LACKING and not getattr(provider.capabilities, LACKING[fault][0]):
        pytest.skip(LACKING[fault][1])
    broken = lab.lab("break", fault, "--for", "10m", "--json")
    if broken.code and fault in OF_SEVERAL_NODES:
        pytest.skip(str(json.loads(broken.out)["error"]["message"]))
    assert broken.code == 0, broken.out + broken.err
    assert {entry["state"] for entry in broken.data["entries"]} <= {"active", "undone"}
    assert lab.lab("heal").code == 0
    until(lambda: lab.lab("status", "--json").data["active_faults"] == 0)


def test_the_node_kills_for_memory_and_evicts_for_disk(lab: Bench, provider: Provider) -> None:
    if not provider.capabilities.memory_limits:
        pytest.skip("nothing kills a container over its memory limit here")
    fast = ("--set", "megabytesPerLabMinute=50", "--for", "10m")
    for fault, partition, end in (("memory-leak", "2", "OOMKilled"), ("disk-full", "5", "Evicted")):
        earlier = ends_of(lab, "worker")
        broken = lab.lab("break", fault, "--on", partition, *fast)
        assert broken.code == 0, broken.err
        until(
            lambda end=end, earlier=earlier: end in {why for _, why in ends_of(lab, "worker") - earlier}, 180
        )
    assert lab.lab("heal").code == 0


def test_it_is_well_after_all_faults(lab: Bench) -> None:
    until(lambda: parts(lab).get("shop/worker") == "8/8", 180)
    until(lambda: len(parts(lab)) >= 12, 180)


def test_nothing_is_left(lab: Bench, before: set[str], host: Path | None) -> None:
    assert lab.lab("down").code == 0
    assert lab.left() == []
    if host:
        until(lambda: everything(host) == before, 60)


@pytest.mark.parametrize("subject", ["python", "acts-twice", "claims-success"])
def test_an_exercise_is_graded_as_its_author_says(bench: Bench, subject: str) -> None:
    verified = bench.lab("exercise", "verify", EXERCISE, "--only", subject)
    assert verified.code == 0, verified.out + verified.err
