"""metadata: names, labels, annotations, owners, finalizers.

Source: k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.kube.selectors import is_label_value
from lab.localkube.registry.names import name_problem, qualified_name_problems
from lab.localkube.registry.validation.causes import Causes

_ANNOTATIONS_LIMIT = 256 * 1024
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def check_labels(labels: Mapping[str, Any] | None, path: str, causes: Causes) -> None:
    """Label keys and values."""
    for key, value in sorted((labels or {}).items()):
        _check_key(key, path, causes)
        if not is_label_value(value):
            too_long = len(value) > 63
            causes.invalid(path, value, "must be no more than 63 characters" if too_long else _VALUE)


def check_expressions(selector: KubeObject, path: str, causes: Causes) -> None:
    """The expressions of a LabelSelector: values where the operator wants them, and nowhere else."""
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        at, operator = f"{path}.matchExpressions[{index}]", expression.get("operator", "")
        if operator in ("In", "NotIn"):
            if not expression.get("values"):
                causes.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if expression.get("values"):
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                causes.forbidden(f"{at}.values", why)
        else:
            causes.invalid(f"{at}.operator", operator, "not a valid selector operator")
        _check_key(expression.get("key", ""), f"{at}.key", causes)


def _check_key(key: str, path: str, causes: Causes, shown: str = "") -> None:
    for problem in qualified_name_problems(key):
        causes.invalid(path, shown or key, problem)


def check_metadata(resource: Resource, metadata: KubeObject, causes: Causes) -> None:
    """The metadata of any object."""
    problem = name_problem(resource.key, metadata["name"])
    if problem:
        causes.invalid("metadata.name", metadata["name"], problem)
    base = metadata.get("generateName")
    key = "namespaces" if resource.key == "services" else resource.key  # a label, until the name is whole
    problem = name_problem(key, base.removesuffix("-")) if base else ""
    if problem:
        causes.invalid("metadata.generateName", base, problem)
    if metadata.get("generation", 0) < 0:
        causes.invalid("metadata.generation", metadata["generation"], "must be greater than or equal to 0")
    check_labels(metadata.get("labels"), "metadata.labels", causes)
    size = 0
    for key, value in sorted((metadata.get("annotations") or {}).items()):
        size += len(key) + len(value)
        _check_key(key.lower(), "metadata.annotations", causes, shown=key)
    if size > _ANNOTATIONS_LIMIT:
        causes.found.append(
            (
                "metadata.annotations",
                "FieldValueTooLong",
                f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes",
            )
        )
    _check_owners(metadata.get("ownerReferences") or (), causes)
    finalizers = metadata.get("finalizers") or ()
    for finalizer in finalizers:
        _check_key(finalizer, "metadata.finalizers", causes)
    for index, finalizer in enumerate(finalizers):
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            causes.invalid(f"metadata.finalizers[{index}]", finalizer, why)


def _check_owners(owners: Any, causes: Causes) -> None:
    controllers = []
    for owner in owners:
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                what = "version must not be empty" if field == "apiVersion" else "must not be empty"
                causes.invalid(f"metadata.ownerReferences.{field}", owner.get(field, ""), what)
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind')}/{owner.get('name')}")
    if len(controllers) > 1:
        causes.invalid(
            "metadata.ownerReferences",
            owners,
            "Only one reference can have Controller set to true. "
            f'Found "true" in references for {controllers[0]} and {controllers[1]}',
        )


def check_metadata_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """No new finalizers once an object is being deleted."""
    if not old.get("deletionTimestamp"):
        return
    added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
    if added:
        causes.forbidden(
            "metadata.finalizers",
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{', '.join(repr(a).replace(chr(39), chr(34)) for a in added)}}}",
        )
