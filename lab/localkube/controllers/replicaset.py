"""Keeps the number of pods that each ReplicaSet wants. Source: pkg/controller/replicaset."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from lab.kube.objects import KubeObject, controller_of, labels_of, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import (
    Controller,
    controller_keys,
    created,
    deleting,
    find_condition,
    key_of,
    with_condition,
)
from lab.localkube.controllers.claiming import claim
from lab.localkube.controllers.pods import PODS
from lab.localkube.controllers.queue import Key
from lab.localkube.controllers.selectors import matches
from lab.localkube.protocols import WatchEvent

REPLICASETS = builtin("ReplicaSet")
BATCH = 16
"""Pods created or deleted in one go, before others get the event loop."""
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


class ReplicaSetController(Controller):
    """ReplicaSet → Pods."""

    name = "replicaset-controller"
    listens = frozenset({"replicasets.apps", "pods"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "replicasets":
            return [key_of(event.object)]
        owners = list(controller_keys(event, "ReplicaSet"))
        if owners or controller_of(event.object) or event.type == "DELETED":
            return owners
        return [
            key_of(each)
            for each in self.cache.all("replicasets.apps", namespace_of(event.object))
            if matches(each["spec"]["selector"], labels_of(event.object))
        ]

    def reconcile(self, key: Key) -> float | None:
        replica_set = self.cache.get("replicasets.apps", *key)
        if replica_set is None:
            return None
        claimed = claim(self, PODS, REPLICASETS, replica_set, adoptable=podfacts.active)
        alive = [pod for pod in claimed if podfacts.active(pod)]
        failure, more = "", False
        if not deleting(replica_set):
            failure, more = self._scale(replica_set, alive)
        return self._settle(key, failure, more)

    def _scale(self, owner: KubeObject, alive: list[KubeObject]) -> tuple[str, bool]:
        """Create or delete up to a batch of pods; the reason of a failure, and whether more is to do."""
        missing = int(owner["spec"].get("replicas", 1)) - len(alive)
        for _ in range(min(missing, BATCH)):
            try:
                self._create(owner)
            except StatusError as error:
                self.log.info("%s: a pod could not be created: %s", name_of(owner), error.message)
                self.events.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
                return error.message, True
        surplus = self._order(owner, alive)[: max(0, -missing)]
        for pod in surplus[:BATCH]:
            if self.delete(PODS, pod, policy=None):
                self.events.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        return "", abs(missing) > BATCH

    def _create(self, owner: KubeObject) -> None:
        pod = podfacts.from_template(owner["spec"].get("template") or {}, REPLICASETS, owner)
        made = self.registry.create(PODS, namespace_of(owner), pod)
        self.events.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name_of(made)}")

    def _order(self, owner: KubeObject, alive: list[KubeObject]) -> list[KubeObject]:
        """The order in which pods are given up."""
        crowd = Counter(pod["spec"].get("nodeName", "") for pod in self._related(owner))
        return sorted(alive, key=lambda pod: deletion_rank(pod, crowd))

    def _related(self, owner: KubeObject) -> Iterable[KubeObject]:
        """Active pods of all ReplicaSets that share this one's controller."""
        controller = controller_of(owner)
        siblings = (
            self.cache.controlled("replicasets.apps", namespace_of(owner), str(controller["uid"]))
            if controller
            else [owner]
        )
        for sibling in siblings:
            for pod in self.cache.controlled("pods", namespace_of(owner), sibling["metadata"]["uid"]):
                if podfacts.active(pod):
                    yield pod

    def _settle(self, key: Key, failure: str, more: bool) -> float | None:
        """Write the status; seconds until another look."""
        owner = self.cache.get("replicasets.apps", *key)
        if owner is None:
            return None
        uid = owner["metadata"]["uid"]
        alive = [pod for pod in self.cache.controlled("pods", key[0], uid) if podfacts.active(pod)]
        status, wait = status_of(owner, alive, self.now())
        conditions = [c for c in status.pop("conditions", []) if c.get("type") != "ReplicaFailure"]
        if failure:
            condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
            condition |= {"message": failure, "lastTransitionTime": self.timestamp()}
            previous = find_condition(owner, "ReplicaFailure")
            conditions = with_condition([*conditions, *([previous] if previous else [])], condition)
        if conditions:
            status["conditions"] = conditions
        self.write_status(REPLICASETS, owner, status)
        if failure:
            raise StatusError(500, "FailedCreate", failure)
        return 0.0 if more else wait


def status_of(owner: KubeObject, alive: list[KubeObject], now: datetime) -> tuple[KubeObject, float | None]:
    """The status for these active pods, and the seconds until the next pod becomes available."""
    labels = (owner["spec"].get("template") or {}).get("metadata", {}).get("labels") or {}
    minimum = int(owner["spec"].get("minReadySeconds") or 0)
    waits = [wait for pod in alive if (wait := podfacts.available_in(pod, minimum, now)) is not None]
    pending = [wait for wait in waits if wait > 0]
    status = copy.deepcopy(owner.get("status") or {})
    counts = {
        "fullyLabeledReplicas": sum(1 for pod in alive if labels.items() <= labels_of(pod).items()),
        "readyReplicas": len(waits),
        "availableReplicas": len(waits) - len(pending),
    }
    status["replicas"] = len(alive)
    for field, count in counts.items():
        status[field] = count
        if not count:
            del status[field]
    status["observedGeneration"] = owner["metadata"].get("generation", 0)
    return status, min(pending, default=None)


def deletion_rank(pod: KubeObject, crowd: Counter[str]) -> tuple[object, ...]:
    """Sort key: the lowest is deleted first. Source: controller_utils.go, ActivePodsWithRanks."""
    node = pod["spec"].get("nodeName") or ""
    since = podfacts.ready_since(pod)
    try:
        cost = int((pod["metadata"].get("annotations") or {}).get(DELETION_COST, 0))
    except ValueError:
        cost = 0
    return (
        bool(node),
        {"Pending": 0, "Unknown": 1}.get(podfacts.phase(pod), 2),
        bool(since),
        cost,
        -crowd[node],
        _reversed(since),
        -podfacts.restarts(pod),
        -created(pod).timestamp(),
        name_of(pod),
    )


def _reversed(instant: str) -> tuple[int, ...]:
    """A sort key that puts later RFC 3339 instants first."""
    return tuple(-ord(character) for character in instant)
