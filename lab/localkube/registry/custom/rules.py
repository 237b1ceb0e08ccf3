"""x-kubernetes-validations: rules in the Common Expression Language, about the values that they sit on.

`self` is the value, `oldSelf` the one that it replaces. Both are dynamic here where upstream derives types
from the schema: a comparison of a string with a number is found when the rule is evaluated, which refuses,
not when the definition is written.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go and
k8s.io/apiserver/pkg/cel/escaping.go.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterator
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.schema import Schema
from lab.localkube.registry.custom.values import ABSENT, NOWHERE, below, earlier_items, type_of
from lab.localkube.registry.policies.expressions import (
    BOOL,
    STRING,
    ExpressionError,
    Program,
    compile_expression,
    untyped_environment,
)
from lab.localkube.registry.policies.fields import reads
from lab.localkube.registry.validation.causes import Causes

RULES = "x-kubernetes-validations"
_ANY = "dyn"
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED = re.compile(r"__|[./-]")
_KEYWORDS = re.compile(
    "(true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|"
    "return|var|void|while)"
)
_BLOCKING = frozenset(
    {"FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
_REASONS = {
    "FieldValueInvalid": "Invalid value: ",
    "FieldValueForbidden": "Forbidden: ",
    "FieldValueRequired": "Required value: ",
    "FieldValueDuplicate": "Duplicate value: ",
}


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> Program:
    return compile_expression(text, functools.partial(untyped_environment, ("self", "oldSelf")))


def rule_problem(text: str, *, message: bool = False) -> str:
    """Why an expression cannot be a rule, or the message of one; empty when it can."""
    try:
        program = _compiled(text)
    except ExpressionError as error:
        return str(error)
    wanted = STRING if message else BOOL
    if program.type in (wanted, _ANY):
        return ""
    return f"must evaluate to {wanted}" if message else "cel expression must evaluate to a bool"


def is_transition(rule: KubeObject) -> bool:
    """Does a rule compare with the value before?"""
    return reads(str(rule.get("rule", "")), "oldSelf")


def check_rules(obj: KubeObject, schema: Schema, causes: Causes, old: KubeObject | None) -> None:
    """Report every rule that an object breaks; when its shape is wrong, only that they were not checked."""
    if any(reason in _BLOCKING for _, reason, _ in causes.found):
        causes.invalid(NOWHERE, "null", _UNCHECKED)
        return
    for failure in _failures(obj, ABSENT if old is None else old, schema, "", root=True):
        causes.found.append(failure)


def _failures(
    value: Any, old: Any, schema: Schema, path: str, *, root: bool = False
) -> Iterator[tuple[str, str, str]]:
    rules = schema.get(RULES) or ()
    if rules and value is not None:
        shown = _shown(value, schema, root)
        before = None if old is ABSENT else _shown(old, schema, root)
        for rule in rules:
            if old is not ABSENT and old == value and not is_transition(rule):
                continue
            if old is ABSENT and is_transition(rule):
                continue
            failure = _evaluate(rule, {"self": shown, "oldSelf": before}, value, path)
            if failure is not None:
                yield failure
    if isinstance(value, dict):
        properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, member in value.items():
            inner = properties.get(name, extra)
            if isinstance(inner, dict) and not (root and name == "metadata"):
                earlier = old.get(name, ABSENT) if isinstance(old, dict) else ABSENT
                yield from _failures(member, earlier, inner, below(path, name))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        find = earlier_items(old, schema)
        for index, item in enumerate(value):
            yield from _failures(item, find(item), schema["items"], f"{path}[{index}]")


def _evaluate(
    rule: KubeObject, variables: dict[str, Any], value: Any, path: str
) -> tuple[str, str, str] | None:
    text = str(rule.get("rule", ""))
    where = (path + str(rule.get("fieldPath") or "")).removeprefix(".") or NOWHERE
    kind = type_of(value)
    try:
        verdict = _compiled(text).evaluate(variables)
    except ExpressionError as error:
        why = str(error).removeprefix(f"expression '{text}' resulted in error: ")
        return (where, "FieldValueInvalid", f'Invalid value: "{kind}": {why} evaluating rule: {text}')
    if verdict is True:
        return None
    if verdict is not False:
        why = "the rule did not evaluate to a bool"
        return (where, "FieldValueInvalid", f'Invalid value: "{kind}": {why} evaluating rule: {text}')
    reason = rule.get("reason") or "FieldValueInvalid"
    message = _message(rule, variables)
    if reason == "FieldValueInvalid":
        return (where, reason, f'Invalid value: "{kind}": {message}')
    if reason == "FieldValueDuplicate":
        return (where, reason, f'Duplicate value: "{kind}"')
    return (where, reason, _REASONS.get(reason, "") + message)


def _message(rule: KubeObject, variables: dict[str, Any]) -> str:
    expression = rule.get("messageExpression")
    if expression:
        try:
            text = _compiled(expression).evaluate(variables)
        except ExpressionError:
            text = ""  # upstream falls back to the message as well
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text.strip()
    return str(rule.get("message") or "").strip() or f"failed rule: {str(rule.get('rule', '')).strip()}"


def _shown(value: Any, schema: Schema, root: bool = False) -> Any:
    """A value as expressions see it: declared fields under escaped names, base64 as bytes."""
    if isinstance(value, list):
        inner = schema.get("items")
        return [_shown(item, inner) if isinstance(inner, dict) else item for item in value]
    if isinstance(value, dict):
        properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        if isinstance(extra, dict):
            return {key: _shown(member, extra) for key, member in value.items()}
        shown = {
            escaped(key): _shown(member, properties[key])
            for key, member in value.items()
            if key in properties
        }
        if root or schema.get("x-kubernetes-embedded-resource"):
            shown |= {key: value[key] for key in ("apiVersion", "kind") if key in value}
            metadata = value.get("metadata") or {}
            shown["metadata"] = {key: metadata[key] for key in ("name", "generateName") if key in metadata}
        return shown
    return _typed(value, schema.get("format", "")) if isinstance(value, str) else value


def _typed(text: str, form: str) -> Any:
    if form != "byte":
        return text
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return text  # the schema has refused it already


def escaped(name: str) -> str:
    """A field's name as expressions write it."""
    if _KEYWORDS.fullmatch(name):
        return f"__{name}__"
    return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], name)
