"""Keeps each ResourceQuota's status: what its namespace may have and has.

Source: pkg/controller/resourcequota. Refusing what is too much is the registry's, which counts for itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.kube.objects import KubeObject, namespace_of
from lab.kube.resources import Resource
from lab.localkube.controllers.base import ANY, Controller, key_of
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent
from lab.localkube.registry.limit_ranges import shown_amount
from lab.localkube.registry.quotas import QUOTAS, kind_of, used_of


class QuotaController(Controller):
    """ResourceQuota + what is in its namespace → status.used."""

    name = "resourcequota-controller"
    listens = frozenset({ANY})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.key == QUOTAS.key:
            return [key_of(event.object)]
        quotas = self.cache.all(QUOTAS.key, namespace_of(event.object))
        return [key_of(quota) for quota in quotas if _counts(quota, resource.key)]

    def reconcile(self, key: Key) -> float | None:
        quota = self.cache.get(QUOTAS.key, *key)
        if quota is None:
            return None
        hard = quota["spec"].get("hard") or {}
        used = used_of(quota, self.cache.all, hard)
        shown = {name: shown_amount(name, amount) for name, amount in used.items()}
        status: KubeObject = {"hard": hard, "used": shown} if hard else {}
        self.write_status(QUOTAS, quota, status)
        return None


def _counts(quota: KubeObject, key: str) -> bool:
    return any(kind_of(name) == key for name in quota["spec"].get("hard") or {})
