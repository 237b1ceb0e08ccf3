"""Keeps one pod of each DaemonSet on every node that it is meant for. Source: pkg/controller/daemon."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from lab.kube.objects import KubeObject, controller_of, labels_of, name_of, namespace_of
from lab.kube.resources import Resource
from lab.kube.status import StatusError
from lab.localkube.controllers import daemon_pods as daemons
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import Context, Controller, controller_keys, deleting, key_of
from lab.localkube.controllers.claiming import claim
from lab.localkube.controllers.daemon_pods import DAEMONSETS
from lab.localkube.controllers.pods import PODS
from lab.localkube.controllers.queue import Key
from lab.localkube.controllers.revisions import POD_REVISION, History, sync_history, truncate
from lab.localkube.controllers.selectors import matches
from lab.localkube.protocols import WatchEvent

FIRST_BACKOFF = 1.0
LAST_BACKOFF = 900.0
"""Seconds between replacements of pods that fail on one node; they double."""


class DaemonSetController(Controller):
    """DaemonSet → one Pod a node, ControllerRevisions."""

    name = "daemonset-controller"
    listens = frozenset({DAEMONSETS.key, "pods", "nodes"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._backoffs: dict[tuple[str, str], tuple[float, float]] = {}

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "daemonsets":
            return [key_of(event.object)]
        if resource.plural == "nodes":
            same = (
                event.type == "MODIFIED" and event.previous and _offer(event.previous) == _offer(event.object)
            )
            return () if same else [key_of(each) for each in self.cache.all(DAEMONSETS.key)]
        owners = list(controller_keys(event, "DaemonSet"))
        if owners or controller_of(event.object) or event.type == "DELETED":
            return owners
        return [
            key_of(each)
            for each in self.cache.all(DAEMONSETS.key, namespace_of(event.object))
            if matches(each["spec"]["selector"], labels_of(event.object))
        ]

    def reconcile(self, key: Key) -> float | None:
        owner = self.cache.get(DAEMONSETS.key, *key)
        if owner is None or deleting(owner):
            return None
        claim(self, PODS, DAEMONSETS, owner)
        history = sync_history(self, DAEMONSETS, owner, POD_REVISION)
        digest = labels_of(history.newest)[POD_REVISION]
        nodes = sorted(self.cache.all("nodes"), key=name_of)
        waits: list[float | None] = []
        try:
            waits.append(self._manage(owner, nodes, digest))
            if (owner["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate":
                self._roll(owner, nodes, digest)
        finally:
            waits.append(self._settle(key, nodes, history))
        return min((wait for wait in waits if wait is not None), default=None)

    def _by_node(self, owner: KubeObject) -> dict[str, list[KubeObject]]:
        """Its pods by the node that they are on or meant for."""
        found: dict[str, list[KubeObject]] = defaultdict(list)
        for pod in self.cache.controlled("pods", namespace_of(owner), owner["metadata"]["uid"]):
            found[daemons.node_of(pod)].append(pod)
        return found

    # One pod a node

    def _manage(self, owner: KubeObject, nodes: list[KubeObject], digest: str) -> float | None:
        """Create missing pods, delete ended ones and those too many; seconds until a failed one may go."""
        by_node = self._by_node(owner)
        waits = []
        for node in nodes:
            name = name_of(node)
            starts, stays = daemons.eligible(owner, node)
            pods = by_node.pop(name, [])
            if starts and not pods:
                self._create(owner, name, digest)
            elif stays:
                running, wait = self._clear(owner, name, pods)
                waits.append(wait)
                for pod in self._surplus(owner, running, digest):
                    self._delete(owner, pod)
            else:
                for pod in pods:
                    self._delete(owner, pod)
        for pods in by_node.values():
            for pod in pods:
                if not pod["spec"].get("nodeName"):  # its node went before it was bound
                    self._delete(owner, pod)
        return min((wait for wait in waits if wait is not None), default=None)

    def _clear(
        self, owner: KubeObject, node: str, pods: list[KubeObject]
    ) -> tuple[list[KubeObject], float | None]:
        """Delete ended pods, failing ones ever later; those that run, and seconds until the next look."""
        running, wait = [], None
        place = (owner["metadata"]["uid"], node)
        for pod in pods:
            if deleting(pod):
                continue
            where = f"daemon pod {namespace_of(pod)}/{name_of(pod)} on node {node}"
            if podfacts.phase(pod) == "Failed":
                wait = self._held_back(place)
                if wait is None:
                    text = f"Found failed {where}, will try to kill it"
                    self.events.event(owner, "Warning", "FailedDaemonPod", text)
                    self._delete(owner, pod)
            elif podfacts.phase(pod) == "Succeeded":
                text = f"Found succeeded {where}, will try to delete it"
                self.events.event(owner, "Normal", "SucceededDaemonPod", text)
                self._delete(owner, pod)
            else:
                running.append(pod)
        return running, wait

    def _held_back(self, place: tuple[str, str]) -> float | None:
        """Seconds until a failed pod may be replaced; None when it may be now, which counts."""
        now = self.clock.monotonic()
        recent = {key: value for key, value in self._backoffs.items() if now <= value[1] + LAST_BACKOFF}
        self._backoffs = recent
        delay, until = recent.get(place, (0.0, now))
        if now < until:
            return until - now
        delay = min(delay * 2 or FIRST_BACKOFF, LAST_BACKOFF)
        self._backoffs[place] = (delay, now + delay)
        return None

    def _surplus(self, owner: KubeObject, running: list[KubeObject], digest: str) -> list[KubeObject]:
        """The running pods that are too many on a node: a surge has one old and one new one."""
        if len(running) < 2:
            return []
        running = daemons.oldest_first(running)
        if not daemons.limits(owner, 1)[0]:
            return running[1:]
        new = [pod for pod in running if daemons.updated(owner, pod, digest)]
        old = [pod for pod in running if not daemons.updated(owner, pod, digest)]
        surplus = new[1:] + old[1:]
        if new and old and (not podfacts.ready(old[0]) or self._available(owner, new[0])):
            surplus.append(old[0])
        return surplus

    # Rolling

    def _roll(self, owner: KubeObject, nodes: list[KubeObject], digest: str) -> None:
        """Replace old pods: as many as may be unavailable, or as many as there may be more."""
        desired = sum(daemons.eligible(owner, node)[0] for node in nodes)
        surge, unavailable = daemons.limits(owner, desired)
        by_node = self._by_node(owner)
        names = [name_of(node) for node in nodes if name_of(node) in by_node]
        pairs = {name: daemons.pair(owner, by_node[name], digest) for name in names}
        if surge:
            self._surge(owner, pairs, surge, digest)
            return
        broken: list[KubeObject] = []
        healthy: list[KubeObject] = []
        missing = 0
        for both in pairs.values():
            new, old = both or (None, None)
            if old is not None and new is None:
                (healthy if self._available(owner, old) else broken).append(old)
            elif old is not None or new is None or not self._available(owner, new):
                missing += 1
        missing += len(broken)
        for pod in [*broken, *healthy[: max(0, unavailable - missing)]]:
            self._delete(owner, pod)

    def _surge(
        self,
        owner: KubeObject,
        pairs: dict[str, tuple[KubeObject | None, KubeObject | None] | None],
        surge: int,
        digest: str,
    ) -> None:
        broken: list[str] = []
        healthy: list[str] = []
        busy = 0
        for node, both in pairs.items():
            if both is None:
                busy += 1
                continue
            new, old = both
            if old is not None and new is None:
                (healthy if self._available(owner, old) else broken).append(node)
            elif old is not None and new is not None:
                if self._available(owner, new):
                    self._delete(owner, old)
                else:
                    busy += 1
        for node in [*broken, *healthy[: max(0, surge - busy)]]:
            self._create(owner, node, digest)

    # Pods

    def _available(self, owner: KubeObject, pod: KubeObject) -> bool:
        return daemons.available_in(owner, pod, self.now()) == 0

    def _create(self, owner: KubeObject, node: str, digest: str) -> None:
        try:
            made = self.registry.create(PODS, namespace_of(owner), daemons.new_pod(owner, node, digest))
        except StatusError as error:
            self.events.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self.events.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name_of(made)}")

    def _delete(self, owner: KubeObject, pod: KubeObject) -> None:
        if not deleting(pod) and self.delete(PODS, pod, policy=None):
            self.events.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    # Status

    def _settle(self, key: Key, nodes: list[KubeObject], history: History) -> float | None:
        """Write the status and drop old revisions; seconds until the next pod becomes available."""
        owner = self.cache.get(DAEMONSETS.key, *key)
        if owner is None:
            return None
        by_node = self._by_node(owner)
        digest = labels_of(history.newest)[POD_REVISION]
        status, wait = daemons.status_of(owner, nodes, by_node, digest, self.now())
        if history.collisions:
            status["collisionCount"] = history.collisions
        self.write_status(DAEMONSETS, owner, status)
        marks = {labels_of(pod).get(POD_REVISION) for pods in by_node.values() for pod in pods}
        live = {name_of(each) for each in history.revisions if labels_of(each).get(POD_REVISION) in marks}
        truncate(self, owner, history, live)
        return wait


def _offer(node: KubeObject) -> tuple[object, ...]:
    """What of a node decides whether a DaemonSet is meant for it."""
    return labels_of(node), node["spec"].get("taints")
