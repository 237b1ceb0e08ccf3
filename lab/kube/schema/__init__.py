"""The schemas of Kubernetes 1.32's types, in OpenAPI v3 form.

The tables are data derived from the Kubernetes API definitions (Apache-2.0, The Kubernetes Authors); see
`NOTICE` beside this file, `generate.py` and `generate_zeros.py` for how they are made. References read
`#/components/schemas/<definition name>`, always inside `allOf` so that a property can carry a description,
a merge key and a patch strategy of its own. The table is read on first use (about 15 ms) and shared: do
not write to it.
"""

from __future__ import annotations

import functools
import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias

from lab.kube.schema.metrics import metrics_definitions

Schema: TypeAlias = dict[str, Any]
"""One OpenAPI v3 schema object."""

REFERENCE = "#/components/schemas/"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
TABLE = "definitions.json.xz"
TABLE_OF_ZEROS = "zeros.json.xz"


@functools.cache
def definitions() -> Mapping[str, Schema]:
    """Every definition by its full name, such as `io.k8s.api.apps.v1.Deployment`."""
    packed = files(__package__).joinpath(TABLE).read_bytes()
    table: dict[str, Schema] = json.loads(lzma.decompress(packed))
    return table | metrics_definitions()


@dataclass(frozen=True, slots=True)
class Zeros:
    """How Go's JSON shows the empty fields of a type.

    dropped: left out when empty. filled: there in every object, with what stands for nothing; an empty map
    stands for a structure, whose own filled fields are in it.
    """

    dropped: frozenset[str]
    filled: Mapping[str, Any]


@functools.cache
def zeros() -> Mapping[str, Zeros]:
    """By definition, for the types whose Go source is known."""
    packed = files(__package__).joinpath(TABLE_OF_ZEROS).read_bytes()
    table = json.loads(lzma.decompress(packed))
    return {name: Zeros(frozenset(dropped), filled) for name, (dropped, filled) in table.items()}


@functools.cache
def _by_kind() -> Mapping[tuple[str, str, str], str]:
    index: dict[tuple[str, str, str], str] = {}
    for name, schema in definitions().items():
        kinds = schema.get("x-kubernetes-group-version-kind", ())
        if len(kinds) == 1:  # DeleteOptions and WatchEvent belong to every group
            kind = kinds[0]
            index[(kind["group"], kind["version"], kind["kind"])] = name
    return index


def definition_name(group: str, version: str, kind: str) -> str | None:
    """The full name of a kind's definition, or None when the table has none."""
    return _by_kind().get((group, version, kind))


def definition_for(group: str, version: str, kind: str) -> Schema | None:
    """The schema of a kind, or None when the table has none."""
    name = definition_name(group, version, kind)
    return definitions()[name] if name else None


def reference(schema: Mapping[str, Any]) -> str | None:
    """The name of the definition that a property or an item refers to, or None."""
    ref = schema.get("$ref")
    if ref is None:
        parts = schema.get("allOf")
        ref = parts[0].get("$ref") if parts else None
    return str(ref)[len(REFERENCE) :] if ref else None


def resolve(schema: Schema) -> Schema:
    """Follow references until there is none; the schema itself when it has none."""
    name = reference(schema)
    while name:
        schema = definitions()[name]
        name = reference(schema)
    return schema
