"""Selectors as the controllers meet them: on stored objects, where a bad one chooses nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.selectors import Requirement, SelectorError, label_selector_from

_NODE_OPERATORS = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
    "Gt": "gt",
    "Lt": "lt",
}


def matches(selector: KubeObject | None, labels: Mapping[str, str]) -> bool:
    """Does a LabelSelector choose these labels? None chooses nothing, an empty one everything."""
    try:
        return label_selector_from(selector).matches(labels)
    except SelectorError:
        return False


def requirement_holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One NodeSelectorRequirement: a label selector's operators, and Gt and Lt. Unknown ones are false."""
    operator = _NODE_OPERATORS.get(requirement.get("operator", ""))
    values = frozenset(requirement.get("values") or ())
    if operator is None or (operator in ("gt", "lt") and len(values) != 1):
        return False
    return Requirement(requirement.get("key", ""), operator, values).matches(labels)


def map_matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """A plain map selector, as Services have; an empty one chooses nothing here."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())
