"""A node is lost under a service: what its customers see, what the cluster does, and what a return mends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import any_cluster
import pytest
from cluster_bench import ClusterBench
from shop_pods import until

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

SERVER = (
    "import http.server, os\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.send_header('Content-Length', '0'); self.end_headers()\n"
    "http.server.HTTPServer((os.environ['POD_IP'], 8080), Handler).serve_forever()\n"
)
ELSEWHERE = {"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"}
HERE = ELSEWHERE | {"operator": "Exists"}


@pytest.fixture
async def kube(tmp_path: Path) -> AsyncIterator[KubeClient]:
    """Three nodes that are given up after 4 s, and their pods 2 s later."""
    images = tmp_path / "images.yaml"
    images.write_text("images: [{match: toil-lab, runner: python}]")
    options = {"images": images, "nodes": 3, "node-monitor-grace-period": 4, "default-toleration-seconds": 2}
    with any_cluster.localkube(tmp_path, *(f"--{name}={value}" for name, value in options.items())) as admin:
        async with KubeClient(load_kubeconfig(admin)) as client:
            yield client


def deployment(name: str, where: dict[str, str], namespace: str) -> dict[str, Any]:
    """One pod, on a node with that label if it can be, or without it."""
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    container = {
        "name": "main",
        "image": "toil-lab",
        "command": ["python", "-c", SERVER],
        "env": [address],
        "readinessProbe": probe,
    }
    term = {"weight": 1, "preference": {"matchExpressions": [where]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    labels = {"app": name}
    spec = {"containers": [container], "affinity": affinity, "terminationGracePeriodSeconds": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


async def pods(kube: KubeClient, namespace: str = "shop") -> list[dict[str, Any]]:
    return list((await kube.list("pods", namespace))["items"])


async def furnish(kube: KubeClient) -> str:
    """A part of the lab on the first node, and a service on another; the service's address."""
    for namespace, name, where in (("lab-system", "gateway", HERE), ("shop", "api", ELSEWHERE)):
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await kube.create("namespaces", made)
        await kube.create("deployments", deployment(name, where, namespace))
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return str((await kube.create("services", service))["spec"]["clusterIP"])


async def ready(kube: KubeClient, node: str) -> str:
    conditions = (await kube.get("nodes", node))["status"]["conditions"]
    return next(str(each["status"]) for each in conditions if each["type"] == "Ready")


@pytest.mark.slow
async def test_a_lost_node_takes_its_pods_with_it_until_they_are_made_anew(
    kube: KubeClient, tmp_path: Path
) -> None:
    address = await furnish(kube)

    async def sells() -> bool:
        try:
            async with session.get(f"http://{address}/") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def refuses() -> bool:
        return not await sells()

    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        await until(sells, "the service answers")
        [victim] = await pods(kube)
        node = victim["spec"]["nodeName"]
        assert node != "local"
        injector = await ClusterBench(kube, tmp_path / "journal.json").injector()
        [entry] = await injector.inject("node-loss", parameters={"node": node})
        await until(refuses, "nobody answers")
        await until(sells, "another node has taken over")

        left, new = sorted(
            await pods(kube), key=lambda pod: pod["metadata"]["name"] != victim["metadata"]["name"]
        )
        assert left["metadata"]["uid"] == victim["metadata"]["uid"]
        assert "deletionTimestamp" in left["metadata"], "it cannot end without its kubelet"
        assert new["spec"]["nodeName"] not in (node, "")
        assert await ready(kube, node) == "Unknown"

        await injector.undo([entry], "heal")

        async def back() -> bool:
            return len(await pods(kube)) == 1 and await ready(kube, node) == "True"

        await until(back, "the node is back and has cleared away what was left")
        assert not (await kube.get("nodes", node))["spec"].get("taints")
        assert await sells()
