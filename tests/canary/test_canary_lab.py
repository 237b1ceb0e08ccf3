"""A whole lab: an automation that breaks the shop as a canary drops to shadow, and the shop is as before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from lab.canary.merge import wanted
from lab.canary.status import CanaryPhase
from lab.catalog.canary import default_canary
from lab.core.audit import Mode
from lab.engine import bringup, canary
from lab.engine.clients import wait_until
from lab.engine.lab import Lab
from lab.engine.settings import LabSettings
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.providers.prometheus import installed_prometheus

MANIFEST = "apiVersion: toil-lab/v1\nkind: Automation\nname: tidier\nruntime: python\nentrypoint: main.py\n"
PROGRAM = """
import threading
from kubernetes import client
from lab.automation import sdk

apps = client.AppsV1Api(sdk.kube_client("", "tidying up"))
label = {"spec": {"template": {"metadata": {"annotations": {"tidied": "yes"}}}}}
while True:
    apps.patch_namespaced_deployment_scale("payments", "shop", {"spec": {"replicas": 0}})
    apps.patch_namespaced_deployment("worker", "shop", label)
    threading.Event().wait(2)
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    if installed_prometheus() is None:
        pytest.skip("there is no Prometheus: lab setup fetches it")
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    running = bringup.bring_up(LabSettings("canary", toil="off"), throw_away=True)
    try:
        yield running
    finally:
        running.down()


def deployments(lab: Lab) -> dict[str, Any]:
    return {
        d["metadata"]["name"]: wanted(d)
        for d in lab.kube.deployments()
        if d["metadata"]["namespace"] == "shop"
    }


def kill_the_canary(lab: Lab) -> None:
    """Its container is killed and its pod is gone; a new one comes."""

    async def kill() -> None:
        async with KubeClient(load_kubeconfig(lab.kubeconfig)) as kube:
            for pod in lab.kube.pods("lab-system", "canary"):
                await kube.delete("pods", pod["metadata"]["name"], "lab-system", grace_period_seconds=0)

    asyncio.run(kill())


def value(lab: Lab, query: str) -> float:
    answer = requests.get(f"{lab.prometheus_url}/api/v1/query", params={"query": query}, timeout=10).json()
    result = answer["data"]["result"]
    return float(result[0]["value"][1]) if result else -1.0


@pytest.mark.slow
def test_a_canary_that_breaks_the_shop_is_taken_back_even_when_its_guard_is_killed(lab: Lab, tmp_path: Path):
    workspace = tmp_path / "tidier"
    workspace.mkdir()
    (workspace / "automation.yaml").write_text(MANIFEST)
    (workspace / "main.py").write_text(PROGRAM)
    before = deployments(lab)
    plan = replace(default_canary(), steps=(100.0,))
    lab.run_automation(workspace, Mode.CANARY, by="ann", canary=plan)
    kill_the_canary(lab)
    assert wait_until(lambda: canary.status(lab).phase is CanaryPhase.ABORTED, seconds=60, every=0.3), (
        json.dumps(canary.status(lab).as_dict(), indent=1)[:4000]
    )
    found = canary.status(lab)
    assert found.rollback is not None
    outcomes = {item.target.rpartition("/")[2]: item.outcome.value for item in found.rollback.items}
    assert outcomes == {"payments": "restored", "worker": "restored"}
    assert deployments(lab) == before
    assert lab.control()["mode"] == "shadow"
    seen = len(lab.gateway.intents())
    assert wait_until(lambda: len(lab.gateway.intents()) > seen, seconds=15), "it goes on, in shadow"
    assert deployments(lab) == before
    assert any(post["by"] == "canary" and "restored" in post["text"] for post in lab.pager.status_posts())
    assert wait_until(lambda: value(lab, 'toil_rollbacks_total{reason="analysis-failed"}') == 1, seconds=10)
    assert value(lab, "toil_canary_percent") == 0
