"""LimitRange: what containers ask for when they do not say, and how much they may ask for.

Source: k8s.io/kubernetes/plugin/pkg/admission/limitranger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.quantity import format_quantity, parse_quantity
from lab.kube.resources import Resource, builtin
from lab.kube.status import forbidden
from lab.localkube.registry.core import Core

LIMIT_RANGES = builtin("LimitRange")
_CLAIMS = builtin("PersistentVolumeClaim")
_ANNOTATION = "kubernetes.io/limit-ranger"
_RATIO = "{name} max limit to request ratio per {type} is {most}, but "

Amounts = Mapping[str, Any]
"""Quantities by the name of the resource."""


def apply_limit_defaults(core: Core, pod: KubeObject) -> None:
    """Fill requests and limits of a new pod's containers, in place."""
    defaults: dict[str, dict[str, Any]] = {"requests": {}, "limits": {}}
    for limit in _limits(core, pod):
        if limit.get("type") == "Container":
            defaults["limits"] |= limit.get("default") or {}
            defaults["requests"] |= limit.get("defaultRequest") or {}
    said = []
    spec = pod["spec"]
    for field, kind in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            resources = container.setdefault("resources", {})
            for part in ("requests", "limits"):
                missing = {k: v for k, v in defaults[part].items() if k not in (resources.get(part) or {})}
                if missing:
                    resources[part] = (resources.get(part) or {}) | missing
                    names = ", ".join(sorted(missing))
                    said.append(f"{names} {part[:-1]} for {kind} {container.get('name', '')}")
    if said:
        text = "LimitRanger plugin set: " + "; ".join(said)
        pod["metadata"]["annotations"] = (pod["metadata"].get("annotations") or {}) | {_ANNOTATION: text}


def check_limits(core: Core, resource: Resource, obj: KubeObject) -> None:
    """Hold a new pod or a claim against the limits of its namespace. Raises StatusError 403."""
    if resource.key == "pods":
        problems = [each for limit in _limits(core, obj) for each in _of_pod(limit, obj["spec"])]
    elif resource.key == _CLAIMS.key:
        asked = (obj["spec"].get("resources") or {}).get("requests") or {}
        problems = [
            each
            for limit in _limits(core, obj)
            if limit.get("type") == "PersistentVolumeClaim"
            for each in (*_too_little(limit, asked, {}), *_too_much_asked(limit, asked))
        ]
    else:
        return
    if problems:
        why = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        raise forbidden(resource.plural, resource.group, obj["metadata"]["name"], why)


def _limits(core: Core, obj: KubeObject) -> Iterator[KubeObject]:
    for each in core.store.values(LIMIT_RANGES.key, obj["metadata"]["namespace"]):
        yield from each["spec"]["limits"] or ()


def _of_pod(limit: KubeObject, spec: KubeObject) -> Iterator[str]:
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    if limit.get("type") == "Container":
        for container in containers:
            resources = container.get("resources") or {}
            yield from _of(limit, resources.get("requests") or {}, resources.get("limits") or {})
    elif limit.get("type") == "Pod":
        yield from _of(limit, pod_total(spec, "requests"), pod_total(spec, "limits"))


def pod_total(spec: KubeObject, part: str) -> dict[str, Decimal]:
    """A pod's requests or limits: of its containers and sidecars, or of an init container if that is more."""
    total: dict[str, Decimal] = {}
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in (*(spec.get("containers") or ()), *sidecars):
        for name, amount in ((container.get("resources") or {}).get(part) or {}).items():
            total[name] = total.get(name, Decimal(0)) + parse_quantity(amount)
    for container in spec.get("initContainers") or ():
        for name, amount in ((container.get("resources") or {}).get(part) or {}).items():
            total[name] = max(total.get(name, Decimal(0)), parse_quantity(amount))
    return total


def _of(limit: KubeObject, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _too_little(limit, requests, limits)
    for name, most in sorted((limit.get("max") or {}).items()):
        head = f"maximum {name} usage per {limit['type']} is {most}"
        if name not in limits:
            yield f"{head}.  No limit is specified"
        elif parse_quantity(limits[name]) > parse_quantity(most):
            yield f"{head}, but limit is {_shown(name, limits[name])}"
        elif name in requests and parse_quantity(requests[name]) > parse_quantity(most):
            yield f"{head}, but request is {_shown(name, requests[name])}"
    for name, most in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        head = _RATIO.format(name=name, type=limit["type"], most=most)
        asked, allowed = (parse_quantity(amounts.get(name, 0)) for amounts in (requests, limits))
        if not asked:
            yield f"{head}no request is specified or request is 0"
        elif not allowed:
            yield f"{head}no limit is specified or limit is 0"
        elif allowed / asked > parse_quantity(most):
            yield f"{head}provided ratio is {float(allowed / asked):f}"


def _too_little(limit: KubeObject, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, least in sorted((limit.get("min") or {}).items()):
        head = f"minimum {name} usage per {limit['type']} is {least}"
        if name not in requests:
            yield f"{head}.  No request is specified"
        elif parse_quantity(requests[name]) < parse_quantity(least):
            yield f"{head}, but request is {_shown(name, requests[name])}"
        elif name in limits and parse_quantity(limits[name]) < parse_quantity(least):
            yield f"{head}, but limit is {_shown(name, limits[name])}"


def _too_much_asked(limit: KubeObject, requests: Amounts) -> Iterator[str]:
    for name, most in sorted((limit.get("max") or {}).items()):
        head = f"maximum {name} usage per {limit['type']} is {most}"
        if name not in requests:
            yield f"{head}.  No request is specified"
        elif parse_quantity(requests[name]) > parse_quantity(most):
            yield f"{head}, but request is {_shown(name, requests[name])}"


def _shown(name: str, amount: Any) -> str:
    return shown_amount(name, amount) if isinstance(amount, Decimal) else str(amount)


def shown_amount(name: str, amount: Decimal) -> str:
    """A sum as a quantity: bytes with a binary suffix where that needs no fraction."""
    of_bytes = any(word in name for word in ("memory", "storage", "hugepages"))
    if of_bytes and amount and amount == amount.to_integral_value() and not amount % 1024:
        return format_quantity(f"{int(amount) // 1024}Ki")
    return format_quantity(f"{amount:f}")
