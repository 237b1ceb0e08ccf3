"""kr8s, with asyncio and without: each program checks what it is given, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from localkube_process import Served

CLIENT = "kr8s"
WAIT = 120.0
"""Seconds: far more than a program takes, also on a loaded machine."""

ASYNCIO = """
import asyncio
import sys

import httpx
import kr8s
from kr8s.asyncio.objects import ConfigMap, Deployment, Node, Pod, Service, new_class

kubeconfig, namespace = sys.argv[1:]
SERVER = '''
import http.server, os
print("listening", flush=True)
http.server.test(http.server.SimpleHTTPRequestHandler, bind=os.environ["IP"], port=8080)
'''
CONTAINER = {
    "name": "c", "image": "python", "command": ["python", "-u", "-c", SERVER],
    "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
}
LABELS = {"app": "web"}
SCALE = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
SCHEMA = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


async def main():
    api = await kr8s.asyncio.api(kubeconfig=kubeconfig, namespace=namespace)
    assert (await api.version())["gitVersion"].startswith("v1.32.")
    assert await api.whoami()
    assert [node.name async for node in api.get("nodes")] == ["local"]

    spec = {"terminationGracePeriodSeconds": 1, "containers": [CONTAINER]}
    template = {"metadata": {"labels": LABELS}, "spec": spec}
    deployment = await Deployment({
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template},
    }, api=api)
    assert not await deployment.exists()
    await deployment.create()
    await deployment.wait("condition=Available", timeout=60)
    assert await deployment.ready()
    await deployment.scale(2)
    await deployment.wait("jsonpath='{.status.readyReplicas}'=2", timeout=60)
    await deployment.refresh()
    assert (deployment.replicas, deployment.spec.replicas) == (2, 2)
    await deployment.label(tier="front")
    await deployment.annotate(note="yes")
    await deployment.patch({"spec": {"minReadySeconds": 1}})
    await deployment.patch([{"op": "replace", "path": "/spec/replicas", "value": 1}], type="json")
    await deployment.wait("jsonpath='{.status.replicas}'=1", timeout=60)
    assert (deployment.labels["tier"], deployment.annotations["note"]) == ("front", "yes")

    pods = [each async for each in api.get("pods", label_selector=LABELS)]
    [pod] = [each for each in pods if "deletionTimestamp" not in each.metadata]
    assert await pod.ready()
    done = await pod.exec(["sh", "-c", "echo out; echo err >&2"])
    assert (done.stdout, done.stderr, done.returncode) == (b"out\\n", b"err\\n", 0)
    done = await pod.exec(["sh", "-c", "exit 3"], check=False)
    assert done.returncode == 3
    async for line in pod.logs(follow=True):
        if line == "listening":
            break
    async with pod.portforward(remote_port=8080, local_port="auto") as port:
        async with httpx.AsyncClient(trust_env=False) as http:
            for _ in range(3):
                assert (await http.get(f"http://127.0.0.1:{port}/")).status_code == 200

    seen = []
    async for kind, each in api.watch("configmaps", namespace=namespace):
        if each.name == "kube-root-ca.crt":
            one = await ConfigMap({"metadata": {"name": "one"}, "data": {"a": "b"}}, api=api)
            await one.create()
        elif each.name == "one":
            seen.append(kind)
            if kind == "ADDED":
                await one.delete()
            if kind == "DELETED":
                break
    assert seen == ["ADDED", "DELETED"]

    group = f"{namespace}.example.com"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gears.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "gears", "kind": "Gear"},
            "versions": [{
                "name": "v1", "served": True, "storage": True,
                "subresources": {"scale": SCALE},
                "schema": {"openAPIV3Schema": SCHEMA},
            }],
        },
    }
    kind = new_class(kind="CustomResourceDefinition", version="apiextensions.k8s.io/v1", namespaced=False)
    crd = await kind(definition, api=api)
    await crd.create()
    await crd.wait("condition=Established", timeout=60)
    Gear = new_class(kind="Gear", version=f"{group}/v1", namespaced=True, scalable=True)
    gear = await Gear({"metadata": {"name": "g"}, "spec": {"replicas": 1}}, api=api)
    await gear.create()
    await gear.scale(5)
    assert (await Gear.get("g", api=api)).spec.replicas == 5
    assert [each.name async for each in Gear.list(api=api)] == ["g"]
    await gear.delete()
    await crd.delete()
    await crd.wait("delete", timeout=60)
    await deployment.delete(propagation_policy="Foreground")
    await deployment.wait("delete", timeout=60)
    assert not await deployment.exists()
    try:
        await Pod.get("none", api=api)
    except kr8s.NotFoundError:
        print("well")


asyncio.run(main())
"""

PLAIN = """
import sys

import kr8s
from kr8s.objects import ConfigMap, Node, Pod, Secret

kubeconfig, namespace = sys.argv[1:]
api = kr8s.api(kubeconfig=kubeconfig, namespace=namespace)
assert api.version()["gitVersion"].startswith("v1.32.")
assert {"pods", "deployments"} <= {each["name"] for each in api.api_resources()}
assert "apps/v1" in list(api.api_versions())
box = Pod({
    "metadata": {"name": "box", "labels": {"app": "box"}},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "echo said; sleep 1000"]}],
    },
}, api=api)
box.create()
box.wait("condition=Ready", timeout=60)
assert [pod.name for pod in api.get("pods", label_selector="app=box")] == ["box"]
assert [pod.name for pod in api.get("pods", "box", field_selector={"status.phase": "Running"})] == ["box"]
assert box.exec(["cat"], check=False).returncode == 0
assert box.exec(["echo", "hi"]).stdout == b"hi\\n"
assert next(iter(box.logs())) == "said"
settings = ConfigMap({"metadata": {"name": "settings"}, "data": {"a": "1"}}, api=api)
settings.create()
settings.set_owner(box)
settings.patch({"data": {"b": "2"}})
assert dict(ConfigMap.get("settings", api=api).data) == {"a": "1", "b": "2"}
node = Node.get("local", api=api)
node.cordon()
assert node.unschedulable
node.uncordon()
box.delete()
box.wait("delete", timeout=60)
settings.wait("delete", timeout=60)
try:
    settings.refresh()
except kr8s.NotFoundError:
    print("well")
"""


def run(program: str, cluster: Served, namespace: str) -> None:
    command = [sys.executable, "-c", program, str(cluster.kubeconfig), namespace]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="asyncio: create, get, patch, scale, wait, ready, watch, delete")
@pytest.mark.conforms(client=CLIENT, verb="asyncio: logs, exec, portforward")
@pytest.mark.conforms(client=CLIENT, verb="asyncio: new_class for custom resources, scaled")
def test_with_asyncio(cluster: Served, namespace: str) -> None:
    run(ASYNCIO, cluster, namespace)


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="sync: get, create, patch, wait, logs, exec, cordon, owner, delete")
def test_without(cluster: Served, namespace: str) -> None:
    run(PLAIN, cluster, namespace)
