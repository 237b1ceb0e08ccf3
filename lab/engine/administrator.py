"""What an administrator applies so that somebody without rights of the cluster can have a lab there."""

from __future__ import annotations

from lab.core.namespaces import Namespaces, prefix_for
from lab.core.places import data_root
from lab.engine.boundaries import bounded
from lab.engine.bringup import load_manifests
from lab.engine.renaming import renamed
from lab.errors import UsageError
from lab.kube.objects import KubeObject, namespace_of
from lab.kube.resources import builtin
from lab.providers.base import KEPT_LABEL, LAB_LABEL, check_name
from lab.providers.handed_out import OF_CLUSTER, TENANT

RBAC = "rbac.authorization.k8s.io"
LOOK = "toil-lab-look"
"""The ClusterRole with which the lab looks whether the others are as it needs them."""
_KINDS = {"user": "User", "group": "Group", "serviceaccount": "ServiceAccount"}


def subject_of(said: str) -> KubeObject:
    """Whom RBAC binds: `user:NAME`, `group:NAME` or `serviceaccount:NAMESPACE:NAME`. Raises UsageError."""
    word, _, name = said.partition(":")
    kind = _KINDS.get(word)
    if kind == "ServiceAccount":
        namespace, _, name = name.partition(":")
        if namespace and name:
            return {"kind": kind, "name": name, "namespace": namespace}
    elif kind and name:
        return {"kind": kind, "name": name, "apiGroup": RBAC}
    raise UsageError(
        f"{said!r} names nobody",
        hint="--subject user:NAME, group:NAME or serviceaccount:NAMESPACE:NAME",
    )


def for_administrator(lab: str, subject: KubeObject) -> list[KubeObject]:
    """The three namespaces of a lab of that name, what it needs beside namespaces, and roles for the subject
    that brings it up. All of it carries the labels by which the lab takes it up and leaves it standing.

    Raises UsageError for a name that cannot be a label's value.
    """
    check_name(lab)
    namespaces = Namespaces(prefix_for(lab))
    clusters = data_root() / "clusters"
    base = [m for m in bounded(load_manifests(clusters / "base"), ()) if not namespace_of(m)]
    roles = [*load_manifests(clusters / "guests"), _look(namespaces)]
    found = [renamed(manifest, namespaces) for manifest in (*base, *roles)]
    tenant, look = (namespaces.of_cluster(name) for name in (TENANT, LOOK))
    found.append(_binding("ClusterRoleBinding", look, "", look, subject))
    found += [_binding("RoleBinding", TENANT, where, tenant, subject) for where in namespaces.all]
    for each in found:
        each["metadata"].setdefault("labels", {}).update({LAB_LABEL: lab, KEPT_LABEL: "true"})
    return found


def _look(namespaces: Namespaces) -> KubeObject:
    """Looking at the objects of the lab that lie in no namespace, each by its name."""
    names: dict[tuple[str, str], list[str]] = {}
    for kind, name in OF_CLUSTER:
        resource = builtin(kind)
        names.setdefault((resource.group, resource.plural), []).append(namespaces.of_cluster(name))
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": LOOK},
        "rules": [
            {"apiGroups": [group], "resources": [plural], "resourceNames": found, "verbs": ["get"]}
            for (group, plural), found in names.items()
        ],
    }


def _binding(kind: str, name: str, namespace: str, role: str, subject: KubeObject) -> KubeObject:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
