"""Gives ClusterRoles with an aggregationRule the rules of all roles that it selects.

Source: pkg/controller/clusterroleaggregation.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.kube.objects import KubeObject, labels_of, name_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers.base import Controller, deleting
from lab.localkube.controllers.queue import Key
from lab.localkube.controllers.selectors import matches
from lab.localkube.protocols import WatchEvent

CLUSTER_ROLES = builtin("ClusterRole")


class RoleAggregator(Controller):
    """ClusterRole with an aggregationRule → its rules."""

    name = "clusterrole-aggregation-controller"
    listens = frozenset({CLUSTER_ROLES.key})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        roles = self.cache.all(CLUSTER_ROLES.key)
        return [("", name_of(role)) for role in roles if role.get("aggregationRule")]

    def reconcile(self, key: Key) -> float | None:
        role = self.cache.get(CLUSTER_ROLES.key, *key)
        if role is None or deleting(role) or not role.get("aggregationRule"):
            return None
        rules = self._rules(role)
        if rules != (role.get("rules") or []):
            self.patch(CLUSTER_ROLES, role, {"rules": rules or None})
        return None

    def _rules(self, role: KubeObject) -> list[KubeObject]:
        """The rules of the selected roles in the order of their names, each once."""
        selected: dict[str, KubeObject] = {}
        for wanted in role["aggregationRule"].get("clusterRoleSelectors") or ():
            for other in self.cache.all(CLUSTER_ROLES.key):
                if name_of(other) != name_of(role) and matches(wanted, labels_of(other)):
                    selected[name_of(other)] = other
        rules: list[KubeObject] = []
        for _, other in sorted(selected.items()):
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
        return rules
