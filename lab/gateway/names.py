"""The lab's plain namespaces at the gateway's two doors, in a cluster that holds several labs.

    client ── either ──► PlainNames ── plain: decisions, budgets, records ──► Upstream ── real ──► API server

A client may name a namespace either way: from here on there is one name for it, so that budgets, buckets and
records know one target as one. Without a prefix nothing of this is in the chain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlencode

import orjson
from multidict import CIMultiDict

from lab.gateway.dryrun import decode_yaml
from lab.gateway.exchange import Answer, Chunks, Exchange, Handler, Stream
from lab.gateway.protobuf_names import MAGIC, rename_in
from lab.gateway.target import Target, read_target
from lab.kube.renaming import Renaming
from lab.kube.status import StatusError

_ENDS = (b",", b"\n")


class PlainNames:
    """A stage behind authentication."""

    def __init__(self, renaming: Renaming) -> None:
        self._renaming = renaming

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        assert exchange.target is not None
        target = exchange.target = self._plain(exchange.target)
        try:
            answer = await following(exchange)
        except StatusError as error:
            error.message = self._renaming.complaint(error.message.encode()).decode()
            raise
        if not target.info.is_resource or target.info.is_connect or not _is_json(answer.headers):
            return answer
        answer.headers.popall("Content-Length", None)
        rename = self._renaming.complaint if answer.code >= 400 else self._renaming.answer
        if answer.stream is not None:
            answer.stream = _Renamed(answer.stream, rename)
        else:
            answer.body = rename(answer.body)
        return answer

    def _plain(self, target: Target) -> Target:
        path = self._renaming.plain_path(target.path)
        if path == target.path:
            return target
        query = f"?{urlencode(target.pairs)}" if target.pairs else ""
        return replace(read_target(target.method, path + query), intended=target.intended)


class _Renamed:
    """A stream of JSON, renamed as it flows: in pieces that end between two fields."""

    def __init__(self, stream: Stream, rename: Callable[[bytes], bytes]) -> None:
        self._stream = stream
        self._rename = rename

    @property
    def content(self) -> Chunks:
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Pieces as they come, and what is left at a proper end."""
        rest = b""
        async for chunk in self._stream.content.iter_any():
            rest += chunk
            end = max(rest.rfind(mark) for mark in _ENDS) + 1
            if end:
                yield self._rename(rest[:end])
                rest = rest[end:]
        if rest:
            yield self._rename(rest)

    def close(self) -> None:
        """Let go of the stream."""
        self._stream.close()


def legible(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Request headers that ask for an answer that can be renamed, if the client takes one: plain JSON."""
    changed = CIMultiDict(headers)
    wanted = [part for part in headers.get("Accept", "").split(",") if "json" in part or "*/*" in part]
    if wanted:
        changed["Accept"] = ",".join(wanted)
    if "Accept-Encoding" in changed:
        changed["Accept-Encoding"] = "identity"
    return changed


def real_body(renaming: Renaming, body: bytes | None, content_type: str) -> bytes | None:
    """A request's body as the cluster understands it; one that cannot be read goes as it is.

    Raises StatusError 400 for YAML that could be read in two ways.
    """
    if not renaming.active or not body:
        return body
    if body.startswith(MAGIC):
        with suppress(ValueError):
            return rename_in(body, renaming.namespaces.real)
        return body
    try:
        decoded = orjson.loads(body)
    except ValueError:
        if "yaml" not in content_type:
            return body
        decoded = decode_yaml(body)
    return orjson.dumps(renaming.body(decoded))


def _is_json(headers: CIMultiDict[str]) -> bool:
    encoded = headers.get("Content-Encoding", "identity") != "identity"
    return headers.get("Content-Type", "").startswith("application/json") and not encoded
