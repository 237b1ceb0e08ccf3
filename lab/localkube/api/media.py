"""Content negotiation: what the client accepts, and reading what it sends."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from lab.kube.status import StatusError, bad_request, unsupported_media_type
from lab.localkube.registry.decoding import read_json

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MOST_ALIASES = 20
"""Aliases in a YAML body. A few small ones can stand for gigabytes."""

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
    message = f"only the following media types are accepted: {JSON}"
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

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, Loader=base))
        if aliases > MOST_ALIASES:
            raise bad_request(f"error decoding YAML: more than {MOST_ALIASES} aliases")
        return yaml.load(content, Loader=_without_timestamps(base))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error


@functools.cache
def _without_timestamps(base: type) -> Any:
    """A loader that leaves dates as text, as JSON has no others."""
    kept = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in base.yaml_implicit_resolvers.items()  # type: ignore[attr-defined]
    }
    return type("Loader", (base,), {"yaml_implicit_resolvers": kept})
