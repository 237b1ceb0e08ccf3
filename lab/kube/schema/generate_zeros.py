"""Make `zeros.json.xz` from the Go types of k8s.io/{api,apimachinery,apiextensions-apiserver}.

    python -m lab.kube.schema.generate_zeros PATH_TO_API PATH_TO_APIMACHINERY PATH_TO_APIEXTENSIONS

What OpenAPI does not say: which fields Go's JSON leaves out when they are empty (`omitempty` on what is no
pointer), and which it writes even when nobody has set them. Fields newer than the schema are left out.
"""

from __future__ import annotations

import json
import lzma
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.kube.schema import TABLE_OF_ZEROS, definitions

_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"^type (\w+) (string|bool|u?int\d*|\[\]\S+|map\[\S+)$", re.MULTILINE)
_FIELD = re.compile(r'^\s+(?:\w+\s+)?(?P<type>[\w.*\[\]]+)\s+`json:"(?P<name>\w*)(?P<flags>[\w,]*)"')
_IMPORT = re.compile(r'^\s*(?:import )?(\w+)? ?"(k8s\.io/[\w./-]+)"$', re.MULTILINE)
_PLAIN = {"string": "", "bool": False, "byte": 0, **dict.fromkeys(("int", "int32", "int64", "uint64"), 0)}
_NULL = ("Time", "MicroTime", "RawExtension", "JSON", "FieldsV1")
_WRITTEN = {"Quantity": "0", "Duration": "0s", "IntOrString": 0}
"""Structures that JSON shows as something else, and what it shows when they are empty."""


@dataclass(frozen=True)
class Field:
    """One field: its name in JSON (empty when it is inlined), its full Go type, and its flags."""

    name: str
    type: str
    flags: frozenset[str]


Types = dict[str, list[Field] | str]
"""Full name -> the fields of a structure, or what a named type is underneath."""


def parse(text: str, package: str) -> Iterator[tuple[str, list[Field] | str]]:
    """The types of one file."""
    aliases = {alias or path.rpartition("/")[2]: path for alias, path in _IMPORT.findall(text)}
    for name, under in _NAMED.findall(text):
        yield f"{package}.{name}", _full(under, package, aliases)
    for name, body in _STRUCT.findall(text):
        fields = [
            Field(found["name"], _full(found["type"], package, aliases), frozenset(found["flags"].split(",")))
            for found in map(_FIELD.match, body.splitlines())
            if found
        ]
        yield f"{package}.{name}", fields


def _full(kind: str, package: str, aliases: Mapping[str, str]) -> str:
    if kind[0] in "*[" or kind.startswith("map["):
        return kind if kind[0] == "*" else "[]"  # what is in it does not matter here
    if kind in _PLAIN:
        return kind
    prefix, dot, name = kind.rpartition(".")
    return f"{aliases.get(prefix, prefix)}.{name}" if dot else f"{package}.{kind}"


def definition(go_type: str) -> str:
    """`k8s.io/api/apps/v1.X` as OpenAPI calls it: `io.k8s.api.apps.v1.X`."""
    return "io.k8s." + go_type.removeprefix("k8s.io/").replace("/", ".")


def flattened(name: str, types: Types) -> Iterator[Field]:
    """The fields of a structure, those of inlined structures included."""
    fields = types.get(name, ())
    if isinstance(fields, str):
        return
    for field in fields:
        if field.name:
            yield field
        else:
            yield from flattened(field.type, types)


def zero_of(go_type: str, types: Types) -> object:
    """What JSON shows for an empty value; a structure is an empty map here."""
    if go_type.startswith(("*", "[")):
        return None
    short = go_type.rpartition(".")[2]
    if short in _NULL or short in _WRITTEN:
        return _WRITTEN.get(short)
    while isinstance(under := types.get(go_type), str):
        go_type = under
    return None if go_type == "[]" else _PLAIN.get(go_type, {})


def table(types: Types) -> dict[str, tuple[list[str], dict[str, object]]]:
    """definition -> the fields that are left out when empty, and those that are always there."""
    out = {}
    for go_type in types:
        schema = definitions().get(definition(go_type))
        if schema is None or "properties" not in schema:
            continue
        dropped, filled = [], {}
        for field in flattened(go_type, types):
            if field.name not in schema["properties"] or field.name in ("kind", "apiVersion"):
                continue
            zero, optional = zero_of(field.type, types), {"omitempty", "omitzero"} & field.flags
            pointer, special = (
                field.type.startswith("*"),
                field.type.rpartition(".")[2] in (*_NULL, *_WRITTEN),
            )
            structure = not pointer and (zero == {} or special)
            if not optional or (structure and "omitzero" not in field.flags):
                filled[field.name] = zero
            elif not pointer and not structure:
                dropped.append(field.name)
        out[definition(go_type)] = (sorted(dropped), dict(sorted(filled.items())))
    return out


def main(arguments: list[str]) -> None:
    """Read every types.go below the given folders and write the table beside this file."""
    types: Types = {}
    for folder in arguments:
        root = Path(folder)
        for path in sorted(root.rglob("*.go")):
            if path.name.startswith("zz_") or path.name.endswith(("_test.go", "pb.go")):
                continue
            package = f"k8s.io/{root.name}/{path.parent.relative_to(root)}"
            types |= dict(parse(path.read_text(), package))
    text = json.dumps(table(types), separators=(",", ":"), sort_keys=True).encode()
    packed = lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)
    (Path(__file__).parent / TABLE_OF_ZEROS).write_bytes(packed)


if __name__ == "__main__":
    main(sys.argv[1:])
