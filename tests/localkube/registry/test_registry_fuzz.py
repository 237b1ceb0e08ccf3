"""Whatever a client sends, the answer is an object or a Status: never a traceback, never a broken store."""

import copy
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry_custom import widgets
from registry_manifests import budget, container, deployment, job, pod, service

from lab.core.clock import SystemClock
from lab.kube.patch import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import WriteOptions
from lab.localkube.registry.registry import LocalRegistry, open_registry

_probe = {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 2}
_full = container(
    ports=[{"name": "http", "containerPort": 80}],
    env=[
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ],
    resources={"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}},
    readinessProbe=_probe,
    lifecycle={"preStop": {"exec": {"command": ["true"]}}},
    volumeMounts=[{"name": "v", "mountPath": "/v"}],
)
_volumes = [{"name": "v", "configMap": {"name": "c"}}]
_owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "1", "controller": True}
_meta = {"annotations": {"a": "b"}, "finalizers": ["example.com/x"], "ownerReferences": [_owner]}
_subject = {"kind": "ServiceAccount", "name": "s", "namespace": "default"}
MANIFESTS: dict[str, dict[str, Any]] = {
    "Pod": pod("x", meta=_meta, containers=[_full], volumes=_volumes, tolerations=[{"key": "k"}]),
    "Deployment": deployment("x", strategy={"rollingUpdate": {"maxSurge": 1}}),
    "Service": service("x", ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2, "targetPort": "http"}]),
    "Job": job("x", backoffLimit=1),
    "PodDisruptionBudget": budget("x", minAvailable="50%"),
    "Secret": {"metadata": {"name": "x"}, "data": {"a": "Yg=="}, "stringData": {"b": "c"}},
    "RoleBinding": {
        "metadata": {"name": "x"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [_subject],
    },
    "EndpointSlice": {
        "metadata": {"name": "x"},
        "addressType": "IPv4",
        "ports": [{"port": 1}],
        "endpoints": [{"addresses": ["127.0.0.1"]}],
    },
    "NetworkPolicy": {
        "metadata": {"name": "x"},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 1}]}]},
    },
    "HorizontalPodAutoscaler": {
        "metadata": {"name": "x"},
        "spec": {"maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "x"}},
    },
}

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "-1", "None", "50%", "$patch", "a/b", "\u0000", "é" * 70, "1e400"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["name", "spec", "$patch", "a b", "port", "matchLabels", ""]), inner, max_size=2
        )
    ),
    max_leaves=5,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Every path in a document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, member in value.items():
            found += places(member, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*path, index))
    return found


def spoiled(document: dict, path: tuple, value: Any) -> dict:
    """The document with something else at a path."""
    result = copy.deepcopy(document)
    target: Any = result
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return result


@pytest.fixture(scope="module")
def shared():
    with tempfile.TemporaryDirectory() as directory:
        registry = open_registry(
            Path(directory),
            clock=SystemClock(),
            service_range=[f"127.9.{a}.{b}" for a in range(200, 250) for b in range(1, 255)],
            chance=random.Random(1),
        )
        yield registry
        registry.close()


def attempt(registry: LocalRegistry, act) -> None:
    """Do it; a refusal must be a client error and change nothing."""
    rv, refusal = registry.rv, None
    try:
        act()
    except StatusError as error:
        refusal = error
    if refusal is not None:
        assert 400 <= refusal.code < 500, refusal.message
    assert registry.rv == rv


_settings = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("kind", MANIFESTS)
@_settings
@given(data=st.data())
def test_spoiled_manifests(shared: LocalRegistry, kind: str, data: st.DataObject) -> None:
    resource = builtin(kind)
    manifest = MANIFESTS[kind]
    path = data.draw(st.sampled_from(places(manifest)))
    broken = spoiled(manifest, path, data.draw(_values))
    options = WriteOptions(dry_run=True, field_manager="fuzz")
    attempt(shared, lambda: shared.create(resource, "default", broken, options))


@pytest.mark.parametrize("kind", MANIFESTS)
@_settings
@given(data=st.data())
def test_spoiled_patches(shared: LocalRegistry, kind: str, data: st.DataObject) -> None:
    resource = builtin(kind)
    manifest = MANIFESTS[kind]
    if not shared.list(resource, "default", field_selector="metadata.name=x").items:
        shared.create(resource, "default", manifest, WriteOptions(field_manager="setup"))
    broken = spoiled(manifest, data.draw(st.sampled_from(places(manifest))), data.draw(_values))
    pointer = data.draw(st.sampled_from(places(manifest)))
    operation = {
        "op": data.draw(st.sampled_from(["add", "remove", "replace", "test", "move", "copy", "?"])),
        "path": data.draw(st.sampled_from(["/" + "/".join(map(str, pointer)), "", "/", "spec", "/spec/~2"])),
        "value": data.draw(_values),
        "from": "/spec",
    }
    kind_of_patch, patch = data.draw(
        st.sampled_from(
            [
                (MERGE_PATCH, broken),
                (STRATEGIC_MERGE_PATCH, broken),
                (APPLY_PATCH, broken),
                (JSON_PATCH, [operation]),
            ]
        )
    )
    where = data.draw(st.sampled_from(["", "status"])) if "status" in resource.subresources else ""
    options = WriteOptions(dry_run=True, field_manager="fuzz", force=data.draw(st.booleans()))
    attempt(
        shared,
        lambda: shared.patch(
            resource, "default", "x", patch, kind_of_patch, subresource=where, options=options
        ),
    )


WIDGET = {
    "metadata": {"name": "x"},
    "spec": {
        "size": "small",
        "replicas": 2,
        "code": "abc",
        "when": "2030-01-01T00:00:00Z",
        "free": {"a": [1]},
        "labels": {"a": "b"},
        "parts": [{"name": "a", "weight": 1}],
    },
    "status": {"replicas": 1},
}


@_settings
@given(data=st.data())
def test_spoiled_definitions(shared: LocalRegistry, data: st.DataObject) -> None:
    manifest = widgets()
    broken = spoiled(manifest, data.draw(st.sampled_from(places(manifest))), data.draw(_values))
    options = WriteOptions(dry_run=True)
    attempt(shared, lambda: shared.create(builtin("CustomResourceDefinition"), "", broken, options))


@_settings
@given(data=st.data())
def test_spoiled_custom_objects(shared: LocalRegistry, data: st.DataObject) -> None:
    definitions = builtin("CustomResourceDefinition")
    if not shared.list(definitions).items:
        made = copy.deepcopy(shared.create(definitions, "", widgets()))
        made["status"]["conditions"] = [{"type": "Established", "status": "True"}]
        shared.update(definitions, "", made["metadata"]["name"], made, subresource="status")
    resource = shared.resource("example.com", data.draw(st.sampled_from(["v1", "v1beta1"])), "widgets")
    broken = spoiled(WIDGET, data.draw(st.sampled_from(places(WIDGET))), data.draw(_values))
    options = WriteOptions(dry_run=True, field_manager="fuzz")
    attempt(shared, lambda: shared.create(resource, "default", broken, options))
    attempt(shared, lambda: shared.patch(resource, "default", "x", broken, APPLY_PATCH, options=options))
