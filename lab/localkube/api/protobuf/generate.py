"""Make `messages.json.xz` from the .proto files of k8s.io/{api,apimachinery,apiextensions-apiserver}.

    python -m lab.localkube.api.protobuf.generate PATH_TO_API PATH_TO_APIMACHINERY PATH_TO_APIEXTENSIONS

A field whose name the OpenAPI schema does not know is one that JSON inlines; a message that the schema does
not know and that only has `items` is a named list. Fields newer than the schema are left out.
"""

from __future__ import annotations

import json
import lzma
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.kube.resources import BUILTIN
from lab.kube.schema import definitions
from lab.localkube.api.discovery import subresource_kind
from lab.localkube.api.protobuf import _SPECIAL, _UNIONS, TABLE

_LINE = re.compile(
    r"^\s+(?P<label>optional |repeated )?(?P<type>map<[^>]+>|[.\w]+) (?P<name>\w+) = (?P<no>\d+);"
)
_SCALARS = {
    "string": "string",
    "bytes": "bytes",
    "bool": "boolean",
    "double": "double",
    "int32": "integer",
    "int64": "integer",
    "uint32": "integer",
    "uint64": "integer",
}
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."

Fields = dict[str, tuple[str, str, str]]


def parse(text: str) -> Iterator[tuple[str, Fields]]:
    """The messages of one .proto file: full name, and fields as the table has them, nothing inlined yet."""
    package = re.search(r"^package ([\w.]+);", text, re.MULTILINE)
    prefix = package[1] if package else ""
    for match in re.finditer(r"^message (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        fields: Fields = {}
        for line in match[2].splitlines():
            found = _LINE.match(line)
            if found:
                kind, flag = found["type"], "r" if found["label"] == "repeated " else ""
                if kind.startswith("map<"):
                    kind, flag = kind[4:-1].split(",")[1].strip(), "m"
                fields[found["no"]] = (found["name"], _full(kind, prefix), flag)
        yield f"{prefix}.{match[1]}", fields


def _full(kind: str, prefix: str) -> str:
    if kind in _SCALARS:
        return _SCALARS[kind]
    return kind[1:] if kind.startswith(".") else f"{prefix}.{kind}"


def schema_name(message: str) -> str:
    """`k8s.io.api.apps.v1.X` as OpenAPI calls it: `io.k8s.api.apps.v1.X`."""
    return "io.k8s." + message.removeprefix("k8s.io.").replace("_apiserver", "-apiserver")


def message_name(definition: str) -> str:
    """The other way round."""
    return "k8s.io." + definition.removeprefix("io.k8s.").replace("-apiserver", "_apiserver")


def _plain(name: str) -> str:
    """A field's name as both spell it: `x-kubernetes-map-type` and `xKubernetesMapType`, `$ref` and `ref`."""
    return re.sub("[^a-z0-9]", "", name.lower())


def fit(message: str, fields: Fields, messages: Mapping[str, Fields]) -> Fields:
    """The fields under their JSON names. One that JSON has not is inlined when most of its own fields are
    there instead, and left out when it is newer than the schema."""
    schema = definitions().get(schema_name(message))
    if schema is None:
        return fields
    names = {_plain(name): name for name in schema.get("properties", {})}
    out: Fields = {}
    for number, (name, kind, flag) in fields.items():
        known = names.get(_plain(name))
        if known is not None:
            out[number] = (known, kind, flag)
        elif not flag and _is_inlined(kind, names, messages):
            out[number] = (name, kind, "i")
    return out


def _is_inlined(
    kind: str, names: Mapping[str, str], messages: Mapping[str, Fields], deep: bool = False
) -> bool:
    """Are most fields of a message, inlined ones of its own included, fields of the one around it?"""
    if kind not in messages or kind in _SPECIAL or kind in _UNIONS:
        return False
    fields = messages[kind].values()
    known = [
        _plain(name) in names or (not deep and not flag and _is_inlined(inner, names, messages, True))
        for name, inner, flag in fields
    ]
    return sum(known) * 2 > len(known)


def roots() -> dict[str, str]:
    """`apiVersion/kind` -> message, for all that a client may send."""
    kinds = {("meta.k8s.io", "v1", "DeleteOptions")}
    for resource in BUILTIN:
        if "create" not in resource.verbs:
            continue
        kinds.add((resource.group, resource.version, resource.kind))
        kinds |= {subresource_kind(resource, name) for name in resource.subresources}
    by_kind = {
        (kind["group"], kind["version"], kind["kind"]): message_name(name)
        for name, schema in definitions().items()
        for kind in schema.get("x-kubernetes-group-version-kind", ())
    }
    out = {"*/DeleteOptions": _META + "DeleteOptions"}
    for group, version, kind in sorted(kinds):
        if (group, version, kind) in by_kind:
            out[f"{group}/{version}/{kind}".removeprefix("/")] = by_kind[(group, version, kind)]
    return out


def table(messages: Mapping[str, Fields]) -> dict[str, Any]:
    """All that can be reached from the roots."""
    reached: dict[str, Fields] = {}
    lists: dict[str, str] = {}
    pending = list(roots().values())
    while pending:
        name = pending.pop()
        if name in reached or name in lists or name in {*_SPECIAL, *_UNIONS, *_SCALARS.values()}:
            continue
        fields = messages[name]
        only = [field[0] for field in fields.values()]
        if only == ["items"] and not name.endswith("List") and schema_name(name) not in definitions():
            lists[name] = next(iter(fields.values()))[1]
            pending.append(lists[name])
            continue
        reached[name] = fit(name, fields, messages)
        pending += [kind for _, kind, _ in reached[name].values()]
    return {"roots": roots(), "messages": reached, "lists": lists}


def main(arguments: list[str]) -> None:
    """Read every generated.proto below the given folders and write the table beside this file."""
    messages: dict[str, Fields] = {}
    for folder in arguments:
        for path in sorted(Path(folder).rglob("generated.proto")):
            messages |= dict(parse(path.read_text()))
    text = json.dumps(table(messages), separators=(",", ":"), sort_keys=True).encode()
    (Path(__file__).parent / TABLE).write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main(sys.argv[1:])
