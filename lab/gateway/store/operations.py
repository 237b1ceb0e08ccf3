"""Which S3 operation a request is, and what it would change. Path-style addresses only."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, unquote

MAX_KEYS = 1000
"""As many as one batch delete may name, by S3's own rule."""

MAX_KEY_BYTES = 1024
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
READS_ONLY = frozenset({"GET", "HEAD"})

_OBJECT = {
    ("GET", ""): "GetObject", ("HEAD", ""): "HeadObject", ("PUT", ""): "PutObject",
    ("DELETE", ""): "DeleteObject", ("GET", "tagging"): "GetObjectTagging",
    ("PUT", "tagging"): "PutObjectTagging", ("DELETE", "tagging"): "DeleteObjectTagging",
    ("GET", "acl"): "GetObjectAcl", ("GET", "attributes"): "GetObjectAttributes",
    ("GET", "legal-hold"): "GetObjectLegalHold", ("GET", "retention"): "GetObjectRetention",
    ("GET", "uploadId"): "ListParts",
}  # fmt: skip
_BUCKETS = {
    ("GET", ""): "ListObjects", ("GET", "list-type"): "ListObjectsV2", ("HEAD", ""): "HeadBucket",
    ("GET", "location"): "GetBucketLocation", ("GET", "versioning"): "GetBucketVersioning",
    ("GET", "lifecycle"): "GetBucketLifecycleConfiguration", ("GET", "tagging"): "GetBucketTagging",
    ("GET", "uploads"): "ListMultipartUploads", ("GET", "versions"): "ListObjectVersions",
    ("POST", "delete"): "DeleteObjects",
}  # fmt: skip
_SUBRESOURCES = frozenset(
    {name for _, name in (*_OBJECT, *_BUCKETS) if name}
    | {"uploads", "partNumber", "versionId", "policy", "cors", "restore", "select", "object-lock"}
    | {"torrent", "renameObject", "encryption"}
)
REHEARSED = frozenset(
    {"PutObject", "CopyObject", "DeleteObject", "DeleteObjects", "PutObjectTagging", "DeleteObjectTagging"}
)
"""Mutations that the gateway can answer without doing them. Any other is refused in shadow mode."""


class BadRequest(Exception):
    """A request that is not S3's, or that this gateway does not take."""


@dataclass(frozen=True, slots=True)
class Operation:
    """name: S3's, such as DeleteObjects; empty when unknown. keys: every object that a mutation touches."""

    name: str
    method: str
    bucket: str = ""
    key: str = ""
    keys: tuple[str, ...] = ()
    source: str = ""

    @property
    def is_mutating(self) -> bool:
        """May it change anything? Every method but GET and HEAD counts."""
        return self.method not in READS_ONLY

    @property
    def verb(self) -> str:
        """The verb in the audit record."""
        if not self.is_mutating:
            return "list" if self.name.startswith("List") else "get"
        if self.name == "DeleteObjects":
            return "deletecollection"
        return {"PUT": "update", "POST": "create", "DELETE": "delete"}.get(self.method, "update")

    @property
    def resource(self) -> str:
        """objects or buckets."""
        return "objects" if self.key or self.keys else "buckets"


def read_operation(method: str, path: str, query: str, copy_source: str = "") -> Operation:
    """Understand the request line. The keys of DeleteObjects are in its body: `with_keys` adds them.

    Raises BadRequest for an address that could be read in two ways.
    """
    bucket, _, key = path.removeprefix("/").partition("/")
    bucket, key = unquote(bucket, errors="strict"), unquote(key, errors="strict")
    if bucket and not _BUCKET.match(bucket):
        raise BadRequest(f"{bucket[:80]!r} is not a bucket's name")
    if len(key.encode()) > MAX_KEY_BYTES or "\0" in key:
        raise BadRequest("the key is longer than 1024 bytes or holds a zero byte")
    given = {name for name, _ in parse_qsl(query, keep_blank_values=True)} & _SUBRESOURCES
    which = next(iter(given), "") if len(given) <= 1 else "several"
    if key:
        if method == "PUT" and which == "" and copy_source:
            source = unquote(copy_source.removeprefix("/"), errors="strict")
            return Operation("CopyObject", method, bucket, key, (key,), source)
        return Operation(_OBJECT.get((method, which), ""), method, bucket, key, (key,))
    if not bucket:
        return Operation("ListBuckets" if method == "GET" and not which else "", method)
    if which == "several" and given == {"list-type", "versions"}:
        which = "versions"
    return Operation(_BUCKETS.get((method, which), ""), method, bucket)


def with_keys(operation: Operation, body: bytes) -> tuple[Operation, bool]:
    """A DeleteObjects with its keys, and whether it wants a quiet answer. Raises BadRequest."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise BadRequest("the body declares entities")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise BadRequest(f"the body is not XML: {error}") from error
    keys, quiet = [], False
    for child in root:
        kind = child.tag.rpartition("}")[2]
        if kind == "Quiet":
            quiet = (child.text or "").strip() == "true"
        elif kind == "Object":
            parts = {part.tag.rpartition("}")[2]: part.text or "" for part in child}
            if parts.get("VersionId"):
                raise BadRequest("versions cannot be deleted through the gateway")
            keys.append(parts.get("Key", ""))
    if not keys or len(keys) > MAX_KEYS or not all(keys):
        raise BadRequest(f"a batch names 1 to {MAX_KEYS} keys")
    return replace(operation, keys=tuple(keys)), quiet
