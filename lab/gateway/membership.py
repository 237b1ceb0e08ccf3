"""Which targets belong to the canary: a stable hash of actor and target, compared with a percentage.

A target keeps its bucket, so those of 10 % are among those of 50 %, and 100 % is everything. What has no
single name (a collection, a name that the server will make up) belongs to it only at 100 %.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lab.core.audit import Mode
from lab.gateway.target import Target

EVERYTHING = 100.0
_SCHEMED = frozenset({"services", "pods", "nodes"})
_SAME_OBJECT = {("events", "events.k8s.io"): ""}
"""Resources that two groups serve: one object must not have two buckets."""


def bucket(actor: str, group: str, resource: str, namespace: str, name: str) -> float:
    """0.00 to 99.99, evenly spread: the first 10 % of buckets are the canary at 10."""
    group = _SAME_OBJECT.get((resource, group), group)
    qualified = f"{resource}.{group}" if group else resource
    digest = hashlib.sha256("\0".join((actor, qualified, namespace, name)).encode()).digest()
    return int.from_bytes(digest) % 10_000 / 100


def is_member(actor: str, target: Target, body: bytes, content_type: str, percent: float) -> bool:
    """Does the request aim at a target of the canary? `percent` is 0 to 100."""
    if percent >= EVERYTHING:
        return True
    name = target_name(target, body, content_type)
    info = target.info
    return bool(name) and bucket(actor, info.group, info.resource, info.namespace, name) < percent


def acting_mode(
    actor: str, target: Target, body: bytes, content_type: str, mode: Mode, percent: float
) -> Mode:
    """Shadow or live: how this one request is treated in a mode."""
    if mode is not Mode.CANARY:
        return mode
    return Mode.LIVE if is_member(actor, target, body, content_type, percent) else Mode.SHADOW


def target_name(target: Target, body: bytes, content_type: str) -> str:
    """The one object that a request aims at; empty when there is none, or when two readers could differ."""
    info = target.info
    if info.name:
        return _without_scheme(info.name) if _has_scheme(target) else info.name
    if info.verb == "create" and not info.subresource:
        return _name_in(body, content_type)
    return ""


def _has_scheme(target: Target) -> bool:
    return target.info.subresource == "proxy" and target.info.resource in _SCHEMED


def _without_scheme(name: str) -> str:
    """`[scheme:]name[:port]` of a proxied service, pod or node."""
    parts = name.split(":")
    if len(parts) > 3:
        return ""
    return parts[1] if len(parts) == 3 else parts[0]


def _name_in(body: bytes, content_type: str) -> str:
    """metadata.name of a JSON body. A key twice or in another case could be read in two ways: no name."""
    if content_type.partition(";")[0].strip().lower() not in ("", "application/json"):
        return ""
    try:
        document = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return ""
    metadata = _only(document, "metadata")
    name = _only(metadata, "name")
    return name if isinstance(name, str) else ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len({key.lower() for key, _ in pairs}) < len(pairs) and any(
        key.lower() in ("metadata", "name") for key, _ in pairs
    ):
        raise ValueError("a key stands there twice")
    return found


def _only(document: Any, key: str) -> Any:
    if not isinstance(document, dict) or any(k != key and k.lower() == key for k in document):
        return None
    return document.get(key)
