"""Keeps the numbered pods of each StatefulSet, one after the other. Source: pkg/controller/statefulset."""

from __future__ import annotations

from collections.abc import Iterable

from lab.kube.objects import KubeObject, controller_of, labels_of, name_of, namespace_of
from lab.kube.resources import Resource
from lab.kube.status import StatusError
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers import stateful_claims as claims
from lab.localkube.controllers import stateful_pods as stateful
from lab.localkube.controllers.base import Controller, controller_keys, deleting, key_of
from lab.localkube.controllers.claiming import claim
from lab.localkube.controllers.pods import PODS
from lab.localkube.controllers.queue import Key
from lab.localkube.controllers.revisions import POD_REVISION, History, sync_history, truncate, with_revision
from lab.localkube.controllers.selectors import matches
from lab.localkube.controllers.stateful_pods import STATEFULSETS
from lab.localkube.protocols import WatchEvent

HASH = "controller.kubernetes.io/hash"
"""The label by which a revision says its hash."""


class StatefulSetController(Controller):
    """StatefulSet → Pods with stable names, their claims, ControllerRevisions."""

    name = "statefulset-controller"
    listens = frozenset({STATEFULSETS.key, "pods", "persistentvolumeclaims"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "statefulsets":
            return [key_of(event.object)]
        if resource.plural == "persistentvolumeclaims":  # a pod may wait for the old claim to go
            space = namespace_of(event.object)
            sets = self.cache.all(STATEFULSETS.key, space) if event.type == "DELETED" else ()
            return [key_of(each) for each in sets if each["spec"].get("volumeClaimTemplates")]
        owners = list(controller_keys(event, "StatefulSet"))
        if owners or controller_of(event.object) or event.type == "DELETED":
            return owners
        return [
            key_of(each)
            for each in self.cache.all(STATEFULSETS.key, namespace_of(event.object))
            if matches(each["spec"]["selector"], labels_of(event.object))
            and stateful.parent_of(event.object) == name_of(each)
        ]

    def reconcile(self, key: Key) -> float | None:
        owner = self.cache.get(STATEFULSETS.key, *key)
        if owner is None:
            return None
        if deleting(owner):
            self._count(owner)
            return None
        name = name_of(owner)
        pods = claim(self, PODS, STATEFULSETS, owner, member=lambda pod: stateful.parent_of(pod) == name)
        history = sync_history(self, STATEFULSETS, owner, HASH)
        current = history.named((owner.get("status") or {}).get("currentRevision", "")) or history.newest
        try:
            self._work(owner, pods, current, history.newest)
        finally:
            wait = self._settle(key, current, history)
        return wait

    # Pods

    def _work(
        self, owner: KubeObject, pods: list[KubeObject], current: KubeObject, update: KubeObject
    ) -> None:
        """Create what is missing, then remove what is too much, then replace what is old."""
        wanted = stateful.ordinals(owner)
        present = {stateful.ordinal_of(pod): pod for pod in pods}
        replicas = [present.get(each) or self._new(owner, each, current, update) for each in wanted]
        ordered = owner["spec"].get("podManagementPolicy") != "Parallel"
        for pod in replicas:
            if not self._tend(owner, pod, ordered) and ordered:
                return
        surplus = [present[each] for each in sorted(present, reverse=True) if each not in wanted]
        for pod in surplus:
            claims.retain(self, owner, pod, condemned=True)
        weakest = next((pod for pod in reversed(surplus) if not self._available(owner, pod)), None)
        for pod in surplus:
            if deleting(pod):
                if ordered:
                    return
            elif not ordered:
                self._delete(owner, pod)
            else:
                if pod is weakest or self._available(owner, pod):
                    self._delete(owner, pod)
                return
        if stateful.rolls(owner):
            self._roll(owner, replicas, name_of(update))

    def _new(self, owner: KubeObject, ordinal: int, current: KubeObject, update: KubeObject) -> KubeObject:
        revision = current if stateful.takes_current(owner, ordinal) else update
        pod = stateful.new_pod(with_revision(owner, revision), ordinal, name_of(revision))
        claims.mount(owner, pod)
        return pod

    def _tend(self, owner: KubeObject, pod: KubeObject, ordered: bool) -> bool:
        """Bring one pod closer to running; False when those behind it have to wait."""
        if podfacts.terminal(pod):
            if not deleting(pod):
                self._delete(owner, pod)
            return False
        if not stateful.exists(pod):
            if not claims.stale(self, owner, pod):
                self._create(owner, pod)
            return False
        if podfacts.phase(pod) == "Pending":
            claims.create_missing(self, owner, pod)
        if ordered and (deleting(pod) or not self._available(owner, pod)):
            return False
        labels = {k: v for k, v in stateful.identity(pod).items() if labels_of(pod).get(k) != v}
        if labels:
            self.patch(PODS, pod, {"metadata": {"labels": labels}})
        claims.retain(self, owner, pod, condemned=False)
        return True

    def _roll(self, owner: KubeObject, replicas: list[KubeObject], revision: str) -> None:
        """Delete the last pod that is not of the revision, once those behind it are available."""
        for pod in reversed(replicas[stateful.partition(owner) or 0 :]):
            pod = self.cache.get("pods", namespace_of(owner), name_of(pod)) or pod
            if labels_of(pod).get(POD_REVISION) != revision and not deleting(pod):
                self._delete(owner, pod)
                return
            if not self._available(owner, pod):
                return

    def _available(self, owner: KubeObject, pod: KubeObject) -> bool:
        return not deleting(pod) and stateful.available_in(owner, pod, self.now()) == 0

    def _create(self, owner: KubeObject, pod: KubeObject) -> None:
        try:
            claims.create_missing(self, owner, pod)
            self.registry.create(PODS, namespace_of(owner), pod)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                self._say(owner, pod, "create", error.message)
            raise
        self._say(owner, pod, "create")

    def _delete(self, owner: KubeObject, pod: KubeObject) -> None:
        try:
            self.delete(PODS, pod, policy=None)
        except StatusError as error:
            self._say(owner, pod, "delete", error.message)
            raise
        self._say(owner, pod, "delete")

    def _say(self, owner: KubeObject, pod: KubeObject, verb: str, problem: str = "") -> None:
        text = f"{verb} Pod {name_of(pod)} in StatefulSet {name_of(owner)}"
        if problem:
            reason = f"Failed{verb.title()}"
            self.events.event(owner, "Warning", reason, f"{text} failed error: {problem}")
        else:
            self.events.event(owner, "Normal", f"Successful{verb.title()}", f"{text} successful")

    # Status

    def _count(self, owner: KubeObject) -> None:
        """Write the status of a set that is being deleted: the revisions stay as they were."""
        before = owner.get("status") or {}
        names = (before.get("currentRevision", ""), before.get("updateRevision", ""))
        pods = self.cache.controlled("pods", namespace_of(owner), owner["metadata"]["uid"])
        collisions = int(before.get("collisionCount") or 0)
        status, _ = stateful.status_of(owner, pods, names, collisions, self.now())
        self.write_status(STATEFULSETS, owner, status)

    def _settle(self, key: Key, current: KubeObject, history: History) -> float | None:
        """Write the status and drop old revisions; seconds until another look."""
        owner = self.cache.get(STATEFULSETS.key, *key)
        if owner is None:
            return None
        pods = self.cache.controlled("pods", key[0], owner["metadata"]["uid"])
        names = (name_of(current), name_of(history.newest))
        status, wait = stateful.status_of(owner, pods, names, history.collisions, self.now())
        self.write_status(STATEFULSETS, owner, status)
        live = {status["currentRevision"], *(labels_of(pod).get(POD_REVISION, "") for pod in pods)}
        truncate(self, owner, history, live)
        return wait
