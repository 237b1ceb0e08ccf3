"""Where a pod may be placed: affinity and topology spread.

Source: k8s.io/kubernetes/pkg/apis/core/validation/validation.go (validateAffinity).
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.localkube.registry.names import label_problem, qualified_name_problems
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.metadata import check_expressions, check_labels

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_OPERATOR = "not a valid selector operator"
_POSITIVE = "must be greater than zero"
_WHEN = ("DoNotSchedule", "ScheduleAnyway")


def check_placement(spec: KubeObject, path: str, causes: Causes) -> None:
    """`affinity` and `topologySpreadConstraints` of a pod's spec."""
    affinity = spec.get("affinity") or {}
    if affinity.get("nodeAffinity") is not None:
        _check_node_affinity(affinity["nodeAffinity"], f"{path}.affinity.nodeAffinity", causes)
    for kind in ("podAffinity", "podAntiAffinity"):
        if affinity.get(kind) is not None:
            _check_pod_affinity(affinity[kind], f"{path}.affinity.{kind}", causes)
    _check_spread(spec, f"{path}.topologySpreadConstraints", causes)


def _check_node_affinity(affinity: KubeObject, path: str, causes: Causes) -> None:
    required = affinity.get(_REQUIRED)
    if required is not None:
        at, terms = f"{path}.{_REQUIRED}.nodeSelectorTerms", required.get("nodeSelectorTerms") or ()
        if not terms:
            causes.required(at, "must have at least one node selector term")
        for index, term in enumerate(terms):
            _check_node_term(term, f"{at}[{index}]", causes)
    for index, preferred in enumerate(affinity.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{index}]"
        _check_weight(preferred, at, causes)
        _check_node_term(preferred.get("preference") or {}, f"{at}.preference", causes)


def _check_node_term(term: KubeObject, path: str, causes: Causes) -> None:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        _check_node_expression(expression, f"{path}.matchExpressions[{index}]", causes)
    for index, expression in enumerate(term.get("matchFields") or ()):
        at = f"{path}.matchFields[{index}]"
        if expression.get("operator") not in ("In", "NotIn"):
            causes.invalid(f"{at}.operator", expression.get("operator", ""), _OPERATOR)
        elif len(expression.get("values") or ()) != 1:
            why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            causes.required(f"{at}.values", why)
        if expression.get("key") != "metadata.name":
            causes.invalid(f"{at}.key", expression.get("key", ""), "not a valid field selector key")


def _check_node_expression(expression: KubeObject, path: str, causes: Causes) -> None:
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            causes.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.forbidden(f"{path}.values", why)
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            why = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            causes.required(f"{path}.values", why)
    else:
        causes.invalid(f"{path}.operator", operator, _OPERATOR)
    _check_key(expression.get("key", ""), f"{path}.key", causes)


def _check_key(key: str, path: str, causes: Causes) -> None:
    for problem in qualified_name_problems(key):
        causes.invalid(path, key, problem)


def _check_weight(preferred: KubeObject, path: str, causes: Causes) -> None:
    if not 1 <= preferred.get("weight", 0) <= 100:
        causes.invalid(f"{path}.weight", preferred.get("weight", 0), "must be in the range 1-100")


def _check_pod_affinity(affinity: KubeObject, path: str, causes: Causes) -> None:
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        _check_pod_term(term, f"{path}.{_REQUIRED}[{index}]", causes)
    for index, preferred in enumerate(affinity.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{index}]"
        _check_weight(preferred, at, causes)
        _check_pod_term(preferred.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm", causes)


def _check_pod_term(term: KubeObject, path: str, causes: Causes) -> None:
    for field in ("labelSelector", "namespaceSelector"):
        selector = term.get(field) or {}
        check_labels(selector.get("matchLabels"), f"{path}.{field}.matchLabels", causes)
        check_expressions(selector, f"{path}.{field}", causes)
    for namespace in term.get("namespaces") or ():
        if label_problem(namespace):
            causes.invalid(f"{path}.namespace", namespace, label_problem(namespace))
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        if term.get(field) and term.get("labelSelector") is None:
            causes.forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set")
    key = term.get("topologyKey", "")
    if not key:
        causes.required(f"{path}.topologyKey", "can not be empty")
    _check_key(key, f"{path}.topologyKey", causes)


def _check_spread(spec: KubeObject, path: str, causes: Causes) -> None:
    first: dict[tuple[str, str], int] = {}
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at, when = f"{path}[{index}]", constraint.get("whenUnsatisfiable", "")
        skew, domains, key = (constraint.get(f) for f in ("maxSkew", "minDomains", "topologyKey"))
        if (skew or 0) <= 0:
            causes.invalid(f"{at}.maxSkew", skew or 0, _POSITIVE)
        if not key:
            causes.required(f"{at}.topologyKey", "can not be empty")
        if when not in _WHEN:
            causes.unsupported(f"{at}.whenUnsatisfiable", when, _WHEN)
        earlier = first.setdefault((str(key), when), index)
        if earlier != index:
            where = f"{path}[{earlier}].{{topologyKey, whenUnsatisfiable}}"
            causes.duplicate(where, f"{{{key}, {when}}}")
        if domains is not None and domains <= 0:
            causes.invalid(f"{at}.minDomains", domains, _POSITIVE)
        if domains is not None and when != "DoNotSchedule":
            why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
            causes.invalid(f"{at}.minDomains", domains, why)
        selector = constraint.get("labelSelector") or {}
        check_labels(selector.get("matchLabels"), f"{at}.labelSelector.matchLabels", causes)
        check_expressions(selector, f"{at}.labelSelector", causes)
