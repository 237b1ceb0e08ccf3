"""Admission policies and their bindings.

Source: k8s.io/kubernetes/pkg/apis/admissionregistration/v1/defaults.go.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject


def _match_resources(resources: KubeObject) -> None:
    resources.setdefault("matchPolicy", "Equivalent")
    resources.setdefault("namespaceSelector", {})
    resources.setdefault("objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in resources.get(field) or ():
            rule.setdefault("scope", "*")


def default_policy(obj: KubeObject) -> None:
    """A policy that fails closed, for equivalent resources too."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    if spec.get("matchConstraints") is not None:
        _match_resources(spec["matchConstraints"])


def default_policy_binding(obj: KubeObject) -> None:
    """The match of a binding, where it has one."""
    resources = obj.setdefault("spec", {}).get("matchResources")
    if resources is not None:
        _match_resources(resources)
