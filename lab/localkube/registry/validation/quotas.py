"""ResourceQuota and LimitRange.

Source: k8s.io/kubernetes/pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

from decimal import Decimal

from lab.kube.objects import KubeObject
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.numbers import check_quantity

_STANDARD = frozenset(
    {
        *("cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage"),
        *("requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"),
        *("pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps"),
        *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
    }
)
_COMPUTE = frozenset(name for name in _STANDARD if name.startswith(("cpu", "memory", "requests.", "limits.")))
_WHOLE = frozenset(name for name in _STANDARD - _COMPUTE if name != "ephemeral-storage")
_SCOPES = ("BestEffort", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating")
_CONFLICTING = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


def check_quota(obj: KubeObject, causes: Causes) -> None:
    """A ResourceQuota."""
    spec = obj.get("spec") or {}
    for name, amount in (spec.get("hard") or {}).items():
        path = f"spec.hard[{name}]"
        value = check_quantity(amount, path, causes)
        if "/" not in name and name not in _STANDARD:
            causes.invalid(path, name, "must be a standard resource type or fully qualified")
            causes.invalid(path, name, "must be a standard resource for quota")
        whole = name in _WHOLE or name.startswith("count/")
        if whole and value is not None and value != value.to_integral_value():
            causes.invalid(path, amount, "must be an integer")
    scopes = spec.get("scopes") or []
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    _check_scopes(scopes, spec, "spec.scopes", causes)
    _check_scopes(
        [each.get("scopeName") for each in expressions], spec, "spec.scopeSelector.matchExpressions", causes
    )
    for index, expression in enumerate(expressions):
        _check_expression(expression, f"spec.scopeSelector.matchExpressions[{index}]", causes)


def _check_scopes(scopes: list[str | None], spec: KubeObject, path: str, causes: Causes) -> None:
    for scope in scopes:
        if scope not in _SCOPES:
            causes.invalid(path, scopes, "unsupported scope")
            continue
        allowed = {"pods"} if scope == "BestEffort" else {"pods"} | _COMPUTE - {"requests.storage"}
        for name in spec.get("hard") or {}:
            if name in _STANDARD and name not in allowed:
                causes.invalid(path, scopes, "unsupported scope applied to resource")
    if any(set(pair) <= set(scopes) for pair in _CONFLICTING):
        causes.invalid(path, scopes, "conflicting scopes")


def _check_expression(expression: KubeObject, path: str, causes: Causes) -> None:
    operator, values = expression.get("operator", ""), expression.get("values") or []
    if operator not in _OPERATORS:
        causes.invalid(f"{path}.operator", operator, "not a valid selector operator")
    elif operator in ("In", "NotIn") and not values:
        why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        causes.required(f"{path}.values", why)
    elif operator in ("Exists", "DoesNotExist") and values:
        why = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
        causes.invalid(f"{path}.values", values, why)
    if expression.get("scopeName") != "PriorityClass" and operator not in ("Exists", ""):
        why = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
        why += "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
        why += "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
        causes.invalid(f"{path}.operator", operator, why)


def check_quota_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """Scopes cannot change."""
    before, after = (sorted((obj.get("spec") or {}).get("scopes") or ()) for obj in (old, new))
    if before != after:
        causes.invalid("spec.scopes", after, "field is immutable")


def check_limit_range(obj: KubeObject, causes: Causes) -> None:
    """A LimitRange."""
    seen: set[str] = set()
    for index, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{index}]", limit.get("type", "")
        if kind not in ("Container", "Pod", "PersistentVolumeClaim") and "/" not in kind:
            causes.invalid(f"{path}.type", kind, "must be a standard limit type or fully qualified")
        if kind in seen:
            causes.duplicate(f"{path}.type", kind)
        seen.add(kind)
        _check_limit(limit, path, causes)


def _check_limit(limit: KubeObject, path: str, causes: Causes) -> None:
    kind = limit.get("type", "")
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            if limit.get(field):
                causes.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
    if kind == "PersistentVolumeClaim" and not any(
        "storage" in (limit.get(field) or {}) for field in ("min", "max")
    ):
        why = "either minimum or maximum storage value is required, but neither was provided"
        causes.required(f"{path}.limits", why)
    read: dict[str, dict[str, Decimal | None]] = {}
    for field in ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio"):
        read[field] = {
            name: check_quantity(amount, f"{path}.{field}[{name}]", causes)
            for name, amount in (limit.get(field) or {}).items()
        }
    for name, ratio in read["maxLimitRequestRatio"].items():
        if ratio is not None and ratio < 1:
            shown = limit["maxLimitRequestRatio"][name]
            causes.invalid(f"{path}.maxLimitRequestRatio[{name}]", shown, f"ratio {shown} is less than 1")
    for low, high, where, words in _ORDER:
        for name in sorted(read[low].keys() & read[high].keys()):
            less, more = read[low][name], read[high][name]
            if less is not None and more is not None and less > more:
                why = words.format(limit[low][name], limit[high][name])
                shown = limit["min" if (low, high) == ("min", "default") else where][name]
                causes.invalid(f"{path}.{where}[{name}]", shown, why)


_ORDER = (
    ("min", "max", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "default request value {} is greater than max value {}"),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "default request value {} is greater than default limit value {}",
    ),
    ("min", "default", "default", "min value {} is greater than default value {}"),
    ("default", "max", "default", "default value {} is greater than max value {}"),
)
"""(what may not be more, than what, the field that is named, the words)."""
