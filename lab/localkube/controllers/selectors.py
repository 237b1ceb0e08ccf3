"""meta/v1 LabelSelector: matchLabels and matchExpressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.kube.objects import KubeObject


def matches(selector: KubeObject | None, labels: Mapping[str, str]) -> bool:
    """Does a LabelSelector choose these labels? None chooses nothing, an empty one everything."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(requirement_holds(each, labels) for each in selector.get("matchExpressions") or ())


def requirement_holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One expression: In, NotIn, Exists, DoesNotExist, and for nodes Gt and Lt. Unknown ones are false."""
    value = labels.get(requirement.get("key", ""))
    values = list(requirement.get("values") or ())
    match requirement.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                have, bound = int(value or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return have > bound if operator == "Gt" else have < bound
    return False


def map_matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """A plain map selector, as Services have; an empty one chooses nothing here."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())
