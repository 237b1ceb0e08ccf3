"""What keeps a part from coming, on a real cluster: said at once, given up early where it does not pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from localkube_process import Served, running

from lab.engine import readiness
from lab.engine.kube import Kube
from lab.engine.readiness import wait_part, wait_ready
from lab.errors import DeadlineExceeded, LabError, ProviderError
from lab.kube.objects import KubeObject

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host() -> Iterator[Served]:
    """A cluster in which pods run."""
    with running() as server:
        yield server


@pytest.fixture
def kube(host: Served, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """The engine's client. Every test has the namespace `shop` for itself."""
    monkeypatch.setattr(readiness, "LOOK_SECONDS", 0.2)
    client = Kube(host.kubeconfig)
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    yield client
    namespaces = client._kind("Namespace")
    namespaces.delete(name="shop")
    assert readiness.wait_until(
        lambda: "shop" not in {n["metadata"]["name"] for n in namespaces.get().to_dict()["items"]}, seconds=60
    )
    client.close()


def deployment(**container: Any) -> KubeObject:
    labels = {"app": "api"}
    spec = {"containers": [{"name": "api", "image": "python", **container}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def fails(kube: Kube, seconds: float, said: list[str] | None = None) -> LabError:
    narrated: list[str] = [] if said is None else said
    with pytest.raises(LabError) as caught:
        wait_ready(kube, lambda step, done, total: narrated.append(step), 1, seconds)
    return caught.value


def test_an_image_that_is_never_pulled_ends_the_wait(kube: Kube) -> None:
    kube.create(deployment(image="nowhere/absent:1", imagePullPolicy="Never"))
    error = fails(kube, 120)
    assert isinstance(error, ProviderError)
    assert "\n  - shop/api: ErrImageNeverPull: " in error.message
    assert "nowhere/absent:1" in error.message
    assert "--image" in error.hint


def test_a_part_that_is_started_later_says_as_much(kube: Kube) -> None:
    kube.create(deployment(image="nowhere/absent:1", imagePullPolicy="Never"))
    with pytest.raises(
        ProviderError, match=r"the api cannot come up:\n  - shop/api: ErrImageNeverPull: "
    ) as caught:
        wait_part(kube, "shop", "api", 120)
    assert "--image" in caught.value.hint
    with pytest.raises(DeadlineExceeded, match=r"there is no Deployment shop/payments"):
        wait_part(kube, "shop", "payments", 0.2)


def test_an_image_that_cannot_be_pulled_ends_it_after_some_tries(
    kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reason in ("ErrImagePull", "ImagePullBackOff"):
        monkeypatch.setitem(readiness.PATIENCE, reason, 1.0)
    kube.create(deployment(image="nowhere/absent:1"))
    said: list[str] = []
    error = fails(kube, 120, said)
    assert isinstance(error, ProviderError)
    assert "nowhere/absent:1" in error.message
    assert any(line.startswith("shop/api waits: ") for line in said)
    assert len(said) == 1  # once, though the kubelet says two things by turns


def test_pods_that_a_quota_refuses(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(readiness.PATIENCE, "FailedCreate", 1.0)
    quota = {"metadata": {"name": "none", "namespace": "shop"}, "spec": {"hard": {"pods": "0"}}}
    kube.create({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    assert readiness.wait_until(
        lambda: kube._kind("ResourceQuota").get(name="none", namespace="shop").to_dict().get("status"),
        seconds=60,
    )
    kube.create(deployment())
    error = fails(kube, 120)
    assert isinstance(error, ProviderError)
    assert "shop/api: FailedCreate: " in error.message
    assert "exceeded quota" in error.message
    assert "a quota or a policy" in error.hint


def test_no_node_with_room_is_said_and_waited_for(kube: Kube) -> None:
    kube.create(deployment(resources={"requests": {"cpu": "10000"}}))

    def unschedulable() -> bool:
        conditions = [c for p in kube.pods("shop", "api") for c in p["status"].get("conditions") or ()]
        return any(c.get("reason") == "Unschedulable" for c in conditions)

    assert readiness.wait_until(unschedulable, seconds=60)
    said: list[str] = []
    error = fails(kube, 3, said)
    assert isinstance(error, DeadlineExceeded)
    assert "shop/api: 0 of 1 available; Unschedulable: 0/1 nodes are available" in error.message
    assert any(line.startswith("shop/api waits: Unschedulable: 0/1 nodes") for line in said)


def test_what_a_program_said_last_is_named(kube: Kube) -> None:
    never = {"tcpSocket": {"port": 1}}
    program = ["python", "-c", "raise SystemExit('no such database')"]
    kube.create(deployment(command=program, readinessProbe=never))

    def crashed() -> bool:
        statuses = [s for p in kube.pods("shop", "api") for s in p["status"].get("containerStatuses") or ()]
        return any(s.get("restartCount") for s in statuses)

    assert readiness.wait_until(crashed, seconds=60)
    error = fails(kube, 0.5)
    assert isinstance(error, DeadlineExceeded)
    assert "no such database" in error.message
