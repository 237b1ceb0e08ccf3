"""The eviction subresource: a delete inside the disruption budget.

Source: k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.kube.objects import KubeObject, labels_of, name_of
from lab.kube.selectors import label_selector_from
from lab.kube.status import bad_request, forbidden, internal_error, too_many_requests
from lab.localkube.protocols import AdmissionRequest, DeleteOptions, WriteOptions
from lab.localkube.registry.core import Core
from lab.localkube.registry.decoding import thaw
from lab.localkube.registry.deletion import Deleter, check_preconditions
from lab.localkube.registry.served import BUDGETS, PODS

_VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget."
_MAX_DISRUPTED = 2_000
_RETRY_SECONDS = 10


def read_delete_options(body: KubeObject | None) -> DeleteOptions:
    """meta/v1 DeleteOptions as an object. Raises StatusError 400 for a grace period that is no number."""
    body = body or {}
    grace = body.get("gracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        raise bad_request("gracePeriodSeconds must be an integer")
    policy = body.get("propagationPolicy")
    if policy is None and body.get("orphanDependents") is not None:
        policy = "Orphan" if body["orphanDependents"] else "Background"
    return DeleteOptions(
        grace_period_seconds=grace,
        propagation_policy=policy,
        preconditions=body.get("preconditions") or {},
        dry_run=bool(body.get("dryRun")),
    )


def _condition(pod: KubeObject, kind: str) -> KubeObject | None:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == kind:
            return dict(condition)
    return None


def _ready(pod: KubeObject) -> bool:
    condition = _condition(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def _needs_no_budget(pod: KubeObject) -> bool:
    """Pods that serve nobody: finished, not started, or on their way out."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


class Evictor:
    """Evicts pods."""

    def __init__(self, core: Core, deleter: Deleter) -> None:
        self._core = core
        self._deleter = deleter

    def evict(self, namespace: str, name: str, eviction: KubeObject, options: WriteOptions) -> None:
        """Evict a pod. Raises StatusError 404, 409, 429 or 500."""
        given = name_of(eviction) or name
        if given != name:
            raise bad_request(f"name in URL does not match name in Eviction object: {name} != {given}")
        delete = read_delete_options(eviction.get("deleteOptions"))
        dry_run = options.dry_run or delete.dry_run
        self._admit(namespace, name, eviction, options)
        pod = self._core.need(PODS, namespace, name)
        check_preconditions(PODS, pod, dict(delete.preconditions))
        if not _needs_no_budget(pod):
            self._spend(namespace, pod, dry_run=dry_run)
        if not dry_run:
            self._announce(pod)
        checked = replace(delete, preconditions={})
        self._deleter.remove_admitted(PODS, namespace, name, checked, WriteOptions(dry_run=dry_run))

    def _admit(self, namespace: str, name: str, eviction: KubeObject, options: WriteOptions) -> None:
        kind = ("policy", "v1", "Eviction")
        typed = {"apiVersion": "policy/v1", "kind": "Eviction"} | eviction
        self._core.policies.admit(
            AdmissionRequest("CREATE", PODS, namespace, name, "eviction", kind, typed, write=options)
        )

    def _spend(self, namespace: str, pod: KubeObject, *, dry_run: bool) -> None:
        budgets = [
            budget for budget in self._core.store.values(BUDGETS.key, namespace) if _covers(budget, pod)
        ]
        if not budgets:
            return
        if len(budgets) > 1:
            raise internal_error(
                "This pod has more than one PodDisruptionBudget, "
                "which the eviction subresource does not support."
            )
        budget = budgets[0]
        if not _ready(pod) and _unhealthy_may_go(budget):
            return
        changed = self._spent(budget, pod)
        self._core.save(BUDGETS, changed, dry_run=dry_run)

    def _spent(self, budget: KubeObject, pod: KubeObject) -> KubeObject:
        name, status = name_of(budget), budget.get("status") or {}
        if int(status.get("observedGeneration") or 0) < int(budget["metadata"].get("generation") or 0):
            message = f"The disruption budget {name} is still being processed by the server."
            raise too_many_requests(_VIOLATION, causes=[_cause(message)], retry_after=_RETRY_SECONDS)
        allowed = int(status.get("disruptionsAllowed") or 0)
        if allowed < 0:
            raise forbidden(BUDGETS.plural, BUDGETS.group, name, "pdb disruptions allowed is negative")
        if len(status.get("disruptedPods") or {}) > _MAX_DISRUPTED:
            raise forbidden(
                BUDGETS.plural,
                BUDGETS.group,
                name,
                "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
            )
        if allowed == 0:
            raise too_many_requests(_VIOLATION, causes=[_cause(_shortage(name, status))])
        changed = thaw(budget)
        changed["status"]["disruptionsAllowed"] = allowed - 1
        changed["status"].setdefault("disruptedPods", {})[name_of(pod)] = self._core.timestamp()
        return changed

    def _announce(self, pod: KubeObject) -> None:
        """Record on the pod why it goes."""
        changed = thaw(pod)
        conditions = changed.setdefault("status", {}).setdefault("conditions", [])
        conditions[:] = [c for c in conditions if c.get("type") != "DisruptionTarget"]
        conditions.append(
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
                "lastTransitionTime": self._core.timestamp(),
            }
        )
        self._core.save(PODS, changed, dry_run=False)


def _covers(budget: KubeObject, pod: KubeObject) -> bool:
    return label_selector_from((budget.get("spec") or {}).get("selector")).matches(labels_of(pod))


def _unhealthy_may_go(budget: KubeObject) -> bool:
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = int(status.get("desiredHealthy") or 0)
    return desired > 0 and int(status.get("currentHealthy") or 0) >= desired


def _cause(message: str) -> dict[str, Any]:
    return {"reason": "DisruptionBudget", "message": message}


def _shortage(name: str, status: KubeObject) -> str:
    needed, healthy = int(status.get("desiredHealthy") or 0), int(status.get("currentHealthy") or 0)
    if healthy <= needed:
        return f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
    sync = next((c for c in status.get("conditions") or () if c.get("type") == "DisruptionAllowed"), None)
    why = f" because it failed sync: {sync.get('message', '')}" if sync else ""
    return f"The disruption budget {name} does not allow evicting pods currently{why}"
