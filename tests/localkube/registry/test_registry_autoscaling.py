"""HorizontalPodAutoscalers: defaults, refusals, and the two versions of one object."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import WriteOptions
from lab.localkube.registry.autoscaling import to_v1, to_v2
from lab.localkube.registry.registry import LocalRegistry

V2 = builtin("horizontalpodautoscalers")
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
REFERENCE = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}
MEMORY = {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}
OTHERS = [
    {"type": "Resource", "resource": MEMORY},
    {
        "type": "ContainerResource",
        "containerResource": {
            "name": "cpu",
            "container": "main",
            "target": {"type": "Utilization", "averageUtilization": 70},
        },
    },
    {
        "type": "Pods",
        "pods": {
            "metric": {"name": "orders", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "1k"},
        },
    },
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Ingress", "name": "main"},
            "metric": {"name": "requests"},
            "target": {"type": "Value", "value": "10k"},
        },
    },
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Ingress", "name": "main"},
            "metric": {"name": "requests"},
            "target": {"type": "AverageValue", "averageValue": "5"},
        },
    },
    {
        "type": "External",
        "external": {
            "metric": {"name": "queue", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "30"},
        },
    },
]  # fmt: skip


def autoscaler(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"maxReplicas": 5, "scaleTargetRef": REFERENCE} | spec}


def refusal(registry: LocalRegistry, **spec: Any) -> list[tuple[str, str]]:
    with pytest.raises(StatusError) as refused:
        registry.create(V2, "default", autoscaler(**spec))
    assert refused.value.code == 422
    causes = (refused.value.details or {})["causes"]
    return [(cause["field"], cause["message"]) for cause in causes]


def test_defaults(registry) -> None:
    spec = registry.create(V2, "default", autoscaler())["spec"]
    target = {"type": "Utilization", "averageUtilization": 80}
    assert spec["minReplicas"] == 1
    assert spec["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    assert "behavior" not in spec
    window = {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}
    behavior = registry.patch(V2, "default", "web", {"spec": window}, MERGE)[0]["spec"]["behavior"]
    percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
    assert behavior["scaleDown"] == {
        "stabilizationWindowSeconds": 60,
        "selectPolicy": "Max",
        "policies": [percent],
    }
    assert behavior["scaleUp"] == {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, percent],
    }


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"maxReplicas": 0}, "spec.maxReplicas", "Invalid value: 0: must be greater than 0"),
        (
            {"minReplicas": 6},
            "spec.maxReplicas",
            "Invalid value: 5: must be greater than or equal to `minReplicas`",
        ),
        (
            {"minReplicas": 0},
            "spec.minReplicas",
            "Invalid value: 0: must be greater than or equal to 1",
        ),
        ({"scaleTargetRef": {"kind": "Deployment"}}, "spec.scaleTargetRef.name", "Required value"),
        (
            {"scaleTargetRef": {"kind": "Deployment", "name": "a/b"}},
            "spec.scaleTargetRef.name",
            "Invalid value: \"a/b\": may not contain '/'",
        ),
        (
            {"metrics": [{"type": "Resource"}]},
            "spec.metrics[0].resource",
            "Required value: must populate information for the given metric source",
        ),
        (
            {"metrics": [CPU | {"pods": OTHERS[2]["pods"]}]},
            "spec.metrics[0].pods",
            "Forbidden: must populate the given metric source only",
        ),
        (
            {"metrics": [{"type": "Resource", "resource": {"name": "x", "target": {"type": "Utilization"}}}]},
            "spec.metrics[0].resource.target.averageUtilization",
            "Required value: must set either a target raw value or a target utilization",
        ),
        (
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 1801}]}}},
            "spec.behavior.scaleUp.policies[0].periodSeconds",
            "Invalid value: 1801: must be less than or equal to 1800",
        ),
        (
            {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601}}},
            "spec.behavior.scaleDown.stabilizationWindowSeconds",
            "Invalid value: 3601: must be less than or equal to 3600",
        ),
        (
            {"behavior": {"scaleDown": {"selectPolicy": "Often"}}},
            "spec.behavior.scaleDown.selectPolicy",
            'Unsupported value: "Often": supported values: "Disabled", "Max", "Min"',
        ),
    ],
)  # fmt: skip
def test_refusals(registry, spec: dict[str, Any], field: str, words: str) -> None:
    assert (field, words) in refusal(registry, **spec)


def test_both_versions_show_the_same_object(registry) -> None:
    v1 = registry.resource("autoscaling", "v1", "horizontalpodautoscalers")
    made = registry.create(v1, "default", autoscaler(targetCPUUtilizationPercentage=50))
    assert made["apiVersion"] == "autoscaling/v1"
    assert made["spec"]["minReplicas"] == 1
    stored = registry.get(V2, "default", "web")
    assert (stored["apiVersion"], stored["spec"]["metrics"]) == ("autoscaling/v2", [CPU])
    assert stored["metadata"]["uid"] == made["metadata"]["uid"]
    assert [each["apiVersion"] for each in registry.list(v1, "default").items] == ["autoscaling/v1"]
    patch = {"spec": {"targetCPUUtilizationPercentage": 60}}
    for mime in (MERGE, STRATEGIC):
        registry.patch(v1, "default", "web", patch, mime)
    registry.delete(v1, "default", "web")
    with pytest.raises(StatusError):
        registry.get(V2, "default", "web")


def test_a_target_nobody_named_is_80_percent_in_both(registry) -> None:
    v1 = registry.resource("autoscaling", "v1", "horizontalpodautoscalers")
    assert registry.create(v1, "default", autoscaler())["spec"]["targetCPUUtilizationPercentage"] == 80
    with pytest.raises(StatusError) as refused:
        registry.patch(v1, "default", "web", {"spec": {"maxReplicas": 0}}, MERGE)
    assert refused.value.code == 422


def test_what_v1_cannot_say_survives_a_write_through_it(registry) -> None:
    v1 = registry.resource("autoscaling", "v1", "horizontalpodautoscalers")
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    before = registry.create(V2, "default", autoscaler(metrics=[*OTHERS, CPU], behavior=behavior))
    seen = copy.deepcopy(registry.get(v1, "default", "web"))
    assert seen["spec"]["targetCPUUtilizationPercentage"] == 50
    annotations = seen["metadata"]["annotations"]
    assert len(json.loads(annotations["autoscaling.alpha.kubernetes.io/metrics"])) == len(OTHERS)
    seen["spec"]["maxReplicas"] = 9
    registry.update(v1, "default", "web", seen)
    after = registry.get(V2, "default", "web")
    assert after["spec"] == before["spec"] | {"maxReplicas": 9}
    assert "annotations" not in after["metadata"]


def test_a_broken_annotation_is_refused_or_ignored(registry) -> None:
    v1 = registry.resource("autoscaling", "v1", "horizontalpodautoscalers")
    key = "autoscaling.alpha.kubernetes.io/metrics"
    for text in ("{", "{}", '"x"'):
        annotated = autoscaler() | {"metadata": {"generateName": "web-", "annotations": {key: text}}}
        assert registry.create(v1, "default", annotated)["spec"]["targetCPUUtilizationPercentage"] == 80
    for text in ("[1]", '[{"type":"Resource","resource":{"name":5}}]', '[{"type":"Resource","resource":7}]'):
        annotated = autoscaler() | {"metadata": {"generateName": "web-", "annotations": {key: text}}}
        with pytest.raises(StatusError) as refused:
            registry.create(v1, "default", annotated)
        assert refused.value.code in (400, 422)


def test_apply_through_both_versions(registry) -> None:
    v1 = registry.resource("autoscaling", "v1", "horizontalpodautoscalers")
    intent = autoscaler() | {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    registry.patch(V2, "default", "web", intent, APPLY, options=WriteOptions(field_manager="ann"))
    old = autoscaler(maxReplicas=7) | {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"}
    options = WriteOptions(field_manager="bob", force=True)
    assert registry.patch(v1, "default", "web", old, APPLY, options=options)[0]["spec"]["maxReplicas"] == 7
    stored = registry.get(V2, "default", "web")
    assert stored["spec"]["maxReplicas"] == 7
    assert {entry["manager"] for entry in stored["metadata"]["managedFields"]} == {"ann", "bob"}


def test_status_goes_through_both_versions() -> None:
    status = {
        "currentReplicas": 2,
        "desiredReplicas": 3,
        "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 90}}},
            {"type": "Pods", "pods": {"metric": {"name": "orders"}, "current": {"averageValue": "3"}}},
        ],
        "conditions": [
            {
                "type": "AbleToScale",
                "status": "True",
                "lastTransitionTime": "2030-01-01T00:00:00Z",
                "reason": "ReadyForNewScale",
            }
        ],
    }
    stored = autoscaler(metrics=[CPU], minReplicas=1) | {"status": status}
    stored |= {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    old = to_v1(stored)
    assert old["status"] == {
        "currentReplicas": 2,
        "desiredReplicas": 3,
        "currentCPUUtilizationPercentage": 90,
    }
    again = to_v2(old)
    assert again["status"]["conditions"] == status["conditions"]
    assert sorted(map(str, again["status"]["currentMetrics"])) == sorted(map(str, status["currentMetrics"]))
