"""Reading what a request is aimed at, in exactly one way.

The path and the query are decoded once, checked, and written anew. The API server is only ever sent what was
written here, so it cannot read a request differently from the gateway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote, urlencode

from lab.core.view import INTENDED_PATH
from lab.kube.request import RequestInfo, parse_request
from lab.kube.status import bad_request, method_not_allowed

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
READ_METHODS = frozenset({"GET", "HEAD"})
PREFIXES = frozenset({"watch", "proxy"})
"""Path prefixes of old API versions that stand before the resource; only reads may use them."""

INTENDED = tuple(INTENDED_PATH.strip("/").split("/"))
"""Path segments before every other that ask for the view of lab.gateway.view. They do not go upstream."""

REVIEWS = {
    "authorization.k8s.io": frozenset(
        {
            "selfsubjectaccessreviews",
            "selfsubjectrulesreviews",
            "subjectaccessreviews",
            "localsubjectaccessreviews",
        }
    ),
    "authentication.k8s.io": frozenset({"selfsubjectreviews", "tokenreviews"}),
}
"""Creates that ask a question and store nothing."""

Pairs = tuple[tuple[str, str], ...]
_MAX_PAIRS = 200
_MAX_REMEMBERED = 1024
_AMBIGUOUS = re.compile(r"[/\\%\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Target:
    """A request in canonical form: `path` is encoded, `pairs` are the decoded query parameters in order."""

    method: str
    path: str
    pairs: Pairs
    info: RequestInfo
    prefixed: bool = False
    """The path had one of PREFIXES before the resource."""
    intended: bool = False
    """The client asks to be shown the world as its intents would have made it."""
    is_review: bool = field(init=False)
    """A question posted as an object."""
    is_read: bool = field(init=False)
    """It can change nothing, whatever the server makes of it."""

    def __post_init__(self) -> None:
        info = self.info
        asks = info.verb == "create" and not info.name and not info.subresource
        is_review = asks and info.resource in REVIEWS.get(info.group, ())
        object.__setattr__(self, "is_review", is_review)
        is_read = not info.is_connect and (is_review or self.method in READ_METHODS)
        object.__setattr__(self, "is_read", is_read)

    @property
    def is_mutating(self) -> bool:
        """May it change anything? Connects count."""
        return not self.is_read

    @property
    def is_eviction(self) -> bool:
        """Is it a create of the eviction subresource of a pod?"""
        return self.info.subresource == "eviction" and self.info.verb == "create"

    @property
    def is_delete(self) -> bool:
        """Does its body carry DeleteOptions?"""
        return self.method == "DELETE"

    def values(self, key: str) -> list[str]:
        """All values of a query parameter."""
        return [value for name, value in self.pairs if name == key]

    def with_pairs(self, pairs: Pairs) -> Target:
        """The same target with another query."""
        return replace(self, pairs=pairs)

    @property
    def url(self) -> str:
        """Path and query, encoded, as they go upstream."""
        return f"{self.path}?{urlencode(self.pairs)}" if self.pairs else self.path


@lru_cache(_MAX_REMEMBERED)
def read_target(method: str, raw_target: str) -> Target:
    """Understand a request line.

    Raises StatusError: 405 for a method the Kubernetes API does not have (case matters), 400 for a path or
    query that two readers could read in two ways.
    """
    if method not in METHODS:
        raise method_not_allowed()
    if not raw_target.startswith("/"):
        raise bad_request("the request target must be a path")
    raw_path, _, raw_query = raw_target.partition("?")
    segments = _segments(raw_path)
    intended = tuple(segments[:2]) == INTENDED
    if intended:
        segments = segments[2:]
    pairs = read_pairs(raw_query)
    first: dict[str, str] = {}
    for key, value in pairs:
        first.setdefault(key, value)
    info = parse_request(method, "/" + "/".join(segments), first)
    path = "/" + "/".join(quote(segment, safe="-._~:@!$'()*,=+") for segment in segments)
    if info.subresource == "proxy" and raw_path.endswith("/"):
        path += "/"  # behind a proxy the trailing slash belongs to somebody else's path
    return Target(method, path, pairs, info, prefixed=_is_prefixed(segments), intended=intended)


def _segments(raw_path: str) -> list[str]:
    segments = []
    for raw in raw_path.split("/"):
        if not raw:
            continue
        try:
            segment = unquote(raw, errors="strict")
        except UnicodeDecodeError as error:
            raise bad_request("the path is not UTF-8") from error
        if segment in (".", "..") or _AMBIGUOUS.search(segment):
            raise bad_request(f"the path segment {raw[:80]!r} is ambiguous; the gateway does not pass it on")
        segments.append(segment)
    return segments


def read_pairs(raw_query: str) -> Pairs:
    """The decoded parameters of a query, in order. Raises StatusError 400."""
    try:
        pairs = parse_qsl(raw_query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PAIRS)
    except ValueError as error:
        raise bad_request(f"the query cannot be read: {error}") from error
    return tuple(pairs)


def _is_prefixed(segments: list[str]) -> bool:
    at = 2 if segments[:1] == ["api"] else 3
    return len(segments) > at and segments[0] in ("api", "apis") and segments[at] in PREFIXES
