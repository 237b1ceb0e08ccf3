"""Admission policies and their bindings; their expressions must compile.

Source: k8s.io/kubernetes/pkg/apis/admissionregistration/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.selectors import SelectorError, is_qualified_name, label_selector_from
from lab.localkube.registry.names import subdomain_problem
from lab.localkube.registry.policies.expressions import (
    BOOL,
    NULL,
    STRING,
    Compiler,
    ExpressionError,
    Program,
)
from lab.localkube.registry.validation.causes import Causes

_ACTIONS = ("Deny", "Warn", "Audit")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT", "*")
_SCOPES = ("Cluster", "Namespaced", "*")
_MOST_CONDITIONS = 64
_MOST_ANNOTATIONS = 20
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*\Z")
_RESERVED = re.compile(
    r"(true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace"
    r"|return|var|void|while)\Z"
)
_BOTH_ACTIONS = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API "
    "response and headers serves no purpose)"
)
_NOTHING = "validations or auditAnnotations must contain at least one item"
_QUALIFIED = "must be a qualified name, such as 'my-name' or 'example.com/my-name'"
_NO_PARAMETERS = (
    "parameters are not supported by localkube: write the values into the policy, or use a real cluster"
)


def check_policy(obj: KubeObject, causes: Causes) -> None:
    """A ValidatingAdmissionPolicy."""
    spec = obj.get("spec") or {}
    if spec.get("failurePolicy") not in ("Fail", "Ignore"):
        causes.unsupported("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    constraints = spec.get("matchConstraints")
    if constraints is None:
        causes.required("spec.matchConstraints")
    else:
        _check_match(constraints, "spec.matchConstraints", causes)
        if not constraints.get("resourceRules"):
            causes.required("spec.matchConstraints.resourceRules")
    params = spec.get("paramKind")
    if params is not None:
        for field in ("apiVersion", "kind"):
            if not params.get(field):
                causes.required(f"spec.paramKind.{field}")
    alone, compiler = (Compiler(params=params is not None) for _ in range(2))
    _check_conditions(alone, spec.get("matchConditions") or (), causes)
    _check_variables(compiler, spec.get("variables") or (), causes)
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        causes.required("spec.validations", _NOTHING)
        causes.required("spec.auditAnnotations", _NOTHING)
    for index, validation in enumerate(validations):
        _check_validation(compiler, validation, f"spec.validations[{index}]", causes)
    _check_annotations(compiler, obj["metadata"].get("name", ""), annotations, causes)


def check_policy_binding(obj: KubeObject, causes: Causes) -> None:
    """A ValidatingAdmissionPolicyBinding. One with parameters is refused."""
    spec = obj.get("spec") or {}
    name = spec.get("policyName")
    if not name:
        causes.required("spec.policyName")
    elif subdomain_problem(name):
        causes.invalid("spec.policyName", name, subdomain_problem(name))
    if spec.get("paramRef") is not None:
        causes.forbidden("spec.paramRef", _NO_PARAMETERS)
    if spec.get("matchResources") is not None:
        _check_match(spec["matchResources"], "spec.matchResources", causes)
    actions: Sequence[str] = spec.get("validationActions") or ()
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            causes.unsupported(f"spec.validationActions[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            causes.duplicate(f"spec.validationActions[{index}]", action)
    if "Deny" in actions and "Warn" in actions:
        causes.invalid("spec.validationActions", list(actions), _BOTH_ACTIONS)
    if not actions:
        causes.required("spec.validationActions", "at least one validation action is required")


def _check_match(resources: KubeObject, path: str, causes: Causes) -> None:
    if resources.get("matchPolicy") not in ("Exact", "Equivalent"):
        causes.unsupported(f"{path}.matchPolicy", resources.get("matchPolicy"), ("Exact", "Equivalent"))
    for field in ("namespaceSelector", "objectSelector"):
        try:
            label_selector_from(resources.get(field) or {})
        except SelectorError as error:
            causes.invalid(f"{path}.{field}", resources[field], str(error))
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(resources.get(field) or ()):
            _check_rule(rule, f"{path}.{field}[{index}]", causes)


def _check_rule(rule: KubeObject, path: str, causes: Causes) -> None:
    for field in ("apiGroups", "apiVersions", "resources", "operations"):
        values: Sequence[str] = rule.get(field) or ()
        if not values:
            causes.required(f"{path}.{field}")
        if "*" in values and len(values) > 1:
            where = f"{path}.{field}"
            if field != "resources" or any("/" not in value for value in values if value != "*"):
                causes.invalid(where, list(values), "if '*' is present, must not specify other values")
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in _OPERATIONS:
            causes.unsupported(f"{path}.operations[{index}]", operation, _OPERATIONS)
    for index, resource in enumerate(rule.get("resources") or ()):
        if not resource:
            causes.required(f"{path}.resources[{index}]")
    names: Sequence[str] = rule.get("resourceNames") or ()
    for index, name in enumerate(names):
        if name in names[:index]:
            causes.duplicate(f"{path}.resourceNames[{index}]", name)
    if rule.get("scope") not in _SCOPES:
        causes.unsupported(f"{path}.scope", rule.get("scope"), _SCOPES)


def _check_conditions(compiler: Compiler, conditions: Sequence[KubeObject], causes: Causes) -> None:
    if len(conditions) > _MOST_CONDITIONS:
        message = f"Too many: {len(conditions)}: must have at most {_MOST_CONDITIONS} items"
        causes.found.append(("spec.matchConditions", "FieldValueTooMany", message))
    names: set[str] = set()
    for index, condition in enumerate(conditions):
        path, name = f"spec.matchConditions[{index}]", condition.get("name") or ""
        _compile(compiler, condition, "expression", path, (BOOL,), causes)
        if not name:
            causes.required(f"{path}.name")
        elif not is_qualified_name(name):
            causes.invalid(f"{path}.name", name, _QUALIFIED)
        elif name in names:
            causes.duplicate(f"{path}.name", name)
        names.add(name)


def _check_variables(compiler: Compiler, variables: Sequence[KubeObject], causes: Causes) -> None:
    for index, variable in enumerate(variables):
        path, name = f"spec.variables[{index}]", (variable.get("name") or "").strip()
        if not name:
            causes.required(f"{path}.name", "name is not specified")
        elif not _IDENTIFIER.match(name) or _RESERVED.match(name):
            causes.invalid(f"{path}.name", name, "name is not a valid CEL identifier")
        program = _compile(compiler, variable, "expression", path, (), causes, "expression is not specified")
        if program is not None and name:
            compiler.declare(name, program)


def _check_validation(compiler: Compiler, validation: KubeObject, path: str, causes: Causes) -> None:
    _compile(compiler, validation, "expression", path, (BOOL,), causes, "expression is not specified")
    expression, message = validation.get("messageExpression") or "", validation.get("message") or ""
    if expression and not expression.strip():
        causes.invalid(f"{path}.messageExpression", expression, "must be non-empty if specified")
    elif expression:
        _compile(compiler, validation, "messageExpression", path, (STRING,), causes)
    if message and not message.strip():
        causes.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif re.search(r"[\n\r]", message.strip()):
        causes.invalid(f"{path}.message", message, "message must not contain line breaks")
    reason = validation.get("reason")
    if reason is not None and reason not in _REASONS:
        causes.unsupported(f"{path}.reason", reason, _REASONS)


def _check_annotations(
    compiler: Compiler, policy: str, annotations: Sequence[KubeObject], causes: Causes
) -> None:
    if len(annotations) > _MOST_ANNOTATIONS:
        why = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        causes.invalid("spec.auditAnnotations", list(annotations), why)
    keys: set[str] = set()
    for index, annotation in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{index}]", annotation.get("key") or ""
        if not is_qualified_name(f"{policy}/{key}"):
            causes.invalid(f"{path}.key", f"{policy}/{key}", _QUALIFIED)
        elif key in keys:
            causes.duplicate(f"{path}.key", key)
        keys.add(key)
        missing = "valueExpression is not specified"
        _compile(compiler, annotation, "valueExpression", path, (STRING, NULL), causes, missing)


def _compile(
    compiler: Compiler,
    source: Mapping[str, Any],
    field: str,
    path: str,
    returns: Sequence[str],
    causes: Causes,
    missing: str = "",
) -> Program | None:
    """Compile one expression; None, and a cause, when that cannot be."""
    text = source.get(field) or ""
    if not text.strip():
        causes.required(f"{path}.{field}", missing)
        return None
    try:
        return compiler.compile(text, returns)
    except ExpressionError as error:
        causes.invalid(f"{path}.{field}", text, str(error))
        return None
