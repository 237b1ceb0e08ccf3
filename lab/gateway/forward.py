"""The innermost stage: sends the request upstream, with images of the object before and after a mutation."""

from __future__ import annotations

import aiohttp
from multidict import CIMultiDict

from lab.core.audit import Decision
from lab.core.clock import Clock
from lab.gateway.budget import ShadowBudget
from lab.gateway.control import Control
from lab.gateway.dryrun import Outgoing, is_dry_run, stores_nothing, to_dry_run
from lab.gateway.exchange import Answer, Exchange
from lab.gateway.image import MAX_NAMES, image, json_patch, names, removals
from lab.gateway.policy import decide as rule
from lab.gateway.target import Target
from lab.gateway.upgrade import open_upgrade, wants_upgrade
from lab.gateway.upstream import Upstream, answer_headers, decode_object
from lab.kube.objects import KubeObject, name_of
from lab.kube.request import truthy
from lab.kube.status import StatusError, forbidden, internal_error, service_unavailable

_STALE_SECONDS = 0.1
_PARENT_OF = frozenset(
    {"eviction", "binding", "status", "ephemeralcontainers", "token", "finalize", "resize"}
)


class Forward:
    """Reads pass through; mutations are imaged, rewritten in shadow, and their answer makes the diff."""

    def __init__(self, upstream: Upstream, control: Control, budget: ShadowBudget, clock: Clock) -> None:
        self._upstream = upstream
        self._control = control
        self._budget = budget
        self._clock = clock

    async def __call__(self, exchange: Exchange) -> Answer:
        target = exchange.target
        assert target is not None
        client = exchange.request.headers
        headers = self._upstream.headers_for(exchange.actor, exchange.control.mode, client)
        if target.info.is_connect:
            return await self._connect(exchange, target, headers)
        if not target.is_mutating:
            return await self._pass(exchange, target, headers)
        return await self._mutate(exchange, target, headers)

    async def _pass(self, exchange: Exchange, target: Target, headers: CIMultiDict[str]) -> Answer:
        encoding = exchange.request.headers.get("Accept-Encoding")
        if encoding:
            headers["Accept-Encoding"] = encoding
        follow = target.info.subresource == "log" and truthy(next(iter(target.values("follow")), None))
        stream = await self._upstream.open(
            target.method,
            target.url,
            headers,
            exchange.body or None,
            endless=follow or target.info.verb == "watch",
        )
        return Answer(stream.status, answer_headers(stream), stream=stream)

    async def _connect(self, exchange: Exchange, target: Target, headers: CIMultiDict[str]) -> Answer:
        if wants_upgrade(exchange.request):
            return await open_upgrade(self._upstream, exchange.request, target, headers)
        stream = await self._upstream.open(
            target.method, target.url, headers, exchange.body or None, endless=True
        )
        return Answer(stream.status, answer_headers(stream), stream=stream)

    async def _mutate(self, exchange: Exchange, target: Target, headers: CIMultiDict[str]) -> Answer:
        content_type = exchange.request.headers.get("Content-Type", "")
        asked = self._clock.monotonic()
        before = await self._before(target, headers)
        if before is not None:
            exchange.before = names(before) if target.info.verb == "deletecollection" else image(before)
        if self._clock.monotonic() - asked > _STALE_SECONDS:
            await self._look_again(exchange, target)
        outgoing = Outgoing(target, exchange.body, content_type)
        exchange.dry_run = is_dry_run(target, exchange.body, content_type)
        if exchange.decision is Decision.SHADOWED:
            outgoing = self._shadow(exchange, outgoing)
        if outgoing.content_type:
            headers["Content-Type"] = outgoing.content_type
        code, sent_back, content = await self._send(outgoing, headers)
        if code < 400:
            self._keep_diff(exchange, target, before, decode_object(content))
            if exchange.decision is Decision.SHADOWED:
                await self._take_away(target, before)
        return Answer(code, sent_back, content)

    def _shadow(self, exchange: Exchange, given: Outgoing) -> Outgoing:
        try:
            outgoing = to_dry_run(given.target, given.body, given.content_type)
        except StatusError:
            exchange.decision = Decision.REFUSED
            raise
        if not stores_nothing(outgoing):
            exchange.decision = Decision.REFUSED
            raise internal_error("the gateway could not turn this request into a dry run")
        if exchange.dry_run:  # the client asked for no more, so it is no intent
            exchange.decision = Decision.ALLOWED
        exchange.dry_run = True
        exchange.reason = outgoing.note
        return outgoing

    async def _look_again(self, exchange: Exchange, target: Target) -> None:
        """Images took long: the kill switch may have been engaged since, or the mode changed."""
        was = exchange.control
        exchange.control = await self._control.read()
        if exchange.control.stopped or exchange.control.mode is not was.mode:
            ruling = rule(target, exchange.control)
            exchange.decision = Decision.REFUSED
            exchange.reason = ruling.reason or "the mode changed while the request was on its way; try again"
            raise forbidden(target.info.resource, target.info.group, target.info.name, exchange.reason)

    async def _send(
        self, outgoing: Outgoing, headers: CIMultiDict[str]
    ) -> tuple[int, CIMultiDict[str], bytes]:
        target = outgoing.target
        headers["Accept-Encoding"] = "identity"
        answer = await self._upstream.open(target.method, target.url, headers, outgoing.body or None)
        try:
            content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            message = "the API server broke off its answer; the mutation may have been applied"
            raise service_unavailable(message) from error
        finally:
            answer.release()
        return answer.status, answer_headers(answer), content

    async def _before(self, target: Target, headers: CIMultiDict[str]) -> KubeObject | None:
        """What is there now, as the actor may see it; None when there is nothing or it may not look."""
        path = _object_path(target)
        if not path:
            return None
        try:
            return await self._upstream.read(path, headers)
        except StatusError:
            return None

    def _keep_diff(
        self, exchange: Exchange, target: Target, before: KubeObject | None, after: KubeObject
    ) -> None:
        if target.info.verb == "deletecollection":
            exchange.diff = removals(before)
        elif target.info.subresource == "token":
            exchange.diff = ()  # the answer is a credential
        elif target.is_delete or target.is_eviction:
            exchange.diff = json_patch(before, None)
        elif after and after.get("kind") != "Status":
            exchange.diff = json_patch(before, after)
            exchange.made = name_of(after) or str(after.get("metadata", {}).get("generateName") or "")

    async def _take_away(self, target: Target, before: KubeObject | None) -> None:
        if before is None or target.info.resource != "pods" or target.info.group:
            return
        if target.is_eviction:
            await self._budget.evict(before)
        elif target.info.verb == "delete":
            self._budget.delete(before)


def _object_path(target: Target) -> str:
    info = target.info
    if info.verb == "create" and not info.subresource:
        return ""
    if info.subresource in _PARENT_OF and info.name:
        return target.path.rsplit("/", 1)[0]
    if info.verb == "deletecollection":
        selectors = tuple(pair for pair in target.pairs if pair[0] in ("labelSelector", "fieldSelector"))
        return target.with_pairs((*selectors, ("limit", str(MAX_NAMES)))).url
    return target.path
