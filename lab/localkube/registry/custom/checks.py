"""Is a CustomResourceDefinition valid?

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.kube.objects import KubeObject
from lab.localkube.registry.custom.paths import PathError, parse_path
from lab.localkube.registry.custom.schemas import check_schema
from lab.localkube.registry.custom.table import is_established
from lab.localkube.registry.names import service_name_problem, subdomain_problem
from lab.localkube.registry.validation.causes import Causes

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_APPROVED = "api-approved.kubernetes.io"
_PROTECTED = ("k8s.io", "kubernetes.io")


def check_definition(definition: KubeObject, causes: Causes) -> None:
    """The name, group, scope, names, versions and schemas of a definition."""
    spec, name = definition.get("spec") or {}, definition["metadata"]["name"]
    group, names = spec.get("group", ""), spec.get("names") or {}
    wanted = f"{names.get('plural', '')}.{group}"
    if name != wanted:
        causes.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    _check_group(group, causes)
    _check_approval(definition, group, causes)
    scope = spec.get("scope")
    if not scope:
        causes.required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        causes.unsupported("spec.scope", scope, ("Cluster", "Namespaced"))
    _check_names(names, causes)
    if spec.get("preserveUnknownFields"):
        why = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema "
        )
        causes.invalid("spec.preserveUnknownFields", True, why + "instead")
    strategy = (spec.get("conversion") or {}).get("strategy")
    if strategy != "None":
        causes.unsupported("spec.conversion.strategy", strategy or "", ("None",))
    _check_versions(spec.get("versions") or [], causes)


def _check_group(group: str, causes: Causes) -> None:
    path = "spec.group"
    if not group:
        causes.required(path)
    elif problem := subdomain_problem(group):
        causes.invalid(path, group, problem)
    elif "." not in group:
        causes.invalid(path, group, "should be a domain with at least one dot")


def _check_approval(definition: KubeObject, group: str, causes: Causes) -> None:
    if not any(group == each or group.endswith(f".{each}") for each in _PROTECTED):
        return
    if not (definition["metadata"].get("annotations") or {}).get(_APPROVED):
        causes.required(
            f"metadata.annotations[{_APPROVED}]",
            f'protected groups must have approval annotation "{_APPROVED}", '
            "see https://github.com/kubernetes/enhancements/pull/1111",
        )


def _check_names(names: KubeObject, causes: Causes) -> None:
    path = "spec.names"
    for field in ("plural", "singular"):
        _check_name(names.get(field, ""), f"{path}.{field}", service_name_problem, causes)
    for field in ("kind", "listKind"):
        _check_kind(names.get(field, ""), f"{path}.{field}", causes)
    for field in ("shortNames", "categories"):
        for index, name in enumerate(names.get(field) or ()):
            _check_name(name, f"{path}.{field}[{index}]", service_name_problem, causes)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        causes.invalid(f"{path}.listKind", names["listKind"], "kind and listKind may not be the same")


def _check_name(name: str, path: str, problem_of: Callable[[str], str], causes: Causes) -> None:
    if not name:
        causes.required(path)
    elif problem := problem_of(name):
        causes.invalid(path, name, problem)


def _check_kind(kind: str, path: str, causes: Causes) -> None:
    if not kind:
        causes.required(path)
    elif problem := service_name_problem(kind.lower()):
        causes.invalid(path, kind, f"may have mixed case, but should otherwise match: {problem}")


def _check_versions(versions: Sequence[KubeObject], causes: Causes) -> None:
    path = "spec.versions"
    if not versions:
        causes.required(path, "must have exactly one version marked as storage version")
        return
    if sum(bool(version.get("storage")) for version in versions) != 1:
        causes.invalid(path, list(versions), "must have exactly one version marked as storage version")
    names = [version.get("name", "") for version in versions]
    if len(set(names)) != len(names):
        causes.invalid(path, list(versions), "must contain unique version names")
    for index, version in enumerate(versions):
        _check_version(version, f"{path}[{index}]", causes)


def _check_version(version: KubeObject, path: str, causes: Causes) -> None:
    _check_name(version.get("name", ""), f"{path}.name", service_name_problem, causes)
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if not schema:
        causes.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    else:
        check_schema(schema, f"{path}.schema.openAPIV3Schema", causes)
    if version.get("deprecationWarning") and not version.get("deprecated"):
        causes.invalid(
            f"{path}.deprecationWarning",
            version["deprecationWarning"],
            "can only be set for deprecated versions",
        )
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        _check_scale(scale, f"{path}.subresources.scale", causes)
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        _check_column(column, f"{path}.additionalPrinterColumns[{index}]", causes)
    for index, each in enumerate(version.get("selectableFields") or ()):
        _check_path(each.get("jsonPath", ""), f"{path}.selectableFields[{index}].jsonPath", causes)


def _check_scale(scale: KubeObject, path: str, causes: Causes) -> None:
    places = {
        "specReplicasPath": (".spec.",),
        "statusReplicasPath": (".status.",),
        "labelSelectorPath": (".spec.", ".status."),
    }
    for field, below in places.items():
        text, at = scale.get(field, ""), f"{path}.{field}"
        if not text:
            if field != "labelSelectorPath":
                causes.required(at)
            continue
        if not text.startswith(below):
            under = " or ".join(each.rstrip(".") for each in below)
            causes.invalid(at, text, f"should be a json path under {under}")
        elif any(character in text for character in "[]*?@"):
            causes.invalid(at, text, "should be a simple json path, array notation is not supported")
        else:
            _check_path(text, at, causes)


def _check_column(column: KubeObject, path: str, causes: Causes) -> None:
    if not column.get("name"):
        causes.required(f"{path}.name")
    kind, form = column.get("type"), column.get("format")
    if not kind:
        causes.required(f"{path}.type", f"must be one of {', '.join(_COLUMN_TYPES)}")
    elif kind not in _COLUMN_TYPES:
        causes.invalid(f"{path}.type", kind, f"must be one of {', '.join(_COLUMN_TYPES)}")
    if form and form not in _COLUMN_FORMATS:
        causes.invalid(f"{path}.format", form, f"must be one of {', '.join(_COLUMN_FORMATS)}")
    _check_path(column.get("jsonPath", ""), f"{path}.jsonPath", causes)


def _check_path(text: str, path: str, causes: Causes) -> None:
    if not text:
        causes.required(path)
        return
    try:
        parse_path(text)
    except PathError as error:
        causes.invalid(path, text, f"is an invalid JSON path: {error}")
        return
    if not text.startswith((".", "[")):
        causes.invalid(path, text, "is an invalid JSON path: must start with a dot")


def check_definition_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """What cannot change: the scope and kind of what is established, versions that may still be stored."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if is_established(old):
        if before.get("scope") != after.get("scope"):
            causes.invalid("spec.scope", after.get("scope"), "field is immutable")
        kind = (after.get("names") or {}).get("kind")
        if (before.get("names") or {}).get("kind") != kind:
            causes.invalid("spec.names.kind", kind, "field is immutable")
    known = {version.get("name") for version in after.get("versions") or ()}
    for index, version in enumerate((new.get("status") or {}).get("storedVersions") or ()):
        if version not in known:
            causes.invalid(f"status.storedVersions[{index}]", version, "must appear in spec.versions")
