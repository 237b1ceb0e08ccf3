"""Latency of single requests, by the official client and by a thin one, and of lists of a thousand."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from lab.kube.kubeconfig import Connection
from tests.bench_kube.figures import Figures, Size, timed, times
from tests.bench_kube.manifests import MAKERS, Object
from tests.bench_kube.target import Target
from tests.bench_kube.thin import MERGE_PATCH, ThinClient, encoded

PATCH: Object = {"metadata": {"labels": {"patched": "yes"}}}


class Client(Protocol):
    """The four verbs, on one kind in one namespace."""

    def create(self, obj: Object) -> object: ...
    def get(self, name: str) -> object: ...
    def patch(self, name: str, patch: Object) -> object: ...
    def list(self) -> object: ...


class Thin:
    """By a bare connection."""

    def __init__(self, client: ThinClient, kind: str, namespace: str) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/{kind}"

    def create(self, obj: Object) -> object:
        return self._client.ask("POST", self._path, encoded(obj))

    def get(self, name: str) -> object:
        return self._client.ask("GET", f"{self._path}/{name}")

    def patch(self, name: str, patch: Object) -> object:
        return self._client.ask("PATCH", f"{self._path}/{name}", encoded(patch), MERGE_PATCH)

    def list(self) -> object:
        return self._client.ask("GET", self._path)


class Official:
    """By the official Python client."""

    def __init__(self, api: Any, kind: str, namespace: str) -> None:
        noun = {"configmaps": "config_map", "pods": "pod"}[kind]
        self._namespace = namespace
        self._create = getattr(api, f"create_namespaced_{noun}")
        self._read = getattr(api, f"read_namespaced_{noun}")
        self._patch = getattr(api, f"patch_namespaced_{noun}")
        self._list = getattr(api, f"list_namespaced_{noun}")

    def create(self, obj: Object) -> object:
        return self._create(self._namespace, obj)

    def get(self, name: str) -> object:
        return self._read(name, self._namespace)

    def patch(self, name: str, patch: Object) -> object:
        return self._patch(name, self._namespace, patch)

    def list(self) -> object:
        return self._list(self._namespace)


def official_api(target: Target) -> Any:
    """The official client's CoreV1Api."""
    from kubernetes import client, config

    return client.CoreV1Api(config.new_client_from_config(config_file=str(target.kubeconfig)))


def connected(connection: Connection) -> ThinClient:
    """A thin client whose connection is warm."""
    client = ThinClient(connection)
    client.ask("GET", "/version")
    return client


def requests(target: Target, namespace: str, size: Size) -> Figures:
    """Each kind: create, get and patch by both clients; then there are twice as many objects to list."""
    figures: Figures = {}
    for kind in MAKERS:
        with target.thin() as bare:
            figures |= _verbs(target, Thin(bare, kind, namespace), kind, "thin client", size)
            api = official_api(target)
            figures |= _verbs(target, Official(api, kind, namespace), kind, "official client", size)
            listed = json.loads(bare.ask("GET", f"/api/v1/namespaces/{namespace}/{kind}"))["items"]
            much = f"list of {round(len(listed), -1)} {kind}"
            figures |= _lists(target, Thin(bare, kind, namespace).list, f"{much}, thin client", size.lists)
            few = (
                max(size.lists // 4, 1) if kind == "pods" else size.lists
            )  # nearly all is the client's own time
            figures |= _lists(target, Official(api, kind, namespace).list, f"{much}, official client", few)
            api.api_client.close()
    return figures


def _verbs(target: Target, client: Client, kind: str, by: str, size: Size) -> Figures:
    names = [f"{by[0]}-{number}" for number in range(size.requests)]
    made = [MAKERS[kind](name) for name in names]
    client.create(MAKERS[kind](f"{by[0]}-warm"))
    client.get(f"{by[0]}-warm")
    singular = kind.removesuffix("s")
    calls: dict[str, list[Callable[[], object]]] = {
        "create": [partial(client.create, obj) for obj in made],
        "get": [partial(client.get, name) for name in names],
        "patch": [partial(client.patch, name, PATCH) for name in names],
    }
    figures: Figures = {}
    for verb, each in calls.items():
        before = target.cpu()
        figures |= times(f"{verb} a {singular}, {by}", timed(each))
        if target.processes and by == "thin client":
            used = (target.cpu() - before) / len(each)
            figures[f"{verb} a {singular}, µs of the server's processor time"] = used * 1e6
    return figures


def _lists(target: Target, call: Callable[[], object], name: str, count: int) -> Figures:
    call()
    return times(name, timed([call] * count))
