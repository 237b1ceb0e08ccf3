"""The lab's manifests, as they are for a lab whose namespaces have a prefix."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from lab.core.namespaces import GROUPS, Namespaces
from lab.kube.objects import KubeObject, name_of
from lab.kube.renaming import Renaming

_OF_THE_CLUSTER = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
)
_OWN = "toil-lab-"
"""How the names of the lab's own objects begin that lie in no namespace."""

_NAME_OF_NAMESPACE = "kubernetes.io/metadata.name"
"""Label that a cluster gives each namespace; network policies choose by it."""


def renamed(manifest: KubeObject, namespaces: Namespaces) -> KubeObject:
    """A manifest with every plain name in it replaced by the cluster's: of namespaces, of objects that lie in
    none, of groups, and in host names. The same object where the lab has no prefix."""
    if not namespaces.prefix:
        return manifest
    renaming = Renaming(namespaces)
    made: KubeObject = renaming.body(manifest)
    kind, metadata = made.get("kind"), made["metadata"]
    if kind == "Namespace":
        made["metadata"] = metadata | {"name": namespaces.real(name_of(made))}
    elif kind in _OF_THE_CLUSTER:
        made["metadata"] = metadata | {"name": namespaces.of_cluster(name_of(made))}
        made = _each_text(made, lambda text: _with_groups(text, namespaces))
    elif kind == "ConfigMap":
        made["data"] = {key: renaming.text(text) for key, text in (made.get("data") or {}).items()}
    elif kind == "Secret":
        made["data"] = {key: _secret(text, renaming) for key, text in (made.get("data") or {}).items()}
    elif kind == "NetworkPolicy":
        made["spec"] = _chosen(made["spec"], namespaces)
    return _referring(made, namespaces)


def _referring(obj: KubeObject, namespaces: Namespaces) -> KubeObject:
    """What it says of roles, groups and policies."""
    role = obj.get("roleRef")
    if role and role["kind"] == "ClusterRole" and role["name"].startswith(_OWN):
        obj["roleRef"] = role | {"name": namespaces.of_cluster(role["name"])}
    if "subjects" in obj:
        obj["subjects"] = [
            subject | {"name": _with_groups(subject["name"], namespaces)} for subject in obj["subjects"]
        ]
    policy = (obj.get("spec") or {}).get("policyName")
    if policy:
        obj["spec"] = obj["spec"] | {"policyName": namespaces.of_cluster(policy)}
    return obj


def _with_groups(text: str, namespaces: Namespaces) -> str:
    for group in GROUPS:
        text = text.replace(group, namespaces.group(group))
    return text


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def _secret(text: str, renaming: Renaming) -> str:
    content = base64.b64decode(text)
    try:
        return base64.b64encode(renaming.text(content.decode()).encode()).decode()
    except UnicodeDecodeError:
        return text


def _chosen(value: Any, namespaces: Namespaces) -> Any:
    """A network policy's choice of namespaces by their names."""
    if isinstance(value, list):
        return [_chosen(item, namespaces) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: namespaces.real(item) if key == _NAME_OF_NAMESPACE else _chosen(item, namespaces)
        for key, item in value.items()
    }
