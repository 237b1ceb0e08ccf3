"""The fields that expressions may read of `request` and `namespaceObject`.

Upstream declares both as types. The library has types of protobuf messages only, so what such a
declaration is for, to catch a misspelt field when the policy is written, is done here.

Source: k8s.io/apiserver/pkg/admission/plugin/cel/compile.go (BuildRequestType, BuildNamespaceType).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias, Union

from lab.kube.objects import KubeObject

Tree: TypeAlias = Mapping[str, Union["Tree", None]]
"""Field names; None below a field means that anything may follow."""

_KIND: Tree = {"group": None, "version": None, "kind": None}
_RESOURCE: Tree = {"group": None, "version": None, "resource": None}
_REQUEST: Tree = {
    "kind": _KIND,
    "resource": _RESOURCE,
    "subResource": None,
    "requestKind": _KIND,
    "requestResource": _RESOURCE,
    "requestSubResource": None,
    "name": None,
    "namespace": None,
    "operation": None,
    "userInfo": {"username": None, "uid": None, "groups": None, "extra": None},
    "dryRun": None,
    "options": None,
}
_METADATA = (
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "resourceVersion",
    "finalizers",
)
_NAMESPACE: Tree = {
    "metadata": dict.fromkeys(_METADATA),
    "spec": {"finalizers": None},
    "status": {"conditions": None, "phase": None},
}
_ROOTS: Mapping[str, Tree] = {"request": _REQUEST, "namespaceObject": _NAMESPACE}

_LITERAL = re.compile(
    r"""[rRbB]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|//[^\n]*""",
    re.DOTALL,
)
_PATH = re.compile(r"(?<![\w.])(request|namespaceObject)((?:\s*\.\s*\??\s*\w+)+)")
_STEP = re.compile(r"\w+")
_READS = re.compile(r"(?<![\w.])(?:request|object|oldObject|namespaceObject|params|variables)\b")
_NAMES = re.compile(r"(?<![\w.])(?:request|object|oldObject|namespaceObject|params|variables\s*\.\s*\w+)\b")
_READS_USER = re.compile(r"(?<![\w.])request\s*\.\s*userInfo\b")


def undefined_field(text: str) -> str:
    """The complaint about the first field that does not exist, empty when all do."""
    code = _LITERAL.sub(lambda match: " " * len(match[0]), text)
    for path in _PATH.finditer(code):
        tree: Tree | None = _ROOTS[path[1]]
        for step in _STEP.finditer(path[2]):
            if tree is None:
                break
            if step[0] not in tree:
                if code[path.end() :].lstrip().startswith("("):
                    break  # a call on the value, which the compiler judges
                return _complaint(text, path.start(2) + step.start() - 1, step[0])
            tree = tree[step[0]]
    return ""


def reads_user_only(text: str) -> bool:
    """Does an expression depend on nothing but who asks?"""
    code = _LITERAL.sub("", text)
    return len(_READS.findall(code)) == len(_READS_USER.findall(code))


def reads(text: str, name: str) -> bool:
    """Does an expression read a variable?"""
    return re.search(rf"(?<![\w.]){name}\b", _LITERAL.sub("", text)) is not None


def names_read(text: str) -> set[str]:
    """What an expression reads: roots such as `request`, and `variables.<name>` for each variable."""
    code = _LITERAL.sub("", text)
    return {re.sub(r"\s", "", name) for name in _NAMES.findall(code)}


def _complaint(text: str, at: int, field: str) -> str:
    before = text[:at]
    line, column = before.count("\n") + 1, at - (before.rfind("\n") + 1)
    source = text.split("\n")[line - 1]
    return f"ERROR: <input>:{line}:{column + 1}: undefined field '{field}'\n | {source}\n | {'.' * column}^"


def namespace_fields(namespace: KubeObject | None) -> KubeObject | None:
    """A Namespace reduced to what expressions may read of it."""
    if namespace is None:
        return None
    metadata = {key: value for key, value in namespace["metadata"].items() if key in _METADATA}
    return {"metadata": metadata} | {key: namespace[key] for key in ("spec", "status") if key in namespace}
