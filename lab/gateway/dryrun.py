"""Turning a mutation into a dry run, in the query and in the body.

The API server reads DeleteOptions from the body when there is one and from the query only otherwise, so a
`?dryRun=All` alone can really delete. An Eviction carries DeleteOptions too, and both places must agree.
Sources: apiserver/pkg/endpoints/handlers/delete.go, kubernetes/pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from lab.gateway.target import Target
from lab.kube.status import StatusError, bad_request, unsupported_media_type

ALL = ["All"]
_JSON = "application/json"
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_PROTOBUF_MAGIC = b"k8s\x00"
_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent upstream. `note` says when something of the client's had to be dropped."""

    target: Target
    body: bytes
    content_type: str
    note: str = ""


def is_dry_run(target: Target, body: bytes, content_type: str) -> bool:
    """Did the client itself ask for a dry run, so that every reader of the request would agree?"""
    if target.values("dryRun") != ALL:
        return False
    if not (target.is_delete or target.is_eviction) or (target.is_delete and not body):
        return True
    try:
        options = _decode(body, content_type)
    except StatusError:
        return False
    if target.is_eviction and isinstance(options, dict):
        options = options.get("deleteOptions")
    return isinstance(options, dict) and options.get("dryRun") == ALL


def to_dry_run(target: Target, body: bytes, content_type: str) -> Outgoing:
    """The request that asks the same question and stores nothing.

    Raises StatusError 400 or 415 when the body carries options that cannot be read, hence not rewritten.
    """
    kept = tuple((key, value) for key, value in target.pairs if key.lower() != "dryrun")
    aimed = target.with_pairs((*kept, ("dryRun", "All")))
    if not (target.is_delete or target.is_eviction):
        return Outgoing(aimed, body, content_type)
    given, note = _options_body(body, content_type)
    if target.is_delete:
        return Outgoing(aimed, orjson.dumps(_delete_options(given)), _JSON, note)
    eviction = {key: value for key, value in given.items() if key.lower() != "deleteoptions"}
    eviction.setdefault("apiVersion", "policy/v1")
    eviction.setdefault("kind", "Eviction")
    if not isinstance(eviction.get("metadata"), dict):
        eviction["metadata"] = {"name": target.info.name, "namespace": target.info.namespace}
    options = given.get("deleteOptions")
    eviction["deleteOptions"] = _delete_options(options if isinstance(options, dict) else {})
    return Outgoing(aimed, orjson.dumps(eviction), _JSON, note)


def stores_nothing(outgoing: Outgoing) -> bool:
    """The last look before a shadowed request leaves: is it a dry run for every reader of it?"""
    target = outgoing.target
    if [pair for pair in target.pairs if pair[0].lower() == "dryrun"] != [("dryRun", "All")]:
        return False
    if not (target.is_delete or target.is_eviction):
        return True
    options: Any = orjson.loads(outgoing.body)
    if target.is_eviction:
        options = options.get("deleteOptions") or {}
    return outgoing.content_type == _JSON and bool(options.get("dryRun") == ALL)


def _delete_options(given: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in given.items() if key.lower() != "dryrun"}
    return {"apiVersion": "v1", "kind": "DeleteOptions"} | kept | {"dryRun": ALL}


def _options_body(body: bytes, content_type: str) -> tuple[dict[str, Any], str]:
    if not body.strip():
        return {}, ""
    if body.startswith(_PROTOBUF_MAGIC) or _media_type(content_type) == _PROTOBUF:
        return {}, "options in protobuf were replaced by a plain dry run"
    decoded = _decode(body, content_type)
    if not isinstance(decoded, dict):
        raise bad_request("the body must be an object in JSON or YAML")
    return decoded, ""


def _decode(body: bytes, content_type: str) -> Any:
    media = _media_type(content_type)
    if media in ("", _JSON):
        try:
            return orjson.loads(body)
        except ValueError as error:
            raise bad_request(f"the body is not JSON: {error}") from error
    if media in _YAML:
        return decode_yaml(body)
    if media == _PROTOBUF:
        return None
    raise unsupported_media_type(f"the gateway cannot read options in {media[:80]!r}; send JSON")


def decode_yaml(body: bytes) -> Any:
    """What a YAML body says, as JSON would. Raises StatusError 400 when it cannot be said, or has aliases."""
    import yaml  # rare, and costs start time

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(body)):
            raise bad_request("YAML aliases are not accepted")  # a small body could grow without bound
        return orjson.loads(orjson.dumps(yaml.safe_load(body)))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise bad_request("the body is not YAML that JSON can say") from error


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
