"""Which requests a policy or a binding is about: resource rules, namespace and object selectors.

Source: k8s.io/apiserver/pkg/admission/plugin/{policy/matching,webhook/predicates}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.kube.objects import KubeObject, labels_of
from lab.kube.resources import Resource
from lab.kube.selectors import LabelSelector, label_selector_from
from lab.localkube.protocols import AdmissionRequest
from lab.localkube.registry.served import EQUIVALENT, NAMESPACES


def namespace_in(request: AdmissionRequest) -> str:
    """The namespace of a request; that of a Namespace is its own name."""
    return request.name if request.resource.key == NAMESPACES.key else request.namespace


@dataclass(frozen=True, slots=True)
class Rule:
    """One NamedRuleWithOperations. `resources` are pairs of resource and subresource; `*` is any."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    scope: str
    names: frozenset[str]

    def matches(self, request: AdmissionRequest, resource: Resource) -> bool:
        """Is a request about this, its resource taken to be `resource`?"""
        return (
            ("*" in self.operations or request.operation in self.operations)
            and ("*" in self.groups or resource.group in self.groups)
            and ("*" in self.versions or resource.version in self.versions)
            and any(
                name in ("*", resource.plural) and sub in ("*", request.subresource)
                for name, sub in self.resources
            )
            and self._in_scope(request, resource)
            and (not self.names or request.name in self.names)
        )

    def _in_scope(self, request: AdmissionRequest, resource: Resource) -> bool:
        if self.scope == "*":
            return True
        namespaced = resource.key != NAMESPACES.key and bool(request.namespace)
        return namespaced == (self.scope == "Namespaced")


@dataclass(frozen=True, slots=True)
class Matcher:
    """The MatchResources of a policy or a binding. Without rules every resource matches."""

    rules: Sequence[Rule]
    excluded: Sequence[Rule]
    equivalent: bool
    namespaces: LabelSelector
    objects: LabelSelector

    def match(self, request: AdmissionRequest, namespace: KubeObject | None) -> Resource | None:
        """The resource that a request is about in the eyes of the rules, None when it is not concerned.

        namespace: the Namespace object of the request, None when it has none.
        """
        if not (self._selects_namespace(request, namespace) and self._selects_object(request)):
            return None
        if self._first(self.excluded, request) is not None:
            return None
        return self._first(self.rules, request) if self.rules else request.resource

    def _first(self, rules: Sequence[Rule], request: AdmissionRequest) -> Resource | None:
        if any(rule.matches(request, request.resource) for rule in rules):
            return request.resource
        if self.equivalent:
            for same in EQUIVALENT:
                if request.resource not in same:
                    continue
                for other in same:
                    if any(rule.matches(request, other) for rule in rules):
                        return other
        return None

    def _selects_namespace(self, request: AdmissionRequest, namespace: KubeObject | None) -> bool:
        if self.namespaces.empty or not namespace_in(request):
            return True
        if request.resource.key == NAMESPACES.key and not request.subresource and request.object:
            namespace = request.object
        return self.namespaces.matches(labels_of(namespace or {}))

    def _selects_object(self, request: AdmissionRequest) -> bool:
        if self.objects.empty:
            return True
        return any(
            obj is not None and self.objects.matches(labels_of(obj)) for obj in (request.object, request.old)
        )


def read_matcher(resources: Mapping[str, object]) -> Matcher:
    """The matcher of a MatchResources object that has its defaults."""
    source: KubeObject = dict(resources)
    return Matcher(
        tuple(map(_rule, source.get("resourceRules") or ())),
        tuple(map(_rule, source.get("excludeResourceRules") or ())),
        source.get("matchPolicy") == "Equivalent",
        label_selector_from(source.get("namespaceSelector") or {}),
        label_selector_from(source.get("objectSelector") or {}),
    )


def _rule(rule: KubeObject) -> Rule:
    parts = (text.partition("/") for text in rule.get("resources") or ())
    return Rule(
        frozenset(rule.get("operations") or ()),
        frozenset(rule.get("apiGroups") or ()),
        frozenset(rule.get("apiVersions") or ()),
        tuple((name, sub) for name, _, sub in parts),
        rule.get("scope") or "*",
        frozenset(rule.get("resourceNames") or ()),
    )
