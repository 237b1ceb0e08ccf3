"""Node ports that a service asks for, as upstream refuses them."""

from __future__ import annotations

import pytest
from registry_manifests import SERVICES, service

from lab.kube.status import StatusError
from lab.localkube.registry.registry import LocalRegistry


def asking(name: str, port: int) -> dict:
    return service(name, type="NodePort", ports=[{"port": 80, "nodePort": port}])


@pytest.mark.parametrize(
    ("port", "why"),
    [
        (30_123, "provided port is already allocated"),
        (80, "provided port is not in the valid range. The range of valid ports is 30000-32767"),
    ],
)
def test_refused(registry: LocalRegistry, port: int, why: str) -> None:
    registry.create(SERVICES, "default", asking("first", 30_123))
    with pytest.raises(StatusError) as refused:
        registry.create(SERVICES, "default", asking("second", port))
    assert refused.value.code == 422
    assert refused.value.message == (
        f'Service "second" is invalid: spec.ports[0].nodePort: Invalid value: {port}: {why}'
    )


def test_its_own_may_stay_and_a_freed_one_is_for_others(registry: LocalRegistry) -> None:
    made = registry.create(SERVICES, "default", asking("first", 30_123))
    same = registry.update(SERVICES, "default", "first", made | {"spec": dict(made["spec"])})
    assert same["spec"]["ports"][0]["nodePort"] == 30_123
    registry.delete(SERVICES, "default", "first")
    assert (
        registry.create(SERVICES, "default", asking("second", 30_123))["spec"]["ports"][0]["nodePort"]
        == 30_123
    )
