"""Reads of the past. The API server itself is asked for an exact, earlier resource version.

While a fault of stale reads is active, the newest resource version is noted four times a second. A list asks
for the version of so many seconds ago; a get becomes such a list of one. So rights, selectors and tables are
the API server's own, and what is read belongs together. Before the fault is as old as the age that it asks
for, the world stands still at its beginning.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from urllib.parse import urlencode

import aiohttp
import orjson

from lab.core.clock import Clock
from lab.core.fault_row import DIRECTIVES
from lab.faults.board import Board
from lab.gateway.exchange import Answer, Handler
from lab.gateway.faults.hit import Hit
from lab.gateway.target import Target, read_target
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError, not_found, service_unavailable

STALE_READS = "stale-reads"
_SAMPLE_SECONDS = 0.25
_KEPT = 1200
"""Samples: five minutes of them, as long as etcd keeps old versions by default."""


class Past:
    """Which resource version was the newest, when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: list[float] = []
        self._versions: list[str] = []
        self._faults: frozenset[str] = frozenset()
        self._kube: KubeClient | None = None

    async def follow(self, kube: KubeClient, board: Board) -> None:
        """Note versions while a fault needs them; for ever."""
        self._kube = kube
        while True:
            self.begin(board)
            if self._faults:
                await self._note()
            await self._clock.sleep(_SAMPLE_SECONDS)

    def begin(self, board: Board) -> None:
        """Forget what was noted for faults that are over: the world stands still where the next one began."""
        active = frozenset(row.id for row in board.active() if row.fault == STALE_READS)
        if not active & self._faults:
            self._times, self._versions = [], []
        self._faults = active

    async def version(self, age: float) -> str:
        """The version of `age` seconds ago, or the oldest that is known; empty when none is."""
        if not self._times:
            await self._note()
        if not self._times:
            return ""
        place = bisect_right(self._times, self._clock.monotonic() - age)
        return self._versions[max(0, place - 1)]

    async def _note(self) -> None:
        if self._kube is None:
            return
        namespace, name = DIRECTIVES
        try:
            found = await self._kube.list("configmaps", namespace, field_selector=f"metadata.name={name}")
        except (StatusError, ConnectionError, TimeoutError, OSError):
            return  # the next sample is soon; until then the last one is a little older
        self._times.append(self._clock.monotonic())
        self._versions.append(str(found["metadata"]["resourceVersion"]))
        del self._times[:-_KEPT], self._versions[:-_KEPT]

    async def look_back(self, hit: Hit, following: Handler) -> Answer:
        """Answer a read with the past; with the present when the API server does not have that past."""
        exchange, target = hit.exchange, hit.exchange.target
        assert target is not None
        self.begin(hit.scene.board)
        version = await self.version(hit.setting("ageSeconds"))
        if not version:
            return await following(exchange)
        exchange.target = _at(target, version)
        try:
            answer = await following(exchange)
        except StatusError:
            answer = Answer(503)
        finally:
            exchange.target = target
        if answer.code != 200:
            answer.drop()
            return await following(exchange)
        hit.mark()
        return answer if target.info.verb == "list" else await _only(answer, target)


def can_be_stale(target: Target) -> bool:
    """Is it a plain list or get, and not one that says itself how new the answer must be?"""
    info = target.info
    if target.method != "GET" or not info.is_resource or info.subresource or target.prefixed:
        return False
    if info.verb not in ("get", "list") or target.values("continue"):
        return False
    return target.values("resourceVersion")[:1] in ([], [""], ["0"])


def _at(target: Target, version: str) -> Target:
    dropped = ("resourceVersion", "resourceVersionMatch")
    pairs = [pair for pair in target.pairs if pair[0] not in dropped]
    pairs += [("resourceVersion", version), ("resourceVersionMatch", "Exact")]
    if target.info.verb == "list":
        return target.with_pairs(tuple(pairs))
    pairs.append(("fieldSelector", f"metadata.name={target.info.name}"))
    return read_target("GET", f"{target.path.rpartition('/')[0]}?{urlencode(pairs)}")


async def _only(answer: Answer, target: Target) -> Answer:
    """The one object of a list as the answer to a get. Raises StatusError 404 when there was none."""
    found = orjson.loads(await _body(answer))
    info = target.info
    if found.get("kind") == "Table":
        rows = found.get("rows") or []
    else:
        rows = found.get("items") or []
    if not rows:
        raise not_found(info.resource, info.group, info.name)
    for name in ("Content-Length", "Content-Encoding"):
        answer.headers.popall(name, None)
    one = found if found.get("kind") == "Table" else _as_single(found, rows[0])
    return Answer(200, answer.headers, orjson.dumps(one))


def _as_single(listed: KubeObject, item: KubeObject) -> KubeObject:
    kind = str(listed.get("kind") or "").removesuffix("List")
    return {"kind": kind, "apiVersion": listed.get("apiVersion"), **item}


async def _body(answer: Answer) -> bytes:
    stream = answer.stream
    if stream is None:
        return answer.body
    try:
        content = b"".join([chunk async for chunk in stream.content.iter_any()])
    except (aiohttp.ClientError, TimeoutError) as error:
        raise service_unavailable("the API server broke off its answer") from error
    finally:
        stream.close()
    if answer.headers.get("Content-Encoding", "").lower() == "gzip":
        content = zlib.decompress(content, zlib.MAX_WBITS | 16)
    return content
