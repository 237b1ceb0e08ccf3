"""What controllers and kubelet make of it: replicas, pods that run, many at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.bench_kube.figures import Figures, Size, times
from tests.bench_kube.manifests import deployment, pod
from tests.bench_kube.target import Target
from tests.bench_kube.thin import MERGE_PATCH, ThinClient, encoded

_LONGEST = 300.0


class Pods(threading.Thread):
    """Follows the pods of a namespace by a watch: which there are, and since when they have been ready."""

    def __init__(self, client: ThinClient, namespace: str) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/pods?watch=1"
        self.present: set[str] = set()
        self.ready: dict[str, float] = {}
        self.gone: dict[str, float] = {}
        self.changed = threading.Condition()

    def run(self) -> None:
        try:
            for line in self._client.stream(self._path):
                now = time.perf_counter()
                with self.changed:
                    self._take(json.loads(line), now)
                    self.changed.notify_all()
        except (OSError, ValueError):
            return  # the main thread has closed the connection

    def _take(self, event: dict[str, Any], now: float) -> None:
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            self.present.discard(name)
            self.gone[name] = now
            return
        self.present.add(name)
        if _is_ready(event["object"]):
            self.ready.setdefault(name, now)

    def wait(self, ready: Callable[[], bool], what: str) -> float:
        """The instant at which a condition over the pods came true."""
        with self.changed:
            if not self.changed.wait_for(ready, _LONGEST):
                raise SystemExit(f"waited {_LONGEST:g} s for {what}")
            return time.perf_counter()


def _is_ready(obj: dict[str, Any]) -> bool:
    status = obj.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    return status.get("phase") == "Running" and conditions.get("Ready") == "True"


class _Following:
    """A client, and the pods of its namespace."""

    def __init__(self, target: Target, namespace: str) -> None:
        self.client = ThinClient(target.connection)
        self._watching = ThinClient(target.connection)
        self.pods = Pods(self._watching, namespace)

    def __enter__(self) -> _Following:
        self.pods.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watching.close()
        self.pods.join()
        self.client.close()


def replicas(target: Target, namespace: str, size: Size) -> Figures:
    """A Deployment to so many pod objects, which nothing schedules, and to none."""
    path, count = f"/apis/apps/v1/namespaces/{namespace}/deployments", size.replicas
    with _Following(target, namespace) as follow:
        pods = follow.pods
        begun = time.perf_counter()
        follow.client.ask("POST", path, encoded(deployment("many", count)))
        made = pods.wait(lambda: len(pods.present) == count, f"{count} pods") - begun
        begun = time.perf_counter()
        follow.client.ask("PATCH", f"{path}/many", encoded({"spec": {"replicas": 0}}), MERGE_PATCH)
        removed = pods.wait(lambda: not pods.present, "no pod") - begun
    return {f"Deployment to {count} pod objects, s": made, f"{count} replicas to 0, s": removed}


def runs_pods(target: Target) -> bool:
    """Is there a node that is ready?"""
    with target.thin() as client:
        nodes = json.loads(client.ask("GET", "/api/v1/nodes"))["items"]
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for node in nodes
        for condition in (node.get("status") or {}).get("conditions") or ()
    )


def running(target: Target, namespace: str, size: Size) -> Figures:
    """Pods one by one, many at once, and very many, until they run and are ready; nothing without a node."""
    if not runs_pods(target):
        return {}
    path = f"/api/v1/namespaces/{namespace}/pods"
    with _Following(target, namespace) as follow:
        _run(follow, path, "warm", 1)
        singles = [_run(follow, path, f"single-{number}", 1) for number in range(size.singles)]
        together = _run(follow, path, "together", size.together)
        more = size.running - len(follow.pods.present)
        many = _run(follow, path, "many", max(more, 1))
        alive = len(follow.pods.present & follow.pods.ready.keys())
        names, begun = sorted(follow.pods.present), time.perf_counter()
        for name in names:
            follow.client.ask("DELETE", f"{path}/{name}")
        gone = follow.pods.wait(lambda: not follow.pods.present, "all pods to be gone") - begun
    return {
        **times("pod created to running and ready", singles),
        f"{size.together} pods created at once to all ready, s": together,
        "pods running at last": float(alive),
        f"{max(more, 1)} more pods to all ready, s": many,
        f"{len(names)} running pods deleted to all gone, s": gone,
    }


def _run(follow: _Following, path: str, prefix: str, count: int) -> float:
    """Seconds from the first create until all are running and ready."""
    names = {f"{prefix}-{number}" for number in range(count)}
    bodies = [encoded(pod(name, scheduler="")) for name in names]
    begun = time.perf_counter()
    for body in bodies:
        follow.client.ask("POST", path, body)
    follow.pods.wait(lambda: names <= follow.pods.ready.keys(), f"{count} pods to be ready")
    return max(follow.pods.ready[name] for name in names) - begun
