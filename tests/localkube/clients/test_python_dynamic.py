"""The official Python client's dynamic half, and its way to create what files describe."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, utils
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, ResourceNotFoundError
from localkube_process import Served

CLIENT = "python (dynamic)"
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "pause"}]},
        },
    },
}


@pytest.fixture
def api(cluster: Served) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield made


def _definition(group: str) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gears.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "gears", "kind": "Gear", "shortNames": ["gr"]},
            "versions": [version | {"schema": schema}],
        },
    }


@pytest.mark.slow
@pytest.mark.conforms(
    client=CLIENT, verb="discovery with its cache: kinds, short names, groups, new definitions"
)
def test_discovery_is_cached_and_renewed(api: client.ApiClient, namespace: str, tmp_path: Path) -> None:
    cache, group = tmp_path / "discovery.json", f"{namespace}.example.com"
    found = DynamicClient(api, cache_file=str(cache))
    assert found.version["kubernetes"]["gitVersion"].startswith("v1.32.")
    assert {"", "apps", "batch", "networking.k8s.io"} <= set(found.resources.api_groups)
    pods = found.resources.get(api_version="v1", kind="Pod")
    assert (pods.name, pods.singular_name, pods.namespaced) == ("pods", "pod", True)
    assert {"eviction", "log", "status"} <= set(pods.subresources)
    assert {each.kind for each in found.resources.search(short_names=["deploy"])} == {
        "Deployment",
        "DeploymentList",
    }
    for resource in found.resources.search():
        assert resource.kind
    written = json.loads(cache.read_text())
    again = DynamicClient(api, cache_file=str(cache))
    assert again.resources.get(api_version="v1", kind="Pod").name == "pods"
    assert json.loads(cache.read_text())["resources"].keys() == written["resources"].keys()
    with pytest.raises(ResourceNotFoundError):
        again.resources.get(api_version=f"{group}/v1", kind="Gear")
    definitions = found.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
    definitions.create(body=_definition(group))
    try:
        for event in definitions.watch(name=f"gears.{group}", timeout=60):
            conditions = (event["object"].to_dict().get("status") or {}).get("conditions") or ()
            if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
                break
        gears = _served_at_last(again, group)
        body = {"apiVersion": f"{group}/v1", "kind": "Gear", "metadata": {"name": "g"}, "teeth": 7}
        assert gears.create(body=body, namespace=namespace).teeth == 7
        assert [each.metadata.name for each in gears.get(namespace=namespace).items] == ["g"]
    finally:
        definitions.delete(name=f"gears.{group}")


def _served_at_last(found: DynamicClient, group: str) -> Any:
    """The new kind. The client looks again at a group that it did not know; what is served comes at once."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return found.resources.get(api_version=f"{group}/v1", kind="Gear")
        except ResourceNotFoundError:
            assert time.monotonic() < deadline
            found.resources.invalidate_cache()


@pytest.mark.slow
@pytest.mark.conforms(
    client=CLIENT, verb="create, get, patch (four types), server_side_apply, replace, delete"
)
def test_patches_and_apply(api: client.ApiClient, namespace: str) -> None:
    deployments = DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")
    deployments.create(body=DEPLOYMENT, namespace=namespace)

    def patch(body: Any, kind: str) -> Any:
        content_type = f"application/{kind}-patch+json"
        return deployments.patch(name="d", namespace=namespace, body=body, content_type=content_type)

    more = {"spec": {"template": {"spec": {"containers": [{"name": "e", "image": "pause"}]}}}}
    assert len(patch(more, "strategic-merge").spec.template.spec.containers) == 2
    assert len(patch(more, "merge").spec.template.spec.containers) == 1
    remove = [{"op": "replace", "path": "/spec/paused", "value": True}]
    patch({"spec": {"paused": False}}, "merge")
    assert patch(remove, "json").spec.paused is True
    applied = {k: v for k, v in DEPLOYMENT.items() if k != "spec"} | {"spec": {"paused": False}}
    with pytest.raises(ConflictError) as conflict:
        deployments.server_side_apply(body=applied, name="d", namespace=namespace, field_manager="me")
    assert ".spec.paused" in str(conflict.value.summary())
    forced = deployments.server_side_apply(
        body=applied, name="d", namespace=namespace, field_manager="me", force_conflicts=True
    )
    assert forced.spec.to_dict().get("paused") in (False, None)
    assert "me" in {each.manager for each in forced.metadata.managedFields}
    stale = deployments.get(name="d", namespace=namespace).to_dict()
    patch({"metadata": {"labels": {"x": "y"}}}, "merge")
    with pytest.raises(ConflictError):
        deployments.replace(body=stale, namespace=namespace)
    dry = deployments.patch(
        name="d", namespace=namespace, body={"spec": {"replicas": 9}}, dry_run="All", field_manager="me"
    )
    assert dry.spec.replicas == 9
    assert deployments.get(name="d", namespace=namespace).spec.replicas == 0
    deployments.delete(name="d", namespace=namespace, body={"propagationPolicy": "Background"})
    with pytest.raises(NotFoundError):
        deployments.get(name="d", namespace=namespace)


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="subresources: status, scale, eviction")
def test_subresources(api: client.ApiClient, namespace: str) -> None:
    found = DynamicClient(api)
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    deployments.create(body=DEPLOYMENT, namespace=namespace)
    where = {"name": "d", "namespace": namespace}
    assert not deployments.scale.get(**where).spec.replicas  # zero is not written, as upstream
    scaled = deployments.scale.patch(body={"spec": {"replicas": 1}}, **where)
    assert (scaled.kind, scaled.spec.replicas) == ("Scale", 1)
    condition = {"type": "Mine", "status": "True", "reason": "Tried", "message": "it works"}
    status = deployments.status.patch(body={"status": {"conditions": [condition]}}, **where)
    assert "Mine" in {each.type for each in status.status.conditions}
    pods = found.resources.get(api_version="v1", kind="Pod")
    for event in pods.watch(namespace=namespace, timeout=60):
        name = event["object"].metadata.name
        break
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    assert pods.eviction.create(body=eviction, name=name, namespace=namespace).status == "Success"


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="watch, with names, selectors and versions")
def test_watch(api: client.ApiClient, namespace: str) -> None:
    maps = DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")

    def create(name: str, **labels: str) -> str:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}
        return str(maps.create(body=body, namespace=namespace).metadata.resourceVersion)

    first = create("a", kept="yes")
    create("b", kept="yes")
    create("c")
    where = {"namespace": namespace, "timeout": 1}
    later = maps.watch(label_selector="kept=yes", resource_version=first, **where)
    assert [(e["type"], e["object"].metadata.name) for e in later] == [("ADDED", "b")]
    assert [e["object"].metadata.name for e in maps.watch(name="c", **where)] == ["c"]


FILE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Secret, metadata: {name: two}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: Not A Name}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: three}
spec: {podSelector: {}}
"""


@pytest.mark.slow
@pytest.mark.conforms(
    client="python (utils)", verb="create_from_yaml: several documents, one of them invalid"
)
def test_files(api: client.ApiClient, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(FILE)
    with pytest.raises(utils.FailToCreateError) as failed:
        utils.create_from_yaml(api, str(tmp_path / "file.yaml"), namespace=namespace)
    [error] = failed.value.api_exceptions
    assert (error.status, json.loads(error.body)["reason"]) == (422, "Invalid")
    core, networking = client.CoreV1Api(api), client.NetworkingV1Api(api)
    assert core.read_namespaced_config_map("one", namespace).metadata.name == "one"
    assert core.read_namespaced_secret("two", namespace).type == "Opaque"
    assert networking.read_namespaced_network_policy("three", namespace).spec.policy_types == ["Ingress"]
    with pytest.raises(utils.FailToCreateError) as again:
        utils.create_from_yaml(api, yaml_objects=list(yaml.safe_load_all(FILE))[:1], namespace=namespace)
    assert again.value.api_exceptions[0].status == 409
    utils.create_from_yaml(
        api, yaml_objects=list(yaml.safe_load_all(FILE))[:1], namespace=namespace, apply=True
    )
