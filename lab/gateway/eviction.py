"""Disruption budgets in shadow: evictions that were only recorded must still use the budget up.

A dry run never moves a PodDisruptionBudget's counter, so ten shadow evictions would all find the same free
budget where live mode refuses the second. The ledger remembers recorded evictions and deletes of pods for
as long as a replacement would need to become ready, and counts them against every budget that they match.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lab.core.clock import Clock
from lab.kube.objects import KubeObject, labels_of, name_of, namespace_of
from lab.kube.selectors import SelectorError, label_selector_from
from lab.kube.status import StatusError, too_many_requests

ReadObject = Callable[[str], Awaitable[KubeObject]]


@dataclass(frozen=True, slots=True)
class _Gone:
    uid: str
    namespace: str
    labels: dict[str, str]
    until: float


class ShadowEvictions:
    """Pods that shadow mode has virtually taken away, for `settle_seconds` real seconds each."""

    def __init__(self, read_object: ReadObject, clock: Clock, settle_seconds: float) -> None:
        self._read_object = read_object
        self._clock = clock
        self._settle = settle_seconds
        self._gone: dict[str, _Gone] = {}

    async def evict(self, pod: KubeObject) -> None:
        """Take a pod away inside its budget. Raises StatusError 429 when nothing is left of it."""
        budgets = await self._budgets(namespace_of(pod))
        self._settle_down()
        for budget in budgets:
            if not matches(budget, labels_of(pod)):
                continue
            status = budget.get("status") or {}
            taken = self._taken(budget, pod)
            if int(status.get("disruptionsAllowed") or 0) - taken <= 0:
                raise _spent(budget, status, taken)
        self.delete(pod)

    def delete(self, pod: KubeObject) -> None:
        """Take a pod away whatever its budget says, as a plain delete does."""
        self._settle_down()
        uid = str(pod.get("metadata", {}).get("uid") or f"{namespace_of(pod)}/{name_of(pod)}")
        until = self._clock.monotonic() + self._settle
        self._gone.setdefault(uid, _Gone(uid, namespace_of(pod), dict(labels_of(pod)), until))

    def _taken(self, budget: KubeObject, pod: KubeObject) -> int:
        uid = pod.get("metadata", {}).get("uid")
        return sum(
            1
            for gone in self._gone.values()
            if gone.uid != uid and gone.namespace == namespace_of(budget) and matches(budget, gone.labels)
        )

    def _settle_down(self) -> None:
        now = self._clock.monotonic()
        while self._gone and (oldest := next(iter(self._gone))) and self._gone[oldest].until <= now:
            del self._gone[oldest]

    async def _budgets(self, namespace: str) -> list[KubeObject]:
        try:
            path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
            return list((await self._read_object(path)).get("items") or ())
        except StatusError:
            return []


def matches(budget: KubeObject, labels: dict[str, str]) -> bool:
    """Does the budget's selector choose these labels? A selector that cannot be read chooses nothing."""
    try:
        return label_selector_from(budget.get("spec", {}).get("selector")).matches(labels)
    except SelectorError:
        return False


def _spent(budget: KubeObject, status: dict[str, Any], taken: int) -> StatusError:
    needed, healthy = int(status.get("desiredHealthy") or 0), int(status.get("currentHealthy") or 0)
    has = healthy - taken
    message = f"The disruption budget {name_of(budget)} needs {needed} healthy pods and has {has} currently"
    return too_many_requests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        causes=[{"reason": "DisruptionBudget", "message": message}],
    )
