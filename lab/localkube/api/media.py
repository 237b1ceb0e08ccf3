"""Content negotiation: what the client accepts, and reading what it sends."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from lab.kube.status import StatusError, bad_request, unsupported_media_type
from lab.localkube.registry.decoding import read_json

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MOST_EXPANDED = 16 * 1024 * 1024
"""Characters and values in a YAML body, its aliases written out: a few of those can stand for gigabytes."""
_NUMBERS = {
    "int": re.compile(r"[-+]?(0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    "float": re.compile(
        r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$"
        r"|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
}
"""Numbers as Go reads them: 22:22 is none."""

STRATEGIC = "application/strategic-merge-patch+json"
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    STRATEGIC,
    "application/apply-patch+yaml",
)
_JSON_RANGES = (JSON, "application/*", "*/*")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The chosen form of an answer. `kind` is empty for the object itself, else Table,
    PartialObjectMetadata or PartialObjectMetadataList in `version` of meta.k8s.io, or a discovery list."""

    kind: str = ""
    version: str = ""
    group: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """The Content-Type of the answer."""
        if self.kind and self.group == "apidiscovery.k8s.io":
            return f"{JSON};g={self.group};v={self.version};as={self.kind}"
        return JSON


_SERVED = {
    ("meta.k8s.io", "Table"): ("v1", "v1beta1"),
    ("meta.k8s.io", "PartialObjectMetadata"): ("v1", "v1beta1"),
    ("meta.k8s.io", "PartialObjectMetadataList"): ("v1", "v1beta1"),
    ("apidiscovery.k8s.io", "APIGroupDiscoveryList"): ("v2", "v2beta1"),
}


def negotiate(accept: str) -> Accepted:
    """The first form in an Accept header that is served. Raises StatusError 406 when there is none."""
    if not accept.strip():
        return Accepted()
    for clause in accept.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        if media.lower() not in _JSON_RANGES:
            continue
        kind = parameters.get("as", "")
        if not kind:
            return Accepted(parameters=parameters)
        group, version = parameters.get("g", ""), parameters.get("v", "")
        if version in _SERVED.get((group, kind), ()):
            return Accepted(kind, version, group, parameters)
    message = f"406: Not Acceptable\n\nAvailable representations: {JSON}"
    raise StatusError(406, "NotAcceptable", message, details={})


def media_type(content_type: str) -> str:
    """The media type of a Content-Type header, lower case, without parameters; JSON when empty."""
    return content_type.split(";")[0].strip().lower() or JSON


def decode(content: bytes, content_type: str) -> tuple[Any, list[str]]:
    """The value of a request body, and a complaint for each field that came twice in it.

    Raises StatusError 400 when it cannot be parsed and 415 when its type is not read.
    """
    media = media_type(content_type)
    if media == PROTOBUF:
        from lab.localkube.api.protobuf import decode_object  # its table is read only when needed

        return decode_object(content), []
    if media in (YAML, "application/apply-patch+yaml", "text/yaml"):
        return _yaml(content), []
    if media in (JSON, *PATCH_TYPES):
        return read_json(content)
    accepted = ", ".join((JSON, YAML, PROTOBUF))
    raise unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    )


def _yaml(content: bytes) -> Any:
    try:
        return orjson.loads(content)  # JSON is YAML, and what nearly everybody sends
    except ValueError:
        pass
    import yaml

    try:
        loader = _loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader))(content)
        try:
            node = loader.get_single_node()
            _expanded(node, {})
            value = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
        return _as_json(value)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def _expanded(node: Any, known: dict[int, int]) -> int:
    """How large a node is when all that is shared in it has been written out. Raises ValueError."""
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("anchor contains itself")
        return known[id(node)]
    known[id(node)] = 0
    size, inner = 1, getattr(node, "value", "")
    if isinstance(inner, str):
        size += len(inner)
    else:
        for item in inner:
            for part in item if isinstance(item, tuple) else (item,):
                size += _expanded(part, known)
    if size > MOST_EXPANDED:
        raise ValueError("document contains excessive aliasing")
    known[id(node)] = size
    return size


def _as_json(value: Any) -> Any:
    """What YAML has and JSON has not, as sigs.k8s.io/yaml turns it into JSON. Raises ValueError."""
    if isinstance(value, dict):
        return {_as_key(key): _as_json(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"json: unsupported value: {value}")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return float(value)  # as JSON reads it
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise ValueError(f"unsupported value of type {type(value).__name__}")


def _as_key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, (str, int, float)):
        return str(key)
    raise ValueError(f"unsupported map key of type {type(key).__name__}")


@functools.cache
def _loader(base: type) -> Any:
    """A loader that leaves dates as text, as JSON has no others, and reads numbers as Go does."""
    kept = {}
    for first, resolvers in base.yaml_implicit_resolvers.items():  # type: ignore[attr-defined]
        tags = {tag.rpartition(":")[2]: (tag, pattern) for tag, pattern in resolvers}
        kept[first] = [
            (tags[name][0], _NUMBERS.get(name, tags[name][1]))
            for name in sorted(tags, key="float".__eq__)  # what is an integer, too, is one
            if name != "timestamp"
        ]
    return type("Loader", (base,), {"yaml_implicit_resolvers": kept})
