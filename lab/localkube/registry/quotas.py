"""ResourceQuota: what a namespace may have in all, and what it has.

What is used is counted anew from what is stored, at each write that adds to it.

Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota and kubernetes/pkg/quota/v1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.quantity import parse_quantity
from lab.kube.resources import Resource, builtin
from lab.kube.status import forbidden
from lab.localkube.registry.core import Core
from lab.localkube.registry.limit_ranges import pod_total, shown_amount

QUOTAS = builtin("ResourceQuota")
_COUNTED = ("configmaps", "secrets", "services", "replicationcontrollers", "resourcequotas")
_CLAIMS = "persistentvolumeclaims"
_OF_CLASS = ".storageclass.storage.k8s.io/"
_MUST_BE_SAID = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
"""A container must say how much of these it asks for, where a quota has them."""

Usage = dict[str, Decimal]
Objects = Callable[[str, str], Iterable[KubeObject]]
"""(resource key, namespace) -> what is stored."""


def check_quota(core: Core, resource: Resource, new: KubeObject, old: KubeObject | None = None) -> None:
    """Hold a write against the quotas of its namespace. Raises StatusError 403."""
    namespace = namespace_of(new)
    quotas = list(core.store.values(QUOTAS.key, namespace)) if namespace else []
    if not quotas:
        return
    wanted, had = usage_of(resource.key, new), {} if old is None else usage_of(resource.key, old)
    more = {name: amount - had.get(name, Decimal(0)) for name, amount in wanted.items()}
    for quota in quotas:
        problem = _problem(core, quota, resource, new, {k: v for k, v in more.items() if v > 0})
        if problem:
            raise forbidden(resource.plural, resource.group, name_of(new), problem)


def _problem(core: Core, quota: KubeObject, resource: Resource, new: KubeObject, more: Usage) -> str:
    hard = {name: parse_quantity(amount) for name, amount in (quota["spec"].get("hard") or {}).items()}
    if not matches(quota, resource.key, new):
        return ""
    if resource.key == "pods" and (unsaid := _unsaid(new, _MUST_BE_SAID & hard.keys())):
        return f"failed quota: {name_of(quota)}: must specify {unsaid}"
    concerned = {name: hard[name] for name in more if name in hard}
    if not concerned:
        return ""
    used = used_of(quota, lambda key, space: core.store.values(key, space), concerned)
    over = sorted(name for name, most in concerned.items() if used[name] + more[name] > most)
    if not over:
        return ""
    return (
        f"exceeded quota: {name_of(quota)}, requested: {_pairs(over, more)}, "
        f"used: {_pairs(over, used)}, limited: {_pairs(over, hard)}"
    )


def used_of(quota: KubeObject, objects: Objects, hard: Iterable[str]) -> Usage:
    """What there is of each of these names in the quota's namespace."""
    total = {name: Decimal(0) for name in hard}
    for key in {kind_of(name) for name in total}:
        for obj in objects(key, namespace_of(quota)):
            if matches(quota, key, obj):
                for name, amount in usage_of(key, obj).items():
                    if name in total:
                        total[name] += amount
    return total


def kind_of(name: str) -> str:
    """The key of the resource whose objects use up what a name in a quota stands for."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name.startswith("services."):
        return "services"
    if name in (_CLAIMS, "requests.storage") or _OF_CLASS in name:
        return _CLAIMS
    return name if name in _COUNTED else "pods"


def usage_of(key: str, obj: KubeObject) -> Usage:
    """What an object uses, by the names that quotas have."""
    one = Decimal(1)
    used = {f"count/{key}": one}
    if key == "pods":
        return used | _of_pod(obj)
    if key in _COUNTED or key == _CLAIMS:
        used[key] = one
    spec = obj.get("spec") or {}
    if key == "services":
        kind = spec.get("type")
        if kind == "LoadBalancer":
            used["services.loadbalancers"] = one
        if kind in ("NodePort", "LoadBalancer") and spec.get("allocateLoadBalancerNodePorts") is not False:
            used["services.nodeports"] = Decimal(len(spec.get("ports") or ()))
    elif key == _CLAIMS:
        size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        of = [""] + ([spec["storageClassName"] + _OF_CLASS] if spec.get("storageClassName") else [])
        for prefix in of:
            used[f"{prefix}{_CLAIMS}"] = one
            if size is not None:
                used[f"{prefix}requests.storage"] = parse_quantity(size)
    return used


def _of_pod(pod: KubeObject) -> Usage:
    """A pod that has ended uses nothing but its place among the objects."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    used = {"pods": Decimal(1)}
    for name, amount in pod_total(pod["spec"], "requests").items():
        used[f"requests.{name}"] = amount
        if name in ("cpu", "memory", "ephemeral-storage"):
            used[name] = amount
    for name, amount in pod_total(pod["spec"], "limits").items():
        used[f"limits.{name}"] = amount
    return used


def matches(quota: KubeObject, key: str, obj: KubeObject) -> bool:
    """Is an object among those that the scopes of a quota select?"""
    spec = quota["spec"]
    selector = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    terms = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    terms += selector
    return not terms or (key == "pods" and all(_in_scope(term, obj) for term in terms))


def _in_scope(term: Mapping[str, object], pod: KubeObject) -> bool:
    scope, spec = term["scopeName"], pod["spec"]
    if scope == "PriorityClass":
        name, values = spec.get("priorityClassName"), term.get("values") or ()
        return {
            "Exists": bool(name),
            "DoesNotExist": not name,
            "In": name in values,  # type: ignore[operator]
            "NotIn": name not in values,  # type: ignore[operator]
        }[str(term["operator"])]
    terminating = spec.get("activeDeadlineSeconds") is not None
    best_effort = (pod.get("status") or {}).get("qosClass") == "BestEffort"
    return {
        "Terminating": terminating,
        "NotTerminating": not terminating,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
    }[str(scope)]


def _unsaid(pod: KubeObject, required: Iterable[str]) -> str:
    """What containers do not say: `limits.cpu for: a,b; requests.cpu for: a`."""
    missing: dict[str, set[str]] = {}
    for container in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())):
        resources = container.get("resources") or {}
        said = {f"limits.{name}" for name in resources.get("limits") or {}}
        for name in resources.get("requests") or {}:
            said |= {name, f"requests.{name}"}
        for name in required:
            if name not in said:
                missing.setdefault(name, set()).add(container["name"])
    return "; ".join(f"{name} for: {','.join(sorted(who))}" for name, who in sorted(missing.items()))


def _pairs(names: Iterable[str], amounts: Mapping[str, Decimal]) -> str:
    return ",".join(f"{name}={shown_amount(name, amounts[name])}" for name in names)
