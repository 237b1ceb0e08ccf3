"""Budgets of an automation's actions: the `budgets` document of the control ConfigMap."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lab.gateway.target import Target
from lab.kube.resources import BUILTIN

ACTIONS = "actionsPerLabHour"
DISRUPTIONS = "concurrentDisruptions"
SHARE = "shareOfWorkload"
COOLDOWN = "cooldownLabMinutes"
KINDS = "kinds"
NAMESPACES = "namespaces"
COUNTED = (ACTIONS, DISRUPTIONS, SHARE, COOLDOWN)
MAX_COOLDOWN = 24 * 60.0
"""A lab day, in lab minutes: so far the audit log is read back when the gateway starts."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """What an automation may do. None is no limit. A breach is reported, and refused when `enforce` is true.

    actions: mutations in a rolling lab hour. disruptions: pods that are away at once because of it. share: of
    one workload's pods, 0 to 1. cooldown: lab minutes between two actions on one target. kinds: plurals
    (`pods`, `deployments.apps`) or kinds (`Pod`) that it may change. namespaces: where.
    """

    enforce: bool = False
    actions: int | None = None
    disruptions: int | None = None
    share: float | None = None
    cooldown: float | None = None
    kinds: frozenset[str] | None = None
    namespaces: frozenset[str] | None = None

    @property
    def counts_pods(self) -> bool:
        """Is there a limit that needs to know how many pods an action takes away?"""
        return self.disruptions is not None or self.share is not None

    def limits(self) -> dict[str, float]:
        """The counted budgets that are set, by name."""
        given = zip(COUNTED, (self.actions, self.disruptions, self.share, self.cooldown), strict=True)
        return {name: float(limit) for name, limit in given if limit is not None}

    def out_of_bounds(self, target: Target) -> str:
        """Which of the budgets of place and kind the request is outside of, in words; empty when none."""
        info = target.info
        if self.kinds is not None and not self.kinds & _names_of(info.resource, info.group):
            return f"{KINDS}: {_qualified(info.resource, info.group)} is not among {_listed(self.kinds)}"
        if self.namespaces is not None and info.namespace not in self.namespaces:
            where = f"namespace {info.namespace}" if info.namespace else "no namespace"
            return f"{NAMESPACES}: {where} is not among {_listed(self.namespaces)}"
        return ""


@lru_cache(maxsize=8)
def read_budgets(text: str) -> Budgets:
    """Read the `budgets` document; an empty text sets none. Raises ValueError with every problem."""
    if not text:
        return Budgets()
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"budgets is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("budgets is not a JSON object")
    problems = [f"budgets has an unknown key {key!r}" for key in document if key not in _FIELDS]
    values: dict[str, Any] = {}
    for key, (field, check) in _FIELDS.items():
        if document.get(key) is None:
            continue
        try:
            values[field] = check(document[key])
        except ValueError as error:
            problems.append(f"budgets.{key} {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return Budgets(**values)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number from 0")
    return value


def _between(value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"must be a number from 0 to {most:g}")
    return float(value) if math.isfinite(value) else most


def _words(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise ValueError("must be a list of names")
    return frozenset(value)


_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "enforce": ("enforce", _boolean),
    ACTIONS: ("actions", _count),
    DISRUPTIONS: ("disruptions", _count),
    SHARE: ("share", lambda value: _between(value, 1)),
    COOLDOWN: ("cooldown", lambda value: _between(value, MAX_COOLDOWN)),
    KINDS: ("kinds", _words),
    NAMESPACES: ("namespaces", _words),
}

_KIND_OF = {(resource.plural, resource.group): resource.kind for resource in BUILTIN}


def _names_of(resource: str, group: str) -> set[str]:
    names = {resource, _qualified(resource, group)}
    return names | {_KIND_OF[resource, group]} if (resource, group) in _KIND_OF else names


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
