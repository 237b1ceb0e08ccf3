"""Custom resources with the clients that people have: kubectl, the Python client, a kopf operator."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import kubernetes
import pytest
import yaml
from kubectls import Kubectl
from kubernetes.dynamic import DynamicClient
from localkube_process import Served

from lab.kube.client import KubeClient
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError

DEFINITIONS = builtin("CustomResourceDefinition")
TEMPLATE = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [SHORT], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Size, type: string, jsonPath: .spec.size, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: Something to try.
        properties:
          spec:
            type: object
            required: [size]
            properties:
              replicas: {type: integer, default: 1, description: How many.}
              size: {type: string, enum: [small, large]}
              parts:
                type: array
                items: {type: object, properties: {name: {type: string}, responses: {type: object}}}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
WAIT = 30.0
"""Seconds: far more than anything here takes, also on a loaded machine."""


def new_group() -> str:
    """A group of the test's own: the server is shared."""
    return f"g{uuid.uuid4().hex[:8]}.example.com"


def definition(group: str) -> str:
    return TEMPLATE.replace("GROUP", group).replace("SHORT", group.partition(".")[0])


def widget(group: str, name: str = "one", size: str = "small") -> str:
    return (
        f"apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: {name}}}\n"
        f"spec: {{size: {size}, parts: [{{name: a}}]}}\n"
    )


async def until(answers: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a question is answered with yes."""
    async with asyncio.timeout(WAIT):
        while not await answers():
            await asyncio.sleep(0.02)


async def test_a_definition_comes_is_served_and_goes_with_its_objects(
    kube: KubeClient, namespace: str
) -> None:
    group = new_group()
    created = await kube.create(DEFINITIONS, yaml.safe_load(definition(group)))
    name = created["metadata"]["name"]
    widgets = Resource(group, "v1", "widgets", "Widget")

    async def served() -> bool:
        conditions = (await kube.get(DEFINITIONS, name))["status"]["conditions"]
        return {"NamesAccepted", "Established"} <= {c["type"] for c in conditions if c["status"] == "True"}

    await until(served)
    made = await kube.create(widgets, yaml.safe_load(widget(group)), namespace)
    assert made["spec"]["replicas"] == 1
    owner = {"apiVersion": f"{group}/v1", "kind": "Widget", "name": "one", "uid": made["metadata"]["uid"]}
    owned = {"metadata": {"name": "owned", "ownerReferences": [owner]}}
    await kube.create("configmaps", owned, namespace)
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    await kube.patch(widgets, "one", held, namespace)
    await kube.delete(DEFINITIONS, name)

    async def waits() -> bool:
        conditions = (await kube.get(DEFINITIONS, name))["status"]["conditions"]
        return any(each["reason"] == "InstanceDeletionInProgress" for each in conditions)

    await until(waits)
    with pytest.raises(
        StatusError, match="create not allowed while custom resource definition is terminating"
    ):
        await kube.create(widgets, yaml.safe_load(widget(group, "two")), namespace)
    await kube.patch(widgets, "one", {"metadata": {"finalizers": None}}, namespace)

    async def gone() -> bool:
        present = await kube.list(DEFINITIONS, field_selector=f"metadata.name={name}")
        return not present["items"]

    async def collected() -> bool:
        query = "metadata.name=owned"
        return not (await kube.list("configmaps", namespace, field_selector=query))["items"]

    await until(gone)
    await until(collected)
    with pytest.raises(StatusError) as caught:
        await kube.list(widgets, namespace)
    assert caught.value.code == 404


async def test_a_name_in_use_is_accepted_when_it_is_free(kube: KubeClient) -> None:
    group = new_group()
    first = yaml.safe_load(definition(group))
    second = yaml.safe_load(definition(group))
    second["metadata"]["name"] = f"gadgets.{group}"
    second["spec"]["names"] |= {"plural": "gadgets", "singular": "gadget", "shortNames": []}
    await kube.create(DEFINITIONS, first)

    async def state(name: str) -> dict[str, tuple[str, str]]:
        found = await kube.get(DEFINITIONS, name)
        return {c["type"]: (c["status"], c["reason"]) for c in found["status"]["conditions"]}

    async def first_served() -> bool:
        return (await state(first["metadata"]["name"])).get("Established", ("",))[0] == "True"

    await until(first_served)
    await kube.create(DEFINITIONS, second)

    async def refused() -> bool:
        return (await state(second["metadata"]["name"])).get("NamesAccepted") == ("False", "ListKindConflict")

    async def accepted() -> bool:
        return (await state(second["metadata"]["name"])).get("Established", ("",))[0] == "True"

    await until(refused)
    assert (await state(second["metadata"]["name"]))["Established"] == ("False", "NotAccepted")
    await kube.delete(DEFINITIONS, first["metadata"]["name"])
    await until(accepted)
    await kube.delete(DEFINITIONS, second["metadata"]["name"])


@contextmanager
def defined(kubectl: Kubectl) -> Iterator[str]:
    """A group with its Widgets, as kubectl defines, awaits and deletes them."""
    group = new_group()
    assert "created" in kubectl("apply", "-f", "-", stdin=definition(group))
    kubectl("wait", "--for=condition=Established", f"--timeout={WAIT}s", f"crd/widgets.{group}")
    try:
        yield group
    finally:
        assert "deleted" in kubectl("delete", "crd", f"widgets.{group}")


@pytest.mark.slow
@pytest.mark.parametrize("minor", ["1.30", "1.31", "1.32", "1.33"])
def test_kubectl_finds_its_way(kubectl_of: Callable[..., Kubectl], minor: str) -> None:
    kubectl = kubectl_of(minor)
    with defined(kubectl) as group:
        short, full = group.partition(".")[0], f"widgets.{group}"
        assert "unchanged" in kubectl("apply", "-f", "-", stdin=definition(group))
        assert full in kubectl("api-resources", "-o", "name").split()
        assert "created" in kubectl("apply", "-f", "-", stdin=widget(group))
        lines = kubectl("get", short, "-o", "wide").splitlines()
        assert lines[0].split() == ["NAME", "REPLICAS", "READY", "SIZE", "AGE"]
        assert lines[1].split()[:3] == ["one", "1", "small"]
        assert "replicas\t<integer>" in kubectl("explain", "widgets.spec", f"--api-version={group}/v1")
        assert "DESCRIPTION:\n    How many." in kubectl(
            "explain", "widgets.spec.replicas", f"--api-version={group}/v1"
        )
        assert kubectl("diff", "-f", "-", stdin=widget(group)) == ""
        assert "configured" in kubectl("apply", "-f", "-", stdin=widget(group, size="large"))
        assert "scaled" in kubectl("scale", f"{full}/one", "--replicas=3")
        kubectl("patch", full, "one", "--type=json", "-p", '[{"op":"remove","path":"/spec/parts"}]')
        strategic = kubectl("patch", full, "one", "-p", '{"spec":{"replicas":2}}', fails=True)
        assert "application/strategic-merge-patch+json is not supported" in strategic
        ready = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
        kubectl("patch", full, "one", "--subresource=status", "--type=merge", "-p", ready)
        assert kubectl("get", full, "one").splitlines()[1].split()[1:3] == ["3", "True"]
        kubectl("wait", "--for=condition=Ready", f"--timeout={WAIT}s", f"{full}/one")
        kubectl("label", full, "one", "a=b")
        assert "widget" in kubectl("get", "all", "-l", "a=b", "-o", "name")
        assert "one" in kubectl("describe", full, "one")
        kubectl("get", f"widgets.v1beta1.{group}")
        applied = kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=widget(group))
        assert "serverside-applied" in applied


@pytest.mark.slow
@pytest.mark.parametrize("minor", ["1.30", "1.33"])
def test_kubectl_is_told_what_is_wrong(kubectl_of: Callable[..., Kubectl], minor: str) -> None:
    kubectl = kubectl_of(minor)
    with defined(kubectl) as group:
        wrong = widget(group).replace("size:", "sise:")
        assert 'unknown field "spec.sise"' in kubectl("apply", "-f", "-", stdin=wrong, fails=True)
        lax = kubectl("apply", "--validate=false", "-f", "-", stdin=wrong, fails=True)
        assert "spec.size: Required value" in lax
        tiny = kubectl("create", "-f", "-", stdin=widget(group, size="tiny"), fails=True)
        assert 'spec.size: Unsupported value: "tiny": supported values: "small", "large"' in tiny
        kubectl("auth", "can-i", "get", f"widgets.{group}", "--as=nobody", fails=True)
        kubectl("create", "role", "reads", "--verb=get,list", f"--resource=widgets.{group}")
        kubectl("create", "rolebinding", "reads", "--role=reads", "--user=ann")
        assert "yes" in kubectl("auth", "can-i", "list", f"widgets.{group}", "--as=ann")
        denied = kubectl("create", "--as=ann", "-f", "-", stdin=widget(group), fails=True)
        assert f'cannot create resource "widgets" in API group "{group}"' in denied


@pytest.mark.slow
def test_the_python_client(kubectl_of: Callable[..., Kubectl], served: Served, namespace: str) -> None:
    kubectl = kubectl_of()
    path = str(served.kubeconfig)
    with defined(kubectl) as group, kubernetes.config.new_client_from_config(path) as client:
        custom = kubernetes.client.CustomObjectsApi(client)
        where = (group, "v1", namespace, "widgets")
        made = custom.create_namespaced_custom_object(*where, yaml.safe_load(widget(group)))
        assert made["spec"]["replicas"] == 1
        custom.patch_namespaced_custom_object(*where, "one", {"spec": {"replicas": 2}})
        custom.patch_namespaced_custom_object_status(*where, "one", {"status": {"replicas": 2}})
        scale = custom.get_namespaced_custom_object_scale(*where, "one")
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (2, 2)
        custom.patch_namespaced_custom_object_scale(*where, "one", {"spec": {"replicas": 4}})
        found = custom.get_namespaced_custom_object(*where, "one")
        assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (4, 3)
        listed = custom.list_namespaced_custom_object(*where)
        assert (listed["kind"], listed["items"][0]["kind"]) == ("WidgetList", "Widget")
        definitions = kubernetes.client.ApiextensionsV1Api(client)
        read = definitions.read_custom_resource_definition(f"widgets.{group}")
        assert read.status.stored_versions == ["v1"]
        dynamic = DynamicClient(client).resources.get(api_version=f"{group}/v1", kind="Widget")
        dynamic.server_side_apply(
            body={"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "two"}}
            | {"spec": {"size": "large"}},
            namespace=namespace,
            field_manager="dynamic",
        )
        assert {each.metadata.name for each in dynamic.get(namespace=namespace).items} == {"one", "two"}
        watch = kubernetes.watch.Watch()
        for event in watch.stream(custom.list_namespaced_custom_object, *where, timeout_seconds=20):
            assert event["type"] == "ADDED"
            if event["object"]["metadata"]["name"] == "two":
                watch.stop()
        custom.delete_collection_namespaced_custom_object(*where)
        assert custom.list_namespaced_custom_object(*where)["items"] == []


PEERINGS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kopfpeerings.kopf.dev}
spec:
  scope: Namespaced
  group: kopf.dev
  names: {kind: KopfPeering, plural: kopfpeerings, singular: kopfpeering}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {status: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
OPERATOR = """
import kopf


@kopf.on.startup()
def configure(settings, **_):
    settings.persistence.finalizer = "example.com/operator"


@kopf.on.create("GROUP", "v1", "widgets")
def made(spec, patch, **_):
    patch.status["replicas"] = spec["replicas"]
    return {"size": spec["size"]}


@kopf.on.update("GROUP", "v1", "widgets", field="spec.replicas")
def scaled(old, new, patch, body, **_):
    patch.status["replicas"] = new
    kopf.event(body, type="Normal", reason="Scaled", message=f"from {old} to {new}")


@kopf.on.delete("GROUP", "v1", "widgets")
def gone(body, **_):
    kopf.event(body, type="Normal", reason="Gone", message="all is cleared away")
"""


def start_operator(program: Path, log: Path, namespace: str, kubeconfig: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "kopf", "run", "-n", namespace, "--peering=mine", str(program)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"KUBECONFIG": kubeconfig},
        )


@pytest.mark.slow
async def test_a_kopf_operator(
    kubectl_of: Callable[..., Kubectl], served: Served, kube: KubeClient, namespace: str, tmp_path: Path
) -> None:
    kubectl = kubectl_of()
    kubectl("apply", "-f", "-", stdin=PEERINGS)
    kubectl("wait", "--for=condition=Established", f"--timeout={WAIT}s", "crd/kopfpeerings.kopf.dev")
    peering = {"apiVersion": "kopf.dev/v1", "kind": "KopfPeering", "metadata": {"name": "mine"}}
    kubectl("apply", "-f", "-", stdin=json.dumps(peering))
    with defined(kubectl) as group:
        widgets = Resource(group, "v1", "widgets", "Widget")
        program, log = tmp_path / "operator.py", tmp_path / "log"
        program.write_text(OPERATOR.replace("GROUP", group))
        operator = start_operator(program, log, namespace, str(served.kubeconfig))
        try:
            await _operate(kube, widgets, namespace)
        finally:
            operator.send_signal(signal.SIGTERM)
            code = operator.wait(WAIT)
        assert code == 0, log.read_text()
        assert "ERROR" not in log.read_text(), log.read_text()
    kubectl("delete", "crd", "kopfpeerings.kopf.dev")


async def _operate(kube: KubeClient, widgets: Resource, namespace: str) -> None:
    """An object's life with its operator."""
    await kube.create(widgets, yaml.safe_load(widget(widgets.group)), namespace)

    async def reported(replicas: int) -> bool:
        found = await kube.get(widgets, "one", namespace)
        return (found.get("status") or {}).get("replicas") == replicas

    await until(lambda: reported(1))
    found = await kube.get(widgets, "one", namespace)
    assert found["metadata"]["finalizers"] == ["example.com/operator"]
    assert found["status"]["made"] == {"size": "small"}
    await kube.patch(widgets, "one", {"spec": {"replicas": 5}}, namespace)
    await until(lambda: reported(5))
    await kube.delete(widgets, "one", namespace)

    async def gone() -> bool:
        return not (await kube.list(widgets, namespace))["items"]

    async def told() -> bool:
        events = (await kube.list("events", namespace))["items"]
        return {"Scaled", "Gone"} <= {each["reason"] for each in events}

    async def announced() -> bool:
        peerings = Resource("kopf.dev", "v1", "kopfpeerings", "KopfPeering")
        found = await kube.list(peerings, namespace)
        return any(each.get("status") for each in found["items"])

    await until(gone)
    await until(told)
    assert await announced()
