"""Every kind that is served, through the official Python client's own method for each verb."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.rest import ApiException
from localkube_process import Served

from lab.kube.resources import BUILTIN, Resource

BODIES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "bodies.yaml").read_text())
"""What is needed to create one of each kind, by the resource's key."""

CLIENT = "python (typed)"
SWEPT = [each for each in BUILTIN if "create" in each.verbs and "delete" in each.verbs]
PATCHES: dict[str, Any] = {
    "application/strategic-merge-patch+json": {"metadata": {"annotations": {"strategic": "yes"}}},
    "application/merge-patch+json": {"metadata": {"annotations": {"merge": "yes"}}},
    "application/json-patch+json": [{"op": "add", "path": "/metadata/annotations/json", "value": "yes"}],
}
WAIT = 60.0
"""Seconds: far more than anything here takes, also on a loaded machine."""


@pytest.fixture(scope="module")
def api(cluster: Served) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield made


def api_of(api: client.ApiClient, resource: Resource) -> Any:
    """The client's class for a resource's group and version: `rbac.authorization.k8s.io/v1` is
    RbacAuthorizationV1Api."""
    words = re.split(r"[.-]", (resource.group or "core").removesuffix(".k8s.io"))
    return getattr(client, "".join(w.capitalize() for w in (*words, resource.version)) + "Api")(api)


class Calls:
    """The client's methods for one resource; those of a namespaced one have its namespace filled in."""

    def __init__(self, api: client.ApiClient, resource: Resource, namespace: str) -> None:
        self._api = api_of(api, resource)
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", resource.kind).lower()
        self._kind = f"namespaced_{kind}" if resource.namespaced else kind
        self._namespace = {"namespace": namespace} if resource.namespaced else {}

    def __call__(self, verb: str, name: str = "", subresource: str = "", **more: Any) -> Any:
        method = f"{verb}_{self._kind}" + (f"_{subresource}" if subresource else "")
        named = {"name": name} if name else {}
        return getattr(self._api, method)(**named, **self._namespace, **more)


def body(resource: Resource, namespace: str, name: str) -> dict[str, Any]:
    """A new object, as `bodies.yaml` has it."""
    plural = name.partition(".")[0]
    words = {
        "NAMESPACE": namespace,
        "NAME": name,
        "PLURAL": plural,
        "SINGULAR": plural,
        "KIND": plural.title(),
    }
    text = yaml.safe_dump(BODIES.get(resource.key, {}))
    made: dict[str, Any] = yaml.safe_load(re.sub("|".join(words), lambda found: words[found[0]], text))
    metadata = {"name": name, "labels": {"swept": "yes"}}
    return {"apiVersion": resource.api_version, "kind": resource.kind, **made, "metadata": metadata}


def named(resource: Resource, namespace: str, number: str) -> str:
    """A name that no other test has, also where names are the cluster's."""
    if resource.kind == "CustomResourceDefinition":
        return f"things{number}.{namespace}.example.com"
    return f"{namespace}-{number}"


def replaced(call: Calls, name: str, subresource: str = "") -> Any:
    """Read, label and replace; a controller may have written in between, as in any cluster."""
    for _ in range(20):
        found = call("read", name)
        found.metadata.labels["replaced"] = "yes"
        try:
            return call("replace", name, subresource, body=found)
        except ApiException as error:
            if error.status != 409:
                raise
    raise AssertionError(f"{name} is written to all the time")


def gone(call: Calls, name: str) -> bool:
    try:
        call("read", name)
    except ApiException as error:
        if (error.status, error.reason) != (404, "Not Found"):
            raise
        return True
    return False


def until(condition: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + WAIT, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        pause.wait(0.02)


@pytest.mark.slow
@pytest.mark.conforms(
    client=CLIENT, verb="create, read, list, replace, patch (all types), delete, deletecollection: every kind"
)
@pytest.mark.parametrize("resource", SWEPT, ids=lambda each: each.key)
def test_the_life_of_each_kind(api: client.ApiClient, namespace: str, resource: Resource) -> None:
    call = Calls(api, resource, namespace)
    one, two = (named(resource, namespace, number) for number in "ab")
    made = call("create", body=body(resource, namespace, one))
    assert (made.metadata.name, made.kind, made.api_version) == (one, resource.kind, resource.api_version)
    with pytest.raises(ApiException) as twice:
        call("create", body=body(resource, namespace, one))
    assert (twice.value.status, twice.value.reason) == (409, "Conflict")
    assert call("read", one).metadata.uid == made.metadata.uid
    assert replaced(call, one).metadata.labels["replaced"] == "yes"
    for content_type, patch in PATCHES.items():
        patched = call("patch", one, body=patch, _content_type=content_type)
    assert {"merge", "json", "strategic"} <= set(patched.metadata.annotations)
    if resource.kind != "ControllerRevision":  # upstream takes any apply for a change of its data
        applied = body(resource, namespace, one) | {"metadata": {"name": one, "labels": {"applied": "yes"}}}
        apply = {"field_manager": "sweep", "force": True, "_content_type": "application/apply-patch+yaml"}
        assert call("patch", one, body=applied, **apply).metadata.labels["applied"] == "yes"
    assert call("create", body=body(resource, namespace, two), dry_run="All").metadata.name == two
    assert gone(call, two)
    call("create", body=body(resource, namespace, two))
    mine = {"field_selector": f"metadata.name={two}", "label_selector": "swept=yes"}
    assert [each.metadata.name for each in call("list", **mine).items] == [two]
    for subresource in {"status", "scale"} & set(resource.subresources):
        check_subresource(call, subresource, one)
    call("delete", one, grace_period_seconds=0, propagation_policy="Background")
    until(lambda: gone(call, one))
    assert not gone(call, two)
    if "deletecollection" in resource.verbs:
        call("delete_collection", **mine)
    else:
        call("delete", two)
    until(lambda: gone(call, two))


def check_subresource(call: Calls, subresource: str, name: str) -> None:
    uid = call("read", name).metadata.uid
    assert call("read", name, subresource).metadata.uid == uid
    if subresource == "scale":
        assert not call("patch", name, "scale", body={"spec": {"replicas": 0}}).spec.replicas  # 0 is left out
        scale = call("read", name, "scale")
        assert call("replace", name, "scale", body=scale).metadata.uid == uid
    else:
        assert (
            call("patch", name, "status", body={"metadata": {"annotations": {"s": "t"}}}).metadata.uid == uid
        )
        assert replaced(call, name, "status").metadata.uid == uid
