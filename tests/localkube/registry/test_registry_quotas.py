"""ResourceQuotas and LimitRanges: what they fill in, and what they refuse in which words."""

from __future__ import annotations

from typing import Any

import pytest
from registry_manifests import CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES, container, deployment, pod, service

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import WriteOptions
from lab.localkube.registry.registry import LocalRegistry

QUOTAS = builtin("ResourceQuota")
LIMITS = builtin("LimitRange")
CLAIMS = builtin("PersistentVolumeClaim")
MERGE = "application/merge-patch+json"


def quota(registry: LocalRegistry, hard: dict[str, Any], **spec: Any) -> None:
    registry.create(QUOTAS, "default", {"metadata": {"name": "q"}, "spec": {"hard": hard} | spec})


def limits(registry: LocalRegistry, *items: dict[str, Any]) -> dict[str, Any]:
    body = {"metadata": {"name": "l"}, "spec": {"limits": list(items)}}
    return registry.create(LIMITS, "default", body)["spec"]["limits"][0]


def asking(name: str = "p", init: dict[str, Any] | None = None, **resources: Any) -> dict[str, Any]:
    """A pod of one container that asks for this, after an init container that may ask for something else."""
    more = {} if init is None else {"initContainers": [container(name="i", resources=init)]}
    return pod(name, containers=[container(resources=resources)], **more)


def refused(registry: LocalRegistry, resource: Any, obj: dict[str, Any]) -> str:
    with pytest.raises(StatusError) as error:
        registry.create(resource, "default", obj)
    assert (error.value.code, error.value.reason) == (403, "Forbidden")
    return error.value.message


def test_a_count_is_held(registry) -> None:
    quota(registry, {"configmaps": "1", "count/deployments.apps": 1})
    registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}})
    why = (
        'configmaps "b" is forbidden: exceeded quota: q, '
        "requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
    )
    assert refused(registry, CONFIG_MAPS, {"metadata": {"name": "b"}}) == why
    registry.create(DEPLOYMENTS, "default", deployment("a"))
    assert refused(registry, DEPLOYMENTS, deployment("b")).startswith(
        'deployments.apps "b" is forbidden: exceeded quota: q, requested: count/deployments.apps=1'
    )
    registry.delete(CONFIG_MAPS, "default", "a")
    registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "b"}})


def test_resources_of_pods_add_up(registry) -> None:
    quota(registry, {"requests.cpu": "1", "limits.memory": "1Gi", "pods": "3"})
    registry.create(PODS, "default", asking("a", requests={"cpu": "600m"}, limits={"memory": "512Mi"}))
    message = refused(
        registry, PODS, asking("b", requests={"cpu": "500m"}, limits={"memory": "768Mi", "cpu": "1"})
    )
    assert message == (
        'pods "b" is forbidden: exceeded quota: q, requested: limits.memory=768Mi,requests.cpu=500m, '
        "used: limits.memory=512Mi,requests.cpu=600m, limited: limits.memory=1Gi,requests.cpu=1"
    )
    starting = asking(
        "c",
        init={"requests": {"cpu": "1"}, "limits": {"memory": "1Mi"}},
        requests={"cpu": "1m"},
        limits={"memory": "1Mi"},
    )
    assert "requested: requests.cpu=1, used: requests.cpu=600m" in refused(registry, PODS, starting)
    ended = {"status": {"phase": "Succeeded"}}
    registry.patch(PODS, "default", "a", ended, MERGE, subresource="status")
    registry.create(PODS, "default", starting)


def test_what_a_quota_has_must_be_said(registry) -> None:
    quota(registry, {"requests.cpu": "1", "limits.memory": "1Gi"})
    assert refused(registry, PODS, pod()) == (
        'pods "p" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c'
    )
    limits(registry, {"type": "Container", "default": {"memory": "1Mi"}, "defaultRequest": {"cpu": "1m"}})
    registry.create(PODS, "default", pod())


def test_scopes_choose_pods(registry) -> None:
    quota(registry, {"pods": "0"}, scopes=["Terminating"])
    registry.create(PODS, "default", pod("stays"))
    assert "limited: pods=0" in refused(registry, PODS, pod("ends", activeDeadlineSeconds=9))
    registry.delete(QUOTAS, "default", "q")
    selector = {"matchExpressions": [{"scopeName": "BestEffort", "operator": "Exists"}]}
    quota(registry, {"pods": "0"}, scopeSelector=selector)
    registry.create(PODS, "default", asking("asks", requests={"cpu": "1m"}))
    assert "limited: pods=0" in refused(registry, PODS, pod("does-not"))


def test_a_service_may_not_grow_past_the_quota(registry) -> None:
    quota(registry, {"services.nodeports": "0"})
    registry.create(SERVICES, "default", service())
    with pytest.raises(StatusError) as error:
        registry.patch(SERVICES, "default", "web", {"spec": {"type": "NodePort"}}, MERGE)
    assert "requested: services.nodeports=1, used: services.nodeports=0" in error.value.message


def test_claims_are_counted_by_size_and_class(registry) -> None:
    quota(registry, {"requests.storage": "3Gi", "slow.storageclass.storage.k8s.io/requests.storage": "1Gi"})

    def claim(name: str, size: str, **spec: Any) -> dict[str, Any]:
        body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": name}, "spec": body | spec}

    registry.create(CLAIMS, "default", claim("a", "1Gi", storageClassName="slow"))
    message = refused(registry, CLAIMS, claim("b", "2Gi", storageClassName="slow"))
    assert "requested: slow.storageclass.storage.k8s.io/requests.storage=2Gi, used:" in message
    registry.create(CLAIMS, "default", claim("c", "2Gi", storageClassName=""))
    assert "requested: requests.storage=1Mi" in refused(registry, CLAIMS, claim("d", "1Mi"))


def test_a_dry_run_and_another_namespace(registry) -> None:
    quota(registry, {"configmaps": "0"})
    with pytest.raises(StatusError):
        registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}}, WriteOptions(dry_run=True))
    registry.create(CONFIG_MAPS, "kube-public", {"metadata": {"name": "a"}})


def test_the_defaults_of_a_limit_range(registry) -> None:
    limit = limits(
        registry, {"type": "Container", "max": {"cpu": "1000m", "memory": "1Gi"}, "min": {"cpu": "0.1"}}
    )
    assert limit["default"] == {"cpu": "1", "memory": "1Gi"}
    assert limit["defaultRequest"] == {"cpu": "1", "memory": "1Gi"}
    made = registry.create(PODS, "default", asking(requests={"cpu": "200m"}))
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "200m", "memory": "1Gi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: memory request for container c; cpu, memory limit for container c"
    )
    assert made["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(
    ("limit", "resources", "message"),
    [
        (
            {"type": "Container", "min": {"cpu": "100m"}},
            {"requests": {"cpu": "50m"}},
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        (
            {"type": "Pod", "max": {"memory": "1Gi"}},
            {"limits": {"memory": "2Gi"}, "requests": {"memory": "1Mi"}},
            "maximum memory usage per Pod is 1Gi, but limit is 2Gi",
        ),
        (
            {"type": "Pod", "min": {"cpu": "1"}},
            {},
            "minimum cpu usage per Pod is 1.  No request is specified",
        ),
        ({"type": "Pod", "max": {"cpu": "1"}}, {}, "maximum cpu usage per Pod is 1.  No limit is specified"),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            {"limits": {"cpu": "1"}, "requests": {"cpu": "250m"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
        ),
    ],
)
def test_what_a_limit_range_refuses(
    registry, limit: dict[str, Any], resources: dict[str, Any], message: str
) -> None:
    limits(registry, limit)
    assert refused(registry, PODS, asking(**resources)) == f'pods "p" is forbidden: {message}'


@pytest.mark.parametrize(
    ("resource", "spec", "field", "message"),
    [
        (QUOTAS, {"hard": {"pods": "1.5"}}, "spec.hard[pods]", "must be an integer"),
        (QUOTAS, {"hard": {"stars": "1"}}, "spec.hard[stars]", "must be a standard resource for quota"),
        (QUOTAS, {"hard": {"pods": "-1"}}, "spec.hard[pods]", "must be greater than or equal to 0"),
        (QUOTAS, {"scopes": ["Some"]}, "spec.scopes", "unsupported scope"),
        (QUOTAS, {"scopes": ["Terminating", "NotTerminating"]}, "spec.scopes", "conflicting scopes"),
        (
            QUOTAS,
            {"scopes": ["BestEffort"], "hard": {"services": "1"}},
            "spec.scopes",
            "unsupported scope applied to resource",
        ),
        (
            LIMITS,
            {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]},
            "spec.limits[0].min[cpu]",
            "min value 2 is greater than max value 1",
        ),
        (
            LIMITS,
            {"limits": [{"type": "Pod", "default": {"cpu": "1"}}]},
            "spec.limits[0].default",
            "may not be specified when `type` is 'Pod'",
        ),
    ],
)
def test_what_cannot_be_a_quota_or_a_limit(
    registry, resource: Any, spec: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(StatusError) as error:
        registry.create(resource, "default", {"metadata": {"name": "x"}, "spec": spec})
    causes = (error.value.details or {})["causes"]
    assert any(cause["field"] == field and message in cause["message"] for cause in causes), causes
