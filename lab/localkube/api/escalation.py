"""Nobody grants what they do not hold: the check on writes of roles and bindings.

Source: kubernetes pkg/registry/rbac/*/policybased and pkg/registry/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.kube.objects import KubeObject, name_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import forbidden
from lab.localkube.api.identity import MASTERS, User
from lab.localkube.api.rbac import GROUP, Attributes, Authorizer, Rule
from lab.localkube.protocols import Registry

_ROLES = ("roles", "clusterroles")
_EVERYTHING: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)


class Escalation:
    """Checks the outcome of a write before it is stored."""

    def __init__(self, registry: Registry, authorizer: Authorizer) -> None:
        self._registry = registry
        self._authorizer = authorizer

    def concerns(self, resource: Resource, user: User) -> bool:
        """Must writes of this resource by this user be checked?"""
        return resource.group == GROUP and MASTERS not in user.groups

    def check(self, resource: Resource, namespace: str, obj: KubeObject, user: User) -> None:
        """Raise StatusError 403 when the role or binding gives more than the user has, 404 without its role.

        The permissions `escalate` on the role and `bind` on the role that a binding names lift it.
        """
        if resource.plural in _ROLES:
            asked = Attributes("escalate", GROUP, resource.plural, "", namespace, name_of(obj))
        else:
            ref: Mapping[str, Any] = obj.get("roleRef") or {}
            plural = "clusterroles" if ref.get("kind") == "ClusterRole" else "roles"
            asked = Attributes("bind", GROUP, plural, "", namespace, str(ref.get("name", "")))
        if self._authorizer.allowed(user, asked):
            return
        if obj.get("aggregationRule") and not all(self._holds(user, "", rule) for rule in _EVERYTHING):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise forbidden(resource.plural, resource.group, name_of(obj), why)
        role = obj
        if resource.plural not in _ROLES:
            role = self._registry.get(
                builtin(asked.resource), namespace if asked.resource == "roles" else "", asked.name
            )
        rules: Sequence[Rule] = role.get("rules") or ()
        missing = [rule for rule in rules if not self._holds(user, namespace, rule)]
        if missing:
            why = (
                f'user "{user.name}" (groups={_list(user.groups)}) is attempting to grant RBAC '
                "permissions not currently held:\n" + "\n".join(_text(rule) for rule in missing)
            )
            raise forbidden(resource.plural, resource.group, name_of(obj), why)

    def _holds(self, user: User, namespace: str, rule: Rule) -> bool:
        return all(self._authorizer.allowed(user, asked) for asked in _single(rule, namespace))


def _single(rule: Rule, namespace: str) -> Iterator[Attributes]:
    """A rule as single permissions. A wildcard in it is only covered by the same wildcard."""
    for verb in rule.get("verbs") or ():
        for url in rule.get("nonResourceURLs") or ():
            yield Attributes(verb, path=url)
        for group in rule.get("apiGroups") or ():
            for full in rule.get("resources") or ():
                resource, _, subresource = full.partition("/")
                for name in rule.get("resourceNames") or ("",):
                    yield Attributes(verb, group, resource, subresource, namespace, name)


def _text(rule: Rule) -> str:
    fields = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("ResourceNames", "resourceNames"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("Verbs", "verbs"),
    )
    return "{" + ", ".join(f"{go}:{_list(rule[key])}" for go, key in fields if rule.get(key)) + "}"


def _list(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
