"""Keeps each PodDisruptionBudget's status: how many pods may be evicted now.

Source: pkg/controller/disruption.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from lab.kube.objects import KubeObject, controller_of, labels_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers import rollout
from lab.localkube.controllers.base import (
    Controller,
    deleting,
    find_condition,
    key_of,
    seconds_since,
    with_condition,
)
from lab.localkube.controllers.queue import Key
from lab.localkube.controllers.selectors import matches
from lab.localkube.protocols import WatchEvent

BUDGETS = builtin("PodDisruptionBudget")
EVICTION_TIMEOUT = 120.0
"""Seconds after which an evicted pod that was not deleted counts as healthy again."""
SCALABLE = {
    "ReplicaSet": "replicasets.apps",
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
}


class DisruptionController(Controller):
    """PodDisruptionBudget + Pods → status.disruptionsAllowed."""

    name = "disruption-controller"
    component = "controllermanager"
    listens = frozenset({"poddisruptionbudgets.policy", "pods", *SCALABLE.values()})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "poddisruptionbudgets":
            return [key_of(event.object)]
        namespace = namespace_of(event.object)
        budgets = self.cache.all("poddisruptionbudgets.policy", namespace)
        if resource.plural != "pods":
            before = event.previous
            same = before is not None and rollout.replicas_of(before) == rollout.replicas_of(event.object)
            return () if same else [key_of(budget) for budget in budgets]
        return [
            key_of(budget)
            for budget in budgets
            if any(
                pod is not None and matches(budget["spec"].get("selector"), labels_of(pod))
                for pod in (event.previous, event.object)
            )
        ]

    def reconcile(self, key: Key) -> float | None:
        budget = self.cache.get("poddisruptionbudgets.policy", *key)
        if budget is None:
            return None
        pods = [
            pod
            for pod in self.cache.all("pods", key[0])
            if matches(budget["spec"].get("selector"), labels_of(pod)) and not podfacts.terminal(pod)
        ]
        disrupted, recheck = self._disrupted(budget, pods)
        healthy = sum(
            1
            for pod in pods
            if podfacts.ready(pod) and not deleting(pod) and pod["metadata"]["name"] not in disrupted
        )
        expected, desired, problem = self._targets(budget, pods)
        status: KubeObject = copy.deepcopy(budget.get("status") or {})
        allowed = max(0, healthy - desired) if expected > 0 and not problem else 0
        status |= {
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "disruptionsAllowed": allowed,
            "observedGeneration": int(budget["metadata"].get("generation") or 0),
        }
        status.pop("disruptedPods", None)
        if disrupted:
            status["disruptedPods"] = disrupted
        status["conditions"] = self._conditions(budget, status, allowed, problem)
        if problem and not find_condition(budget, "DisruptionAllowed"):
            self.events.event(budget, "Warning", "CalculateExpectedPodCountFailed", problem)
        self.write_status(BUDGETS, budget, status)
        return recheck

    def _conditions(
        self, budget: KubeObject, status: KubeObject, allowed: int, problem: str
    ) -> list[KubeObject]:
        reason = "SyncFailed" if problem else ("SufficientPods" if allowed else "InsufficientPods")
        condition = {
            "type": "DisruptionAllowed",
            "status": "True" if allowed else "False",
            "reason": reason,
            "message": problem,
            "lastTransitionTime": self.timestamp(),
            "observedGeneration": status["observedGeneration"],
        }
        return with_condition((budget.get("status") or {}).get("conditions") or (), condition)

    def _disrupted(self, budget: KubeObject, pods: list[KubeObject]) -> tuple[dict[str, str], float | None]:
        """Evicted pods that are still to be deleted, and the seconds until the oldest is given up."""
        alive = {pod["metadata"]["name"] for pod in pods if not deleting(pod)}
        now, kept, waits = self.now(), {}, []
        for name, since in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
            left = EVICTION_TIMEOUT - seconds_since(now, since)
            if name in alive and left > 0:
                kept[name] = since
                waits.append(left)
        return kept, min(waits, default=None)

    def _targets(self, budget: KubeObject, pods: list[KubeObject]) -> tuple[int, int, str]:
        """(expected pods, pods that must stay healthy, problem)."""
        spec = budget["spec"]
        minimum, maximum = spec.get("minAvailable"), spec.get("maxUnavailable")
        if maximum is not None:
            expected, problem = self._expected(pods)
            unavailable = rollout.resolve(maximum, expected, up=True)
            return expected, max(0, expected - unavailable), problem
        if isinstance(minimum, str):
            expected, problem = self._expected(pods)
            return expected, rollout.resolve(minimum, expected, up=True), problem
        return len(pods), int(minimum or 0), ""

    def _expected(self, pods: list[KubeObject]) -> tuple[int, str]:
        """The sum of the scales of the pods' controllers."""
        scales: dict[str, int] = {}
        for pod in pods:
            owner = self._scaled_owner(pod)
            if owner is None:
                message = f'found no controllers for pod "{pod["metadata"]["name"]}"'
                return 0, message
            scales[owner["metadata"]["uid"]] = rollout.replicas_of(owner)
        return sum(scales.values()), ""

    def _scaled_owner(self, pod: KubeObject) -> KubeObject | None:
        """The topmost scalable controller of a pod."""
        found, current = None, pod
        while (reference := controller_of(current)) is not None:
            key = SCALABLE.get(str(reference.get("kind")))
            owner = self.cache.get(key, namespace_of(pod), str(reference["name"])) if key else None
            if owner is None or owner["metadata"]["uid"] != reference.get("uid"):
                break
            found = current = owner
        return found
