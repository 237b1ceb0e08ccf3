"""Where tests get a Kubernetes API: a localkube of their own, or the cluster that they are given.

    with any_cluster.cluster(folder) as kubeconfig:
        async with KubeClient(load_kubeconfig(kubeconfig)) as kube:
            await any_cluster.furnish(kube, "gateway.yaml", namespaces=("shop", "lab-system"))

`SAFETY_KUBECONFIG` names the cluster that is given (`make safety KUBECONFIG=…`); see given_cluster.py. Then
every test finds the three namespaces there, empty, and what it makes outside of them it makes with `create`.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from address_blocks import free_block
from given_cluster import LABEL, NAMESPACES, given_cluster

from lab.core.places import data_root
from lab.kube.client import KubeClient
from lab.kube.resources import builtin
from lab.kube.status import StatusError

UNSCHEDULED = "nobody"
"""A scheduler that no cluster has: pods that name it are looked at and never run, whoever else is there."""

_READY_SECONDS = 60
_END_SECONDS = 30

own_cluster_only = pytest.mark.skipif(
    given_cluster() is not None, reason="needs a cluster that nobody else uses"
)
"""For tests that would hurt others, or that want what only localkube has."""


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """An API server and its controllers, without a kubelet of the tests'; its administrator's kubeconfig."""
    shared = given_cluster()
    if shared is None:
        with localkube(folder, "--api-only") as kubeconfig:
            yield kubeconfig
        return
    shared.wipe()
    yield shared.write_kubeconfig(folder / "admin.kubeconfig")


@contextlib.contextmanager
def localkube(folder: Path, *options: str) -> Iterator[Path]:
    """A localkube with these options, whatever cluster is given; its administrator's kubeconfig."""
    for attempt in range(10):
        here = folder / f"localkube-{attempt}"
        here.mkdir()
        ready = here / "ready"
        command = [sys.executable, "-m", "lab.localkube", *options, "--block", str(free_block())]
        command += ["--data-dir", str(here / "data"), "--ready-file", str(ready)]
        with (here / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            if _answers(process, ready):
                found = Path(json.loads(ready.read_text())["kubeconfig"])
                yield Path(shutil.copy(found, folder / "admin.kubeconfig"))
                return
        finally:
            process.terminate()
            process.wait(_END_SECONDS)
    raise AssertionError((here / "log").read_text())


def _answers(process: subprocess.Popen[bytes], ready: Path) -> bool:
    """Whether it is ready; False when it ended first, as it does when its block is taken after all."""
    deadline = time.monotonic() + _READY_SECONDS
    while not ready.exists():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, f"localkube is not ready in {_READY_SECONDS} s"
        time.sleep(0.02)  # noqa: TID251 - fixtures of both kinds use this, hence outside of any loop
    return True


def worker(replicas: int) -> dict[str, Any]:
    """The shop's Deployment of workers, whose pods nobody runs."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "worker", "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "worker"}},
            "template": {
                "metadata": {"labels": {"app": "worker"}},
                "spec": {
                    "schedulerName": UNSCHEDULED,
                    "containers": [{"name": "worker", "image": "toil-lab"}],
                },
            },
        },
    }


async def furnish(kube: KubeClient, *files: str, namespaces: tuple[str, ...] = NAMESPACES) -> None:
    """The namespaces, and what the lab's own manifests (files of clusters/base) have besides what runs."""
    for name in namespaces:
        with contextlib.suppress(_AlreadyThere):
            await create(kube, "namespaces", {"metadata": {"name": name}})
    for file in files:
        for manifest in yaml.safe_load_all((data_root() / "clusters" / "base" / file).read_text()):
            if manifest["kind"] not in ("Deployment", "Service"):
                await create(kube, manifest["kind"], manifest)


async def create(kube: KubeClient, kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    """Create an object; one outside of any namespace with the label by which it is removed."""
    if not builtin(kind).namespaced:
        obj = copy.deepcopy(obj)
        obj["metadata"]["labels"] = (obj["metadata"].get("labels") or {}) | LABEL
    try:
        return await kube.create(kind, obj)
    except StatusError as error:
        if error.code == 409 and kind == "namespaces":
            raise _AlreadyThere from error
        raise


async def token(kube: KubeClient, account: str) -> str:
    """A token of a ServiceAccount of lab-system."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await kube.create("serviceaccounts", request, "lab-system", name=account, subresource="token")
    return str(answer["status"]["token"])


class _AlreadyThere(Exception):
    """A namespace of the given cluster is not made anew for each test."""
