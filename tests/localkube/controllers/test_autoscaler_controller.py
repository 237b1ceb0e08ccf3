"""HorizontalPodAutoscalers over Deployments whose pods use what the test says."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_cluster import Cluster, ManualClock, condition, deployment, is_ready, template

from lab.kube.objects import KubeObject
from lab.localkube.protocols import ContainerUsage

REFERENCE = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
Timed = tuple[Cluster, ManualClock]


def resource(name: str = "cpu", **target: Any) -> KubeObject:
    kind = "Utilization" if "averageUtilization" in target else "AverageValue"
    return {"type": "Resource", "resource": {"name": name, "target": {"type": kind} | target}}


def web(cluster: Cluster, replicas: int, *, request: bool = True) -> None:
    pods = template("web")
    if request:
        pods["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1", "memory": "1Gi"}}
    deployment(cluster, "web", replicas, template=pods)


def autoscaler(cluster: Cluster, name: str = "web", **spec: Any) -> None:
    body = {
        "scaleTargetRef": REFERENCE,
        "maxReplicas": 10,
        "metrics": [resource(averageUtilization=50)],
    }
    cluster.create("HorizontalPodAutoscaler", name, spec=body | spec)


def uses(cluster: Cluster, cores: float) -> None:
    """Every pod uses so many cores."""
    cluster.usage = lambda pod: {"main": ContainerUsage(cores, 1 << 30, cluster.clock.now(), 1.0)}


def replicas(cluster: Cluster) -> int:
    return int(cluster.get("Deployment", "web")["spec"]["replicas"])


def seen(cluster: Cluster, type: str, name: str = "web") -> tuple[str, str]:
    found = condition(cluster.get("HorizontalPodAutoscaler", name), type)
    return found.get("status", ""), found.get("reason", "")


async def settled(timed: Timed, count: int, *, request: bool = True) -> tuple[Cluster, ManualClock]:
    """A deployment of so many pods that have been ready for a while."""
    cluster, clock = timed
    web(cluster, count, request=request)
    await clock.advance(cluster, 5)
    assert sum(map(is_ready, cluster.list("Pod"))) == count
    return cluster, clock


async def test_it_follows_what_its_pods_use(timed: Timed) -> None:
    cluster, clock = await settled(timed, 2)
    uses(cluster, 0.9)
    autoscaler(cluster)
    await cluster.settle()
    assert replicas(cluster) == 4
    found = cluster.get("HorizontalPodAutoscaler", "web")
    assert found["status"]["currentReplicas"] == 2
    assert found["status"]["desiredReplicas"] == 4
    assert found["status"]["lastScaleTime"] == cluster.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found["status"]["currentMetrics"] == [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "current": {"averageUtilization": 90, "averageValue": "900m"}},
        }
    ]
    assert condition(found, "AbleToScale")["message"] == (
        "the HPA controller was able to update the target scale to 4"
    )
    assert seen(cluster, "ScalingActive") == ("True", "ValidMetricFound")
    assert seen(cluster, "ScalingLimited") == ("False", "DesiredWithinRange")
    assert cluster.messages("SuccessfulRescale") == [
        "New size: 4; reason: cpu resource utilization (percentage of request) above target"
    ]
    uses(cluster, 0.05)
    await clock.advance(cluster, 310)
    assert replicas(cluster) == 4
    assert seen(cluster, "AbleToScale") == ("True", "ScaleDownStabilized")
    await clock.advance(cluster, 10)
    assert replicas(cluster) == 1
    assert cluster.messages("SuccessfulRescale")[1:] == ["New size: 1; reason: All metrics below target"]
    assert seen(cluster, "AbleToScale") == ("True", "SucceededRescale")
    await clock.advance(cluster, 20)
    assert seen(cluster, "AbleToScale") == ("True", "ReadyForNewScale")


async def test_a_steady_autoscaler_writes_nothing(timed: Timed) -> None:
    cluster, clock = await settled(timed, 2)
    uses(cluster, 0.5)
    autoscaler(cluster)
    await clock.advance(cluster, 16)
    before = cluster.registry.rv
    await clock.advance(cluster, 60)
    assert cluster.registry.rv == before


@pytest.mark.parametrize(("count", "then", "reason"), [(1, 2, "below Spec.Min"), (7, 5, "above Spec.Max")])
async def test_minimum_and_maximum_need_no_metrics(timed: Timed, count: int, then: int, reason: str) -> None:
    cluster, _ = await settled(timed, count)
    autoscaler(cluster, minReplicas=2, maxReplicas=5)
    await cluster.settle()
    assert replicas(cluster) == then
    [message] = cluster.messages("SuccessfulRescale")
    assert message == f"New size: {then}; reason: Current number of replicas {reason}Replicas"


async def test_no_replicas_means_hands_off(timed: Timed) -> None:
    cluster, _ = await settled(timed, 0)
    autoscaler(cluster)
    await cluster.settle()
    assert replicas(cluster) == 0
    assert seen(cluster, "ScalingActive") == ("False", "ScalingDisabled")


async def test_pods_that_were_not_measured(timed: Timed) -> None:
    cluster, _ = await settled(timed, 2)
    autoscaler(cluster)
    await cluster.settle()
    why = (
        "failed to get cpu utilization: unable to get metrics for resource cpu: "
        "no metrics returned from resource metrics API"
    )
    assert cluster.messages("FailedGetResourceMetric") == [why]
    assert cluster.messages("FailedComputeMetricsReplicas") == [
        "invalid metrics (1 invalid out of 1), first error is: "
        f"failed to get cpu resource metric value: {why}"
    ]
    active = condition(cluster.get("HorizontalPodAutoscaler", "web"), "ScalingActive")
    assert (active["status"], active["reason"]) == ("False", "FailedGetResourceMetric")
    assert active["message"] == f"the HPA was unable to compute the replica count: {why}"


async def test_pods_that_request_nothing(timed: Timed) -> None:
    cluster, _ = await settled(timed, 1, request=False)
    uses(cluster, 0.5)
    autoscaler(cluster)
    await cluster.settle()
    [message] = cluster.messages("FailedGetResourceMetric")
    pod = cluster.list("Pod")[0]["metadata"]["name"]
    assert message == (
        f"failed to get cpu utilization: missing request for cpu in container main of Pod {pod}"
    )
    cluster.patch("HorizontalPodAutoscaler", "web", {"spec": {"metrics": [resource(averageValue="250m")]}})
    await cluster.settle()
    assert replicas(cluster) == 2


async def test_one_container_may_be_the_measure(timed: Timed) -> None:
    cluster, _ = await settled(timed, 2)
    uses(cluster, 0.9)
    source = {"name": "cpu", "container": "main", "target": {"type": "Utilization", "averageUtilization": 50}}
    autoscaler(cluster, metrics=[{"type": "ContainerResource", "containerResource": source}])
    await cluster.settle()
    assert replicas(cluster) == 4
    [message] = cluster.messages("SuccessfulRescale")
    assert message.endswith("cpu container resource utilization (percentage of request) above target")
    [current] = cluster.get("HorizontalPodAutoscaler", "web")["status"]["currentMetrics"]
    assert (current["containerResource"]["container"], current["type"]) == ("main", "ContainerResource")


NO_CUSTOM = (
    "unable to fetch metrics from custom metrics API: "
    "no custom metrics API (custom.metrics.k8s.io) registered"
)
AVERAGE = {"type": "AverageValue", "averageValue": "10"}
ADAPTED = [
    (
        {"type": "Pods", "pods": {"metric": {"name": "orders"}, "target": AVERAGE}},
        "FailedGetPodsMetric",
        f"unable to get metric orders: {NO_CUSTOM}",
    ),
    (
        {
            "type": "Object",
            "object": {
                "describedObject": {"kind": "Ingress", "name": "main"},
                "metric": {"name": "hits"},
                "target": {"type": "Value", "value": "5"},
            },
        },
        "FailedGetObjectMetric",
        f"unable to get metric hits: Ingress on default main/{NO_CUSTOM}",
    ),
    (
        {
            "type": "External",
            "external": {
                "metric": {"name": "queue", "selector": {"matchLabels": {"a": "b"}}},
                "target": AVERAGE,
            },
        },
        "FailedGetExternalMetric",
        "unable to get external metric default/queue/&LabelSelector{MatchLabels:map[string]string{a: b,},"
        "MatchExpressions:[]LabelSelectorRequirement{},}: unable to fetch metrics from external metrics API: "
        "the server could not find the requested resource (get queue.external.metrics.k8s.io)",
    ),
]


@pytest.mark.parametrize(("metric", "reason", "message"), ADAPTED, ids=[case[1] for case in ADAPTED])
async def test_metrics_that_need_an_adapter_are_refused(
    timed: Timed, metric: KubeObject, reason: str, message: str
) -> None:
    cluster, _ = await settled(timed, 2)
    uses(cluster, 0.9)
    autoscaler(cluster, metrics=[metric])
    await cluster.settle()
    assert cluster.messages(reason) == [message]
    assert seen(cluster, "ScalingActive") == ("False", reason)
    assert replicas(cluster) == 2


async def test_one_failed_metric_allows_growing_and_not_shrinking(timed: Timed) -> None:
    cluster, clock = await settled(timed, 2)
    uses(cluster, 0.9)
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    autoscaler(cluster, metrics=[ADAPTED[0][0], resource(averageUtilization=50)], behavior=behavior)
    await cluster.settle()
    assert replicas(cluster) == 4
    uses(cluster, 0.05)
    await clock.advance(cluster, 30)
    assert replicas(cluster) == 4
    assert seen(cluster, "ScalingActive") == ("False", "FailedGetPodsMetric")


async def test_a_target_that_is_not_there(timed: Timed) -> None:
    cluster, _ = timed
    for name, reference, why in (
        ("gone", REFERENCE, 'deployments.apps "web" not found'),
        ("kind", {"kind": "Deployment", "name": "web"}, 'no matches for kind "Deployment" in group ""'),
        ("unscaled", {"kind": "Service", "name": "x"}, "the server could not find the requested resource"),
    ):
        autoscaler(cluster, name, scaleTargetRef={"apiVersion": "v1"} | reference)
        await cluster.settle()
        able = condition(cluster.get("HorizontalPodAutoscaler", name), "AbleToScale")
        assert (able["status"], able["reason"]) == ("False", "FailedGetScale")
        assert able["message"] == f"the HPA controller was unable to get the target's current scale: {why}"
        assert why in cluster.messages("FailedGetScale")


async def test_two_autoscalers_of_the_same_pods_do_nothing(timed: Timed) -> None:
    cluster, clock = await settled(timed, 2)
    uses(cluster, 0.5)
    autoscaler(cluster, "one")
    autoscaler(cluster, "two")
    await cluster.settle()
    uses(cluster, 0.9)
    await clock.advance(cluster, 16)
    assert replicas(cluster) == 2
    assert cluster.messages("AmbiguousSelector")[0] == (
        "pods by selector app=web are controlled by multiple HPAs: [default/one default/two]"
    )
    cluster.delete("HorizontalPodAutoscaler", "two")
    await clock.advance(cluster, 16)
    assert replicas(cluster) == 4


async def test_a_refused_rescale_is_told_and_tried_again(timed: Timed) -> None:
    cluster, clock = await settled(timed, 2)
    uses(cluster, 0.9)
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"]}
    constraints = {"resourceRules": [rule | {"resources": ["deployments/scale"]}]}
    policy = {"matchConstraints": constraints, "validations": [{"expression": "false", "message": "no"}]}
    binding = {"policyName": "frozen", "validationActions": ["Deny"]}
    cluster.create("ValidatingAdmissionPolicy", "frozen", spec=policy)
    cluster.create("ValidatingAdmissionPolicyBinding", "frozen", spec=binding)
    autoscaler(cluster)
    await cluster.settle()
    assert seen(cluster, "AbleToScale") == ("False", "FailedUpdateScale")
    assert cluster.messages("FailedRescale")[0].startswith("New size: 4; reason: cpu resource utilization")
    cluster.delete("ValidatingAdmissionPolicyBinding", "frozen")
    await clock.advance(cluster, 16)
    assert replicas(cluster) == 4
