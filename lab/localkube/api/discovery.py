"""Discovery: which groups, versions and resources are served; plain and aggregated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.kube.status import path_not_found
from lab.localkube.protocols import Registry

_UPDATE = ("get", "patch", "update")
_CONNECT = ("create", "get")
_SUBRESOURCES: dict[str, tuple[tuple[str, str, str], tuple[str, ...]]] = {
    "scale": (("autoscaling", "v1", "Scale"), _UPDATE),
    "eviction": (("policy", "v1", "Eviction"), ("create",)),
    "binding": (("", "v1", "Binding"), ("create",)),
    "token": (("authentication.k8s.io", "v1", "TokenRequest"), ("create",)),
    "exec": (("", "v1", "PodExecOptions"), _CONNECT),
    "attach": (("", "v1", "PodAttachOptions"), _CONNECT),
    "portforward": (("", "v1", "PodPortForwardOptions"), _CONNECT),
}
"""Subresources that are not of their parent's kind: what they are, and their verbs."""
_FIRST_GROUPS = (
    *("apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch"),
    *("networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io"),
    *("admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io"),
    "discovery.k8s.io",
)
"""The order in which upstream lists its groups, and kubectl therefore what is in them; others follow."""


def subresource_kind(resource: Resource, subresource: str) -> tuple[str, str, str]:
    """(group, version, kind) of what a subresource takes or gives."""
    if subresource in _SUBRESOURCES:
        return _SUBRESOURCES[subresource][0]
    if subresource == "proxy":
        return ("", "v1", f"{resource.kind}ProxyOptions")
    return (resource.group, resource.version, resource.kind)


def subresource_verbs(subresource: str) -> tuple[str, ...]:
    """The verbs that a subresource takes."""
    if subresource in _SUBRESOURCES:
        return _SUBRESOURCES[subresource][1]
    special = {
        "log": ("get",),
        "finalize": ("update",),
        "proxy": ("create", "delete", "get", "patch", "update"),
    }
    return special.get(subresource, _UPDATE)


class Discovery:
    """Documents about what a registry serves."""

    def __init__(self, registry: Registry, server: str) -> None:
        self._registry = registry
        self._server = server

    def groups(self) -> dict[str, list[str]]:
        """Named groups in order, each with its versions, the preferred one first."""
        out: dict[str, list[str]] = {}
        for resource in self._registry.resources():
            if resource.group and resource.version not in out.setdefault(resource.group, []):
                out[resource.group].append(resource.version)
        own = {group: place for place, group in enumerate(_FIRST_GROUPS)}
        return dict(sorted(out.items(), key=lambda entry: own.get(entry[0], len(own))))

    def core_versions(self) -> KubeObject:
        """/api"""
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._server}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}

    def group_list(self) -> KubeObject:
        """/apis"""
        groups = [self._group(name, versions) for name, versions in self.groups().items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def group(self, name: str) -> KubeObject:
        """/apis/{group}. Raises StatusError 404."""
        versions = self.groups().get(name)
        if versions is None:
            raise path_not_found()
        return {"kind": "APIGroup", "apiVersion": "v1"} | self._group(name, versions)

    def resource_list(self, group: str, version: str) -> KubeObject:
        """/api/v1 and /apis/{group}/{version}. Raises StatusError 404."""
        served = self._of(group, version)
        if not served:
            raise path_not_found()
        entries: list[dict[str, Any]] = []
        for resource in served:
            entries.append(_plain_entry(resource))
            entries += (_plain_subresource(resource, name) for name in resource.subresources)
        group_version = f"{group}/{version}" if group else version
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version,
            "resources": sorted(entries, key=lambda entry: str(entry["name"])),
        }

    def aggregated(self, core: bool, version: str) -> tuple[KubeObject, str]:
        """/api or /apis as an APIGroupDiscoveryList of v2 or v2beta1, and its ETag."""
        groups = {"": ["v1"]} if core else self.groups()
        items = [
            {
                "metadata": {"name": name} if name else {},
                "versions": [
                    {
                        "version": served,
                        "resources": [_aggregated_entry(r) for r in self._of(name, served)],
                        "freshness": "Current",
                    }
                    for served in versions
                ],
            }
            for name, versions in groups.items()
        ]
        document = {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        }
        return document, '"' + hashlib.sha256(orjson.dumps(document)).hexdigest().upper() + '"'

    def _of(self, group: str, version: str) -> Sequence[Resource]:
        """Those of a version, by name."""
        found = [r for r in self._registry.resources() if (r.group, r.version) == (group, version)]
        return sorted(found, key=lambda resource: resource.plural)

    def _group(self, name: str, versions: Sequence[str]) -> KubeObject:
        entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _plain_entry(resource: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _plain_subresource(resource: Resource, name: str) -> dict[str, Any]:
    group, version, kind = subresource_kind(resource, name)
    entry: dict[str, Any] = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind,
        "verbs": list(subresource_verbs(name)),
    }
    if (group, version) != (resource.group, resource.version):
        entry |= {"group": group, "version": version}
    return entry


def _kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}


def _aggregated_entry(resource: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": _kind(*subresource_kind(resource, name)),
                "verbs": list(subresource_verbs(name)),
            }
            for name in resource.subresources
        ]
    return entry
