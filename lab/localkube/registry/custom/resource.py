"""A served version of a custom resource, as its CustomResourceDefinition describes it.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go and
k8s.io/apimachinery/pkg/version/helpers.go (the order of versions).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lab.kube.objects import KubeObject
from lab.kube.resources import STANDARD_VERBS, Resource
from lab.kube.schema import REFERENCE, Schema, definitions
from lab.localkube.registry.custom.structure import (
    inner_schemas,
    lacks_defaults,
    only_defaults,
    set_defaults,
)
from lab.localkube.registry.decoding import thaw

_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?\Z")
_PLAIN = "io.k8s.api.core.v1.ConfigMap"
"""A kind whose description of apiVersion, kind and metadata is everybody's."""
_STABILITY = {None: 2, "beta": 1, "alpha": 0}


@dataclass(frozen=True, slots=True)
class CustomResource(Resource):
    """One version of a kind that a definition adds.

    storage_version: the version in which its objects are stored. schema: its structural schema.
    published: the same as OpenAPI documents have it. scale: the paths `specReplicasPath`,
    `statusReplicasPath` and `labelSelectorPath`. columns: its additional printer columns. selectable: the
    paths that field selectors may name. defaults: the part of the schema that sets some. ruled: does it
    have rules? deprecation: the warning that every request gets. terminating: is the definition being
    deleted? uid and generation: those of the definition.
    """

    singular_name: str = ""
    list_kind_name: str = ""
    storage_version: str = ""
    served: bool = True
    uid: str = ""
    generation: int = 0
    terminating: bool = False
    ruled: bool = False
    deprecation: str = ""
    selectable: tuple[str, ...] = ()
    schema: Schema = field(default_factory=dict, compare=False)
    defaults: Schema = field(default_factory=dict, compare=False)
    scale: Mapping[str, str] = field(default_factory=dict, compare=False)
    columns: tuple[KubeObject, ...] = field(default=(), compare=False)
    published: Schema = field(default_factory=dict, compare=False)

    @property
    def singular(self) -> str:
        """The singular name, as kubectl takes it."""
        return self.singular_name

    @property
    def list_kind(self) -> str:
        """The kind of a list."""
        return self.list_kind_name

    @property
    def published_name(self) -> str:
        """The name of its definition in OpenAPI documents: the group backwards, version, kind."""
        return ".".join([*reversed(self.group.split(".")), self.version, self.kind])

    def as_served(self, obj: KubeObject) -> KubeObject:
        """A stored object in this version, with the defaults that it had not when it was stored."""
        if obj.get("apiVersion") != self.api_version:
            obj = obj | {"apiVersion": self.api_version}
        if not self.defaults or not lacks_defaults(obj, self.defaults):
            return obj
        shown = thaw(obj)
        set_defaults(shown, self.defaults)
        return shown

    def as_stored(self, obj: KubeObject) -> KubeObject:
        """An object of this version in the version that is stored."""
        return obj | {"apiVersion": f"{self.group}/{self.storage_version}"}


def version_priority(version: str) -> tuple[int, int, int, str]:
    """A sort key: v2 before v1 before v1beta1 before v1alpha1 before anything else by name."""
    match = _VERSION.match(version)
    if match is None:
        return (1, 0, 0, version)
    stability, minor = _STABILITY[match[2]], int(match[3] or 0)
    return (0, -stability, -int(match[1]) * 1_000_000 - minor, version)


def resources_of(definition: KubeObject) -> list[CustomResource]:
    """Every version of a definition, served or not, under the names that were accepted."""
    spec, status = definition["spec"], definition.get("status") or {}
    accepted = {field: name for field, name in (status.get("acceptedNames") or {}).items() if name}
    names = {**spec["names"], **accepted, "plural": spec["names"]["plural"]}
    stored = next(version["name"] for version in spec["versions"] if version.get("storage"))
    terminating = any(
        condition.get("type") == "Terminating" and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )
    return [_version(definition, version, names, stored, terminating) for version in spec["versions"]]


def _version(
    definition: KubeObject, version: KubeObject, names: KubeObject, stored: str, terminating: bool
) -> CustomResource:
    spec, metadata = definition["spec"], definition["metadata"]
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    subresources = version.get("subresources") or {}
    group, name, kind = spec["group"], version["name"], names["kind"]
    return CustomResource(
        group,
        name,
        names["plural"],
        kind,
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(each for each in ("status", "scale") if each in subresources),
        verbs=STANDARD_VERBS,
        singular_name=names.get("singular") or kind.lower(),
        list_kind_name=names.get("listKind") or f"{kind}List",
        storage_version=stored,
        served=bool(version.get("served")),
        uid=metadata.get("uid", ""),
        generation=int(metadata.get("generation") or 0),
        terminating=terminating,
        ruled=_has_rules(schema),
        deprecation=_deprecation(version, spec["versions"], group, kind),
        selectable=tuple(
            each["jsonPath"].removeprefix(".") for each in version.get("selectableFields") or ()
        ),
        schema=schema,
        defaults=only_defaults(schema),
        scale=subresources.get("scale") or {},
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        published=published_schema(schema, group, name, kind),
    )


def _has_rules(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-validations")) or any(map(_has_rules, inner_schemas(schema)))


def _deprecation(version: KubeObject, versions: Sequence[KubeObject], group: str, kind: str) -> str:
    """The warning about a deprecated version: its own, or one that names the best version to use instead."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    name = version["name"]
    current = [str(each["name"]) for each in versions if each.get("served") and not each.get("deprecated")]
    best = min(current, key=version_priority, default=name)
    better = version_priority(best) < version_priority(name)
    return f"{group}/{name} {kind} is deprecated" + (f"; use {group}/{best} {kind}" if better else "")


def published_schema(schema: Schema, group: str, version: str, kind: str) -> Schema:
    """The schema as OpenAPI documents and field ownership have it: with what every object has."""
    common = definitions()[_PLAIN]["properties"]
    return {
        **schema,
        "type": "object",
        "properties": {
            **(schema.get("properties") or {}),
            **{name: common[name] for name in ("apiVersion", "kind", "metadata")},
        },
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
    }


@functools.lru_cache(maxsize=64)
def list_schema(name: str, group: str, version: str, list_kind: str) -> Schema:
    """The schema of a list of the kind that is published under a name."""
    meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "items": {"allOf": [{"$ref": REFERENCE + name}]}},
            "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": REFERENCE + meta}]},
        },
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": list_kind}],
    }
