"""What tests ask of the localkube in a container, from inside of it: furnish | pods [mode]."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import yaml

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.resources import builtin

ADMIN = Path(json.loads(Path("/data/ready").read_text())["kubeconfig"])


async def furnish(kube: KubeClient) -> dict[str, object]:
    """Create what lies in /setup; the gateway's kubeconfig."""
    for obj in json.loads(Path("/setup/objects.json").read_text()):
        await kube.create(builtin(obj["kind"]), obj)
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = await kube.create("serviceaccounts", wanted, "lab-system", name="gateway", subresource="token")
    config = yaml.safe_load(ADMIN.read_text())
    config["users"][0]["user"] = {"token": made["status"]["token"]}
    return dict(config)


async def pods(kube: KubeClient, mode: str = "") -> list[str]:
    """The shop's pods, after the automation's mode is set if one is given."""
    if mode:
        await kube.patch("configmaps", "automation-control", {"data": {"mode": mode}}, "lab-system")
    return sorted(pod["metadata"]["name"] for pod in (await kube.list("pods", "shop"))["items"])


async def main() -> None:
    what, *arguments = sys.argv[1:]
    async with KubeClient(load_kubeconfig(ADMIN)) as kube:
        print(json.dumps(await {"furnish": furnish, "pods": pods}[what](kube, *arguments)))


if __name__ == "__main__":
    asyncio.run(main())
