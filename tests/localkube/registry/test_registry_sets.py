"""StatefulSets and DaemonSets as objects: what is refused, and the count of a DaemonSet's templates."""

from __future__ import annotations

from typing import Any

import pytest
from registry_manifests import deployment

from lab.kube.resources import builtin
from lab.kube.status import StatusError

STATEFULSETS, DAEMONSETS = builtin("StatefulSet"), builtin("DaemonSet")
MERGE = "application/merge-patch+json"
COUNT = "deprecated.daemonset.template.generation"


def manifest(kind: str, **spec: Any) -> dict[str, Any]:
    return deployment(**spec) | {"kind": kind}


def rolling(**limits: Any) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": limits}


def ended(**pod: Any) -> dict[str, Any]:
    template = deployment()["spec"]["template"]
    return template | {"spec": template["spec"] | pod}


@pytest.mark.parametrize(
    ("kind", "spec", "field", "message"),
    [
        (
            "StatefulSet",
            {"podManagementPolicy": "Random"},
            "spec.podManagementPolicy",
            "must be 'OrderedReady' or 'Parallel'",
        ),
        (
            "StatefulSet",
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
            "spec.updateStrategy.rollingUpdate",
            "only allowed for updateStrategy 'RollingUpdate'",
        ),
        (
            "StatefulSet",
            {"updateStrategy": rolling(partition=-1)},
            "spec.updateStrategy.rollingUpdate.partition",
            "must be greater than or equal to 0",
        ),
        (
            "StatefulSet",
            {"ordinals": {"start": -1}},
            "spec.ordinals.start",
            "must be greater than or equal to 0",
        ),
        (
            "StatefulSet",
            {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Lose"}},
            "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
            'supported values: "Delete", "Retain"',
        ),
        (
            "StatefulSet",
            {"template": ended(activeDeadlineSeconds=5)},
            "spec.template.spec.activeDeadlineSeconds",
            "activeDeadlineSeconds in StatefulSet is not Supported",
        ),
        (
            "DaemonSet",
            {"updateStrategy": {"type": "Never"}},
            "spec.updateStrategy.type",
            'supported values: "OnDelete", "RollingUpdate"',
        ),
        (
            "DaemonSet",
            {"updateStrategy": rolling(maxSurge=1)},
            "spec.updateStrategy.rollingUpdate.maxSurge",
            "may not be set when maxUnavailable is non-zero",
        ),
        (
            "DaemonSet",
            {"updateStrategy": rolling(maxUnavailable=0)},
            "spec.updateStrategy.rollingUpdate.maxUnavailable",
            "cannot be 0 when maxSurge is 0",
        ),
    ],
)
def test_what_is_refused(registry: Any, kind: str, spec: Any, field: str, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        registry.create(builtin(kind), "default", manifest(kind, **spec))
    [cause] = caught.value.status()["details"]["causes"]
    assert cause["field"] == field
    assert message in cause["message"]


def test_claims_are_volumes_to_the_template(registry: Any) -> None:
    mounts = [{"name": "data", "mountPath": "/data"}]
    containers = [{"name": "c", "image": "i", "volumeMounts": mounts}]
    claims = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    spec = {"template": ended(containers=containers), "volumeClaimTemplates": claims}
    made = registry.create(STATEFULSETS, "default", manifest("StatefulSet", **spec))
    assert "volumes" not in made["spec"]["template"]["spec"]
    with pytest.raises(StatusError, match=r'volumeMounts\[0\].name: Not found: "data"'):
        registry.create(DAEMONSETS, "default", manifest("DaemonSet", template=spec["template"]))


def test_a_daemonset_counts_its_templates(registry: Any) -> None:
    def count(obj: dict[str, Any]) -> str:
        return str(obj["metadata"]["annotations"][COUNT])

    assert count(registry.create(DAEMONSETS, "default", manifest("DaemonSet"))) == "1"
    other = {"spec": {"minReadySeconds": 3}, "metadata": {"annotations": {COUNT: "9"}}}
    assert count(registry.patch(DAEMONSETS, "default", "web", other, MERGE)[0]) == "1"
    template = {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}
    assert count(registry.patch(DAEMONSETS, "default", "web", template, MERGE)[0]) == "2"


def test_scale_of_a_statefulset(registry: Any) -> None:
    registry.create(STATEFULSETS, "default", manifest("StatefulSet"))
    scale = {"spec": {"replicas": 4}}
    made, _ = registry.patch(STATEFULSETS, "default", "web", scale, MERGE, subresource="scale")
    assert made["kind"] == "Scale"
    found = registry.get(STATEFULSETS, "default", "web")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (4, 2)
