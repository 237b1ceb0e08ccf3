"""Risk classes: what a mutation could cost, by a table of verb, resource and subresource.

    reversible    writing the former object undoes it, and no running pod is disturbed
    disruptive    takes running pods away or changes them; the cluster or the former object brings them back
    irreversible  destroys what the API cannot give back, or does what nobody here can judge

The first rule that matches wins: those of the control ConfigMap, then the table. What neither knows is
irreversible.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from lab.kube.request import RequestInfo

ANY = "*"


class Risk(StrEnum):
    """The class of a mutation."""

    REVERSIBLE = "reversible"
    DISRUPTIVE = "disruptive"
    IRREVERSIBLE = "irreversible"


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests of one kind, and their class. `*` matches all, an empty subresource the object itself."""

    verb: str
    group: str
    resource: str
    subresource: str
    risk: Risk

    def matches(self, verb: str, group: str, resource: str, subresource: str) -> bool:
        """Is this request of the kind?"""
        return (
            self.verb in (ANY, verb)
            and self.group in (ANY, group)
            and self.resource in (ANY, resource)
            and self.subresource in (ANY, subresource)
        )


@dataclass(frozen=True, slots=True)
class RiskRules:
    """The `risk` document of the control ConfigMap. enforce: irreversible actions need what they need."""

    enforce: bool = False
    rules: tuple[Rule, ...] = ()


_TABLE = """
# verb     resource.group                                subresource   class
  delete   pods                                          -             disruptive
  create   pods                                          eviction      disruptive
  create   pods                                          -             reversible
  patch    pods                                          -             reversible
  update   pods                                          -             reversible
  patch    pods                                          resize        disruptive
  update   pods                                          resize        disruptive
  create   deployments.apps                              -             reversible
  create   statefulsets.apps                             -             reversible
  create   daemonsets.apps                               -             reversible
  create   jobs.batch                                    -             disruptive
  patch    deployments.apps                              -             disruptive
  update   deployments.apps                              -             disruptive
  patch    deployments.apps                              scale         disruptive
  update   deployments.apps                              scale         disruptive
  patch    statefulsets.apps                             -             disruptive
  update   statefulsets.apps                             -             disruptive
  patch    statefulsets.apps                             scale         disruptive
  update   statefulsets.apps                             scale         disruptive
  patch    replicasets.apps                              scale         disruptive
  update   replicasets.apps                              scale         disruptive
  patch    daemonsets.apps                               -             disruptive
  update   daemonsets.apps                               -             disruptive
  create   cronjobs.batch                                -             reversible
  patch    cronjobs.batch                                -             reversible
  update   cronjobs.batch                                -             reversible
  create   horizontalpodautoscalers.autoscaling          -             reversible
  patch    horizontalpodautoscalers.autoscaling          -             reversible
  update   horizontalpodautoscalers.autoscaling          -             reversible
  create   poddisruptionbudgets.policy                   -             reversible
  patch    poddisruptionbudgets.policy                   -             reversible
  update   poddisruptionbudgets.policy                   -             reversible
  create   configmaps                                    -             reversible
  patch    configmaps                                    -             reversible
  update   configmaps                                    -             reversible
  create   services                                      -             reversible
  patch    services                                      -             reversible
  update   services                                      -             reversible
  patch    nodes                                         -             reversible
  update   nodes                                         -             reversible
  create   events                                        -             reversible
  patch    events                                        -             reversible
  create   events.events.k8s.io                          -             reversible
  patch    events.events.k8s.io                          -             reversible
  create   leases.coordination.k8s.io                    -             reversible
  patch    leases.coordination.k8s.io                    -             reversible
  update   leases.coordination.k8s.io                    -             reversible
  create   objects.s3                                    -             reversible
  update   objects.s3                                    tagging       reversible
  delete   objects.s3                                    tagging       reversible
  delete   backends.database                             -             disruptive
  update   backends.database                             -             disruptive
"""


def _parse(text: str) -> tuple[Rule, ...]:
    rules = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            verb, qualified, subresource, risk = line.split()
            resource, _, group = qualified.partition(".")
            rules.append(Rule(verb, group, resource, "" if subresource == "-" else subresource, Risk(risk)))
    return tuple(rules)


TABLE = _parse(_TABLE)
"""The built-in rules."""

_NOT_RESTORED = frozenset({"secrets", "persistentvolumeclaims", "persistentvolumes", "namespaces", "nodes"})


def classify(info: RequestInfo, rules: RiskRules) -> Risk:
    """The class of a mutating request."""
    return _class_of(info.verb, info.group, info.resource, info.subresource, rules.rules)


@lru_cache(maxsize=256)
def _class_of(verb: str, group: str, resource: str, subresource: str, rules: tuple[Rule, ...]) -> Risk:
    for rule in (*rules, *TABLE):
        if rule.matches(verb, group, resource, subresource):
            return rule.risk
    return Risk.IRREVERSIBLE


def image_restores(info: RequestInfo, before: dict[str, Any] | None) -> bool:
    """Would writing the before-image of the record bring back what the request takes?

    Not for a collection (only names are kept), an image that was cut, values that are masked, and objects
    that stand for more than themselves: volumes, namespaces, nodes, definitions of resources.
    """
    if not before or "cut" in before or info.verb == "deletecollection" or info.is_connect:
        return False
    return info.resource not in _NOT_RESTORED and info.group != "apiextensions.k8s.io"


@lru_cache(maxsize=8)
def read_risk(text: str) -> RiskRules:
    """Read the `risk` document; an empty text is the default. Raises ValueError with every problem."""
    if not text:
        return RiskRules()
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"risk is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("risk is not a JSON object")
    problems = [f"risk has an unknown key {key!r}" for key in document if key not in ("enforce", "rules")]
    enforce, given = document.get("enforce", False), document.get("rules", [])
    if not isinstance(enforce, bool):
        problems.append("risk.enforce must be true or false")
    if not isinstance(given, list):
        problems.append("risk.rules must be a list")
        given = []
    rules = [_rule(number, value, problems) for number, value in enumerate(given)]
    if problems:
        raise ValueError("; ".join(problems))
    return RiskRules(enforce, tuple(rule for rule in rules if rule is not None))


def _rule(number: int, value: Any, problems: list[str]) -> Rule | None:
    where = f"risk.rules[{number}]"
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        problems.append(f"{where} must be an object of strings")
        return None
    known = ("verb", "group", "resource", "subresource", "class")
    problems += [f"{where} has an unknown key {key!r}" for key in value if key not in known]
    if value.get("class") not in tuple(Risk):
        problems.append(f"{where}.class must be one of {', '.join(Risk)}")
        return None
    verb, group, resource, subresource = (str(value.get(key, ANY)) for key in known[:4])
    return Rule(verb, group, resource, subresource, Risk(value["class"]))
