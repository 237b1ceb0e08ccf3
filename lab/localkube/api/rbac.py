"""May they? Role-based access control over the stored roles and bindings.

Source: kubernetes plugin/pkg/auth/authorizer/rbac and pkg/apis/rbac/v1/evaluation_helpers.go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError, forbidden
from lab.localkube.api.identity import MASTERS, SERVICE_ACCOUNT, User
from lab.localkube.protocols import Registry, WatchEvent

GROUP = "rbac.authorization.k8s.io"
Rule = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked. With `path` set it is a non-resource request and only verb and path count."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """`pods` or `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class _Grant:
    namespace: str  # empty: everywhere
    rules: Sequence[Rule]
    why: str


class Authorizer:
    """Answers from an index of the bindings, rebuilt after any change of an RBAC object."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._grants: dict[tuple[str, str], list[_Grant]] | None = None
        registry.subscribe(self._changed)

    def allowed(self, user: User, asked: Attributes) -> bool:
        """Does any rule allow it?"""
        return self.reason(user, asked) is not None

    def reason(self, user: User, asked: Attributes) -> str | None:
        """Why it is allowed, in upstream's words; None when it is not."""
        if MASTERS in user.groups:
            return ""
        for grant in self._of(user):
            if grant.namespace and (asked.path or grant.namespace != asked.namespace):
                continue
            if any(rule_allows(rule, asked) for rule in grant.rules):
                return grant.why
        return None

    def check(self, user: User, asked: Attributes) -> None:
        """Raise StatusError 403, worded as upstream, when it is not allowed."""
        if self.allowed(user, asked):
            return
        if asked.path:
            message = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"'
            raise StatusError(403, "Forbidden", message, details={})
        scope = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        why = (
            f'User "{user.name}" cannot {asked.verb} resource "{asked.full_resource}" '
            f'in API group "{asked.group}" {scope}'
        )
        raise forbidden(asked.resource, asked.group, asked.name, why)

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """Every rule that applies to the user in a namespace."""
        if MASTERS in user.groups:
            return [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        grants = self._of(user)
        return [rule for grant in grants if grant.namespace in ("", namespace) for rule in grant.rules]

    def _changed(self, resource: Resource, _event: WatchEvent) -> None:
        if resource.group == GROUP:
            self._grants = None

    def _of(self, user: User) -> Iterator[_Grant]:
        if self._grants is None:
            self._grants = self._index()
        yield from self._grants.get(("User", user.name), ())
        for group in user.groups:
            yield from self._grants.get(("Group", group), ())

    def _index(self) -> dict[tuple[str, str], list[_Grant]]:
        index: dict[tuple[str, str], list[_Grant]] = defaultdict(list)
        cluster = {name_of(role): role for role in self._all("clusterroles")}
        local = {(namespace_of(role), name_of(role)): role for role in self._all("roles")}
        for plural in ("clusterrolebindings", "rolebindings"):
            for binding in self._all(plural):
                namespace, ref = namespace_of(binding), binding.get("roleRef") or {}
                if ref.get("kind") == "ClusterRole":
                    role = cluster.get(ref.get("name", ""))
                else:
                    role = local.get((namespace, ref.get("name", "")))
                if role is None:
                    continue
                for subject in binding.get("subjects") or ():
                    why = _why(binding, ref, subject)
                    index[_subject_key(subject, namespace)].append(
                        _Grant(namespace, role.get("rules") or (), why)
                    )
        return index

    def _all(self, plural: str) -> Sequence[KubeObject]:
        return self._registry.list(builtin(plural)).items


def rule_allows(rule: Rule, asked: Attributes) -> bool:
    """One PolicyRule against one request."""
    if not _has(rule.get("verbs"), asked.verb):
        return False
    if asked.path:
        return any(_path_matches(pattern, asked.path) for pattern in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames") or ()
    return (
        _has(rule.get("apiGroups"), asked.group)
        and _resource_matches(rule.get("resources") or (), asked)
        and (not names or asked.name in names)
    )


def _has(values: Sequence[str] | None, wanted: str) -> bool:
    return values is not None and (wanted in values or "*" in values)


def _resource_matches(resources: Sequence[str], asked: Attributes) -> bool:
    if "*" in resources or asked.full_resource in resources:
        return True
    return bool(asked.subresource) and f"*/{asked.subresource}" in resources


def _path_matches(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return pattern == path


def _subject_key(subject: Rule, namespace: str) -> tuple[str, str]:
    name = str(subject.get("name", ""))
    if subject.get("kind") == "ServiceAccount":
        return "User", f"{SERVICE_ACCOUNT}{subject.get('namespace') or namespace}:{name}"
    return str(subject.get("kind", "")), name


def _why(binding: KubeObject, ref: Rule, subject: Rule) -> str:
    namespace, name = namespace_of(binding), name_of(binding)
    kind, full = ("RoleBinding", f"{name}/{namespace}") if namespace else ("ClusterRoleBinding", name)
    who = f'{subject.get("kind")} "{subject.get("name")}"'
    if subject.get("kind") == "ServiceAccount":
        who = f'ServiceAccount "{subject.get("name")}/{subject.get("namespace") or namespace}"'
    return f'RBAC: allowed by {kind} "{full}" of {ref.get("kind")} "{ref.get("name")}" to {who}'
