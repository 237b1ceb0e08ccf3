"""Restoring on a real API server, from the audit log of a real gateway, with the canary's own rights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from canary_stage import Stage, until

from lab.canary.merge import wanted
from lab.canary.report import Outcome
from lab.kube.resources import BUILTIN
from lab.kube.status import StatusError

pytestmark = pytest.mark.safety

TEMPLATE = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "main", "image": "toil-lab", "env": [{"name": "A", "value": "1"}]}]},
}
SELECTOR = {"matchLabels": {"app": "x"}}
JOB = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "toil-lab"}]}}}
CPU = {"type": "Utilization", "averageUtilization": 60}
ORDERS = {"type": "AverageValue", "averageValue": "10"}
OBJECTS: dict[str, dict[str, Any]] = {
    "deployments": {"spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}},
    "statefulsets": {"spec": {"replicas": 2, "serviceName": "x", "selector": SELECTOR, "template": TEMPLATE}},
    "configmaps": {"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAE="}},
    "cronjobs": {"spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": JOB}}},
    "horizontalpodautoscalers": {
        "spec": {
            "maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
            "metrics": [
                {"type": "Pods", "pods": {"metric": {"name": "orders"}, "target": ORDERS}},
                {"type": "Resource", "resource": {"name": "cpu", "target": CPU}},
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Min"}},
        }
    },
    "services": {"spec": {"selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": 8080}]}},
}
CHANGES: dict[str, dict[str, Any]] = {
    "deployments": {
        "metadata": {"labels": {"touched": "yes"}, "annotations": {"why": "a try"}},
        "spec": {
            "replicas": 1,
            "template": {
                "metadata": {"annotations": {"restartedAt": "now"}},
                "spec": {
                    "containers": [{"name": "main", "image": "other", "env": []}],
                    "dnsPolicy": "Default",
                },
            },
        },
    },
    "statefulsets": {
        "metadata": {"annotations": {"why": "a try"}},
        "spec": {
            "replicas": 0,
            "minReadySeconds": 5,
            "updateStrategy": {"rollingUpdate": {"partition": 1}},
            "template": {"spec": {"containers": [{"name": "main", "image": "other"}]}},
        },
    },
    "configmaps": {"data": {"a": "9", "b": None, "new": "x"}, "binaryData": None},
    "cronjobs": {"spec": {"schedule": "* * * * *", "suspend": True}},
    "horizontalpodautoscalers": {
        "spec": {"maxReplicas": 50, "minReplicas": 2, "metrics": None, "behavior": {"scaleDown": None}}
    },
    "services": {"spec": {"selector": {"app": "nobody"}}},
}


async def made(stage: Stage, kind: str, name: str) -> dict[str, Any]:
    """An object as it is when nothing but a status is still to come."""
    obj = copy.deepcopy(OBJECTS[kind]) | {"metadata": {"name": name, "labels": {"of": "the-test"}}}
    await stage.kube.create(kind, obj, "shop")

    async def settled() -> Any:
        found = await stage.kube.get(kind, name, "shop")
        controlled = kind in ("deployments", "statefulsets")
        seen = (found.get("status") or {}).get("observedGeneration")
        return found if seen or not controlled else None

    return dict(await until(settled, f"{kind} {name} is settled"))


@pytest.mark.parametrize("kind", OBJECTS)
async def test_the_exact_former_spec_comes_back_and_doing_it_twice_changes_nothing(stage: Stage, kind: str):
    name = f"exact-{kind}"
    before = await made(stage, kind, name)
    await stage.automation.patch(kind, name, CHANGES[kind], "shop")
    assert wanted(await stage.kube.get(kind, name, "shop")) != wanted(before)

    rehearsed = (await stage.restore(dry_run=True))[name]
    assert rehearsed.outcome is Outcome.WOULD_RESTORE
    assert wanted(await stage.kube.get(kind, name, "shop")) != wanted(before)

    item = (await stage.restore())[name]
    assert (item.outcome, item.reason) == (Outcome.RESTORED, "")
    now = await stage.kube.get(kind, name, "shop")
    assert wanted(now) == wanted(before)
    again = (await stage.restore())[name]
    assert (again.outcome, again.reason) == (Outcome.NOTHING, "it is as it was before")


async def test_what_was_changed_in_an_older_version_comes_back_as_it_was(stage: Stage):
    kind, name = "horizontalpodautoscalers", "exact-old-version"
    before = await made(stage, kind, name)
    old = next(each for each in BUILTIN if each.plural == kind and each.version == "v1")
    await stage.automation.patch(old, name, {"spec": {"targetCPUUtilizationPercentage": 5}}, "shop")
    assert wanted(await stage.kube.get(kind, name, "shop")) != wanted(before)
    item = (await stage.restore())[name]
    assert (item.outcome, item.reason) == (Outcome.RESTORED, "")
    assert wanted(await stage.kube.get(kind, name, "shop")) == wanted(before)


@pytest.mark.parametrize("kind", OBJECTS)
async def test_what_was_deleted_is_created_anew_as_it_was(stage: Stage, kind: str):
    name = f"gone-{kind}"
    before = await made(stage, kind, name)
    await stage.automation.patch(kind, name, CHANGES[kind], "shop")
    await stage.automation.delete(kind, name, "shop")
    item = (await stage.restore())[name]
    assert (item.outcome, item.reason) == (Outcome.RESTORED, "what it deleted is created anew")
    now = await stage.kube.get(kind, name, "shop")
    assert wanted(now) == wanted(before)
    assert now["metadata"]["uid"] != before["metadata"]["uid"]
    assert (await stage.restore())[name].outcome is Outcome.NOTHING


async def test_what_was_created_is_deleted_unless_somebody_made_it_theirs(stage: Stage):
    for name in ("its-own", "taken-over", "replaced"):
        await stage.automation.create("configmaps", {"metadata": {"name": name}, "data": {"a": "1"}}, "shop")
    await stage.kube.patch("configmaps", "taken-over", {"data": {"b": "of ann"}}, "shop")
    await stage.kube.delete("configmaps", "replaced", "shop")
    await stage.kube.create("configmaps", {"metadata": {"name": "replaced"}, "data": {"of": "ann"}}, "shop")
    items = await stage.restore()
    assert items["its-own"].outcome is Outcome.RESTORED
    assert items["taken-over"].outcome is Outcome.CONFLICT
    assert "kubectl-of-ann" in items["taken-over"].reason
    assert items["replaced"].outcome is Outcome.NOTHING
    left = {item["metadata"]["name"] for item in (await stage.kube.list("configmaps", "shop"))["items"]}
    assert "its-own" not in left
    assert {"taken-over", "replaced"} <= left


async def test_scale_is_given_back_and_a_persons_later_scale_is_left(stage: Stage):
    for name in ("scaled", "scaled-by-ann"):
        await made(stage, "deployments", name)
        await stage.automation.patch(
            "deployments", name, {"spec": {"replicas": 0}}, "shop", subresource="scale"
        )
    await stage.kube.patch("deployments", "scaled-by-ann", {"spec": {"replicas": 7}}, "shop")
    items = await stage.restore()
    assert (items["scaled"].outcome, items["scaled"].fields) == (Outcome.RESTORED, ("/spec/replicas",))
    assert items["scaled-by-ann"].outcome is Outcome.CONFLICT
    assert "/spec/replicas was changed since: by kubectl-of-ann" in items["scaled-by-ann"].reason
    counts = {
        name: (await stage.kube.get("deployments", name, "shop"))["spec"]["replicas"]
        for name in ("scaled", "scaled-by-ann")
    }
    assert counts == {"scaled": 3, "scaled-by-ann": 7}


async def test_only_the_automations_fields_go_back_when_a_person_changed_others(stage: Stage):
    await made(stage, "deployments", "shared")
    await stage.automation.patch("deployments", "shared", CHANGES["deployments"], "shop")
    theirs = {"spec": {"paused": True, "template": {"metadata": {"annotations": {"ann": "was here"}}}}}
    await stage.kube.patch("deployments", "shared", theirs, "shop")
    item = (await stage.restore())["shared"]
    assert item.outcome is Outcome.RESTORED, item.reason
    now = await stage.kube.get("deployments", "shared", "shop")
    assert (now["spec"]["replicas"], now["spec"]["paused"]) == (3, True)
    assert now["spec"]["template"]["metadata"]["annotations"] == {"ann": "was here"}
    assert now["spec"]["template"]["spec"]["containers"][0]["image"] == "toil-lab"
    assert "annotations" not in now["metadata"] or "why" not in now["metadata"]["annotations"]


async def test_many_changes_of_one_object_are_taken_back_from_the_newest_on(stage: Stage):
    before = await made(stage, "configmaps", "often")
    for value in ("2", "3"):
        await stage.automation.patch("configmaps", "often", {"data": {"a": value}}, "shop")
    await stage.kube.patch("configmaps", "often", {"data": {"b": "of ann"}}, "shop")
    await stage.automation.patch("configmaps", "often", {"data": {"b": "4", "a": "5"}}, "shop")
    await stage.automation.delete("configmaps", "often", "shop")
    await stage.automation.create("configmaps", {"metadata": {"name": "often"}, "data": {"z": "z"}}, "shop")
    item = (await stage.restore())["often"]
    assert item.outcome is Outcome.RESTORED, item.reason
    now = await stage.kube.get("configmaps", "often", "shop")
    assert now["data"] == before["data"] | {"b": "of ann"}
    assert len(item.records) == 5


async def test_pods_of_a_controller_come_back_by_themselves_and_a_bare_one_is_made_anew(stage: Stage):
    await made(stage, "deployments", "owner")
    bare = {"metadata": {"name": "bare", "labels": {"app": "bare"}}, "spec": TEMPLATE["spec"]}
    await stage.kube.create("pods", bare, "shop")

    async def owned() -> Any:
        pods = (await stage.kube.list("pods", "shop", label_selector="app=x"))["items"]
        found = [pod for pod in pods if pod["metadata"]["name"].startswith("owner-")]
        return found if len(found) == 3 else None

    pod = (await until(owned, "three pods"))[0]["metadata"]["name"]
    before = await stage.kube.get("pods", "bare", "shop")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "shop"}}
    await stage.automation.create("pods", eviction, "shop", name=pod, subresource="eviction")
    await stage.automation.delete("pods", "bare", "shop", grace_period_seconds=0)
    items = await stage.restore()
    assert items[pod].outcome is Outcome.NOTHING
    assert "ReplicaSet owner-" in items[pod].reason
    assert items["bare"].outcome is Outcome.RESTORED
    now = await stage.kube.get("pods", "bare", "shop")
    assert now["spec"]["containers"] == before["spec"]["containers"]
    assert (await stage.restore())["bare"].outcome is Outcome.NOTHING


async def test_what_cannot_be_restored_is_said_with_its_reason(stage: Stage):
    secret = {"metadata": {"name": "password"}, "stringData": {"a": "b"}}
    await stage.kube.create("secrets", secret, "shop")
    await stage.kube.create("jobs", {"metadata": {"name": "once"}, "spec": JOB}, "shop")
    await made(stage, "configmaps", "one-of-many")
    await stage.automation.patch("secrets", "password", {"stringData": {"a": "c"}}, "shop")
    await stage.automation.delete("jobs", "once", "shop")
    path = "/api/v1/namespaces/shop/configmaps?labelSelector=of%3Dthe-test"
    await stage.automation.request("DELETE", path)
    items = await stage.restore()
    assert {item.outcome for item in items.values()} == {Outcome.NOT_RESTORABLE}
    reasons = "; ".join(item.reason for item in items.values())
    for part in ("masks the values of Secrets", "run again", "only the names"):
        assert part in reasons


async def test_a_kind_that_the_canary_may_not_write_is_left_to_a_person(stage: Stage):
    await made(stage, "deployments", "mine")
    await stage.automation.patch("deployments", "mine", {"spec": {"replicas": 1}}, "shop")
    with pytest.raises(StatusError) as caught:
        await stage.canary.get("secrets", "any", "shop")
    assert caught.value.code == 403
    role = await stage.kube.get("roles", "canary-restore", "shop")
    without = [rule for rule in role["rules"] if "deployments" not in rule["resources"]]
    await stage.kube.patch("roles", "canary-restore", {"rules": without}, "shop")
    try:
        item = (await stage.restore())["mine"]
    finally:
        await stage.kube.patch("roles", "canary-restore", {"rules": role["rules"]}, "shop")
    assert item.outcome is Outcome.NOT_RESTORABLE
    assert "refused" in item.reason
    assert (await stage.restore())["mine"].outcome is Outcome.RESTORED


async def test_a_dry_run_of_the_automation_and_a_refusal_need_nothing(stage: Stage):
    await made(stage, "configmaps", "untouched")
    await stage.automation.patch(
        "configmaps", "untouched", {"data": {"a": "9"}}, "shop", query={"dryRun": "All"}
    )
    with pytest.raises(StatusError):
        await stage.automation.patch("nodes", "x", {"spec": {}})
    assert await stage.restore() == {}
