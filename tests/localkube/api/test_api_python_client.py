"""The official Python client: typed, dynamic, and its watch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

kubernetes = pytest.importorskip("kubernetes")

from kubernetes import client, config, dynamic, watch  # noqa: E402
from kubernetes.client.rest import ApiException  # noqa: E402


@pytest.fixture
def api(served: Any) -> Iterator[Any]:
    with config.new_client_from_config(str(served.kubeconfig)) as made:
        yield made


def _config_map(name: str, **data: str) -> Any:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def test_typed_create_read_patch_delete(api: Any, namespace: str) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map(namespace, _config_map("a", x="1"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"y": "2"}})
    assert core.read_namespaced_config_map("a", namespace).data == {"x": "1", "y": "2"}
    core.patch_namespaced_config_map("a", namespace, [{"op": "remove", "path": "/data/x"}])
    assert core.read_namespaced_config_map("a", namespace).data == {"y": "2"}
    core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("a", namespace)
    assert missing.value.status == 404


def test_a_stale_update_is_a_conflict(api: Any, namespace: str) -> None:
    core = client.CoreV1Api(api)
    stale = core.create_namespaced_config_map(namespace, _config_map("a", x="1"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"x": "2"}})
    stale.data = {"x": "3"}
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("a", namespace, stale)
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")


def test_watch_sees_changes_in_order_and_ends(api: Any, namespace: str) -> None:
    core = client.CoreV1Api(api)
    version = core.list_namespaced_secret(namespace).metadata.resource_version
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"k": "v"})
    core.create_namespaced_secret(namespace, secret)
    core.patch_namespaced_secret("s", namespace, {"metadata": {"labels": {"a": "b"}}})
    core.delete_namespaced_secret("s", namespace)
    seen = [
        (event["type"], event["object"].metadata.name)
        for event in watch.Watch().stream(
            core.list_namespaced_secret, namespace, resource_version=version, timeout_seconds=1
        )
    ]
    assert seen == [("ADDED", "s"), ("MODIFIED", "s"), ("DELETED", "s")]


def test_pages(api: Any, namespace: str) -> None:
    core = client.CoreV1Api(api)
    for name in "abcde":
        core.create_namespaced_config_map(namespace, _config_map(name, x=name))
    names, token = [], None
    while token != "":
        page = core.list_namespaced_config_map(namespace, limit=2, _continue=token)
        assert len(page.items) <= 2
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue or ""
    assert [name for name in names if len(name) == 1] == list("abcde")


def test_dynamic_client_discovers_and_works(api: Any, namespace: str) -> None:
    found = dynamic.DynamicClient(api)
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }
    deployments.create(body=body, namespace=namespace)
    deployments.patch(name="d", namespace=namespace, body={"spec": {"paused": True}})
    got = deployments.get(name="d", namespace=namespace)
    assert got.spec.paused is True
    assert got.spec.strategy.rollingUpdate.maxSurge == "25%"
    deployments.delete(name="d", namespace=namespace)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        found.resources.get(api_version="v1", kind="Pod").get(name="none", namespace=namespace)


def test_the_version_is_the_one_whose_wire_is_spoken(api: Any) -> None:
    assert client.VersionApi(api).get_code().git_version.startswith("v1.32.")


def test_access_reviews_and_tokens(api: Any, namespace: str, served: Any) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_service_account(
        namespace, client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="robot"))
    )
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
    )
    token = core.create_namespaced_service_account_token("robot", namespace, request).status.token
    review = client.AuthenticationV1Api(api).create_token_review(
        client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token))
    )
    assert review.status.authenticated
    assert review.status.user.username == f"system:serviceaccount:{namespace}:robot"
    attributes = client.V1ResourceAttributes(verb="list", resource="pods", namespace=namespace)
    access = client.AuthorizationV1Api(api).create_subject_access_review(
        client.V1SubjectAccessReview(
            spec=client.V1SubjectAccessReviewSpec(
                user=review.status.user.username, resource_attributes=attributes
            )
        )
    )
    assert access.status.allowed is False


def test_a_statefulset_has_a_scale_and_a_history(api: Any, namespace: str) -> None:
    apps, selector = client.AppsV1Api(api), {"matchLabels": {"app": "db"}}
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    body = {
        "metadata": {"name": "db"},
        "spec": {"serviceName": "db", "selector": selector, "template": template},
    }
    assert apps.create_namespaced_stateful_set(namespace, body).spec.pod_management_policy == "OrderedReady"
    scale = {"spec": {"replicas": 4}}
    assert apps.patch_namespaced_stateful_set_scale("db", namespace, scale).spec.replicas == 4
    with pytest.raises(ApiException, match="updates to statefulset spec for fields other than"):
        apps.patch_namespaced_stateful_set("db", namespace, {"spec": {"serviceName": "other"}})
    for event in watch.Watch().stream(
        apps.list_namespaced_controller_revision, namespace, timeout_seconds=30
    ):
        assert event["object"].data["spec"]["template"]["$patch"] == "replace"
        assert event["object"].revision == 1
        break
    apps.delete_namespaced_stateful_set("db", namespace)


def test_autoscalers_in_both_versions(api: Any, namespace: str) -> None:
    target = client.V1CrossVersionObjectReference(api_version="apps/v1", kind="Deployment", name="none")
    spec = client.V1HorizontalPodAutoscalerSpec(
        max_replicas=4, scale_target_ref=target, target_cpu_utilization_percentage=60
    )
    old, new = client.AutoscalingV1Api(api), client.AutoscalingV2Api(api)
    body = client.V1HorizontalPodAutoscaler(metadata=client.V1ObjectMeta(name="a"), spec=spec)
    old.create_namespaced_horizontal_pod_autoscaler(namespace, body)
    read = new.read_namespaced_horizontal_pod_autoscaler("a", namespace)
    assert read.spec.metrics[0].resource.target.average_utilization == 60
    read.spec.max_replicas = 5
    read.metadata.resource_version = None
    new.replace_namespaced_horizontal_pod_autoscaler("a", namespace, read)
    seen = old.read_namespaced_horizontal_pod_autoscaler_status("a", namespace)
    assert (seen.spec.max_replicas, seen.status.current_replicas) == (5, 0)
    [listed] = old.list_namespaced_horizontal_pod_autoscaler(namespace).items
    assert listed.spec.target_cpu_utilization_percentage == 60
    metrics = client.CustomObjectsApi(api).list_cluster_custom_object("metrics.k8s.io", "v1beta1", "pods")
    assert (metrics["kind"], metrics["items"]) == ("PodMetricsList", [])
