"""The way of a mutation upstream: image before, dry run or safeguards, request, diff."""

from __future__ import annotations

import aiohttp
from multidict import CIMultiDict

from lab.core.audit import Decision
from lab.core.clock import Clock
from lab.gateway.control import Control
from lab.gateway.dryrun import Outgoing, is_dry_run, stores_nothing, to_dry_run
from lab.gateway.eviction import ShadowEvictions
from lab.gateway.exchange import Answer, Exchange
from lab.gateway.image import MAX_NAMES, image, json_patch, names, removals
from lab.gateway.ledger import Place, is_unknown
from lab.gateway.passage import Passages
from lab.gateway.safeguards import Safeguards
from lab.gateway.standing import stand
from lab.gateway.target import Target
from lab.gateway.upstream import Upstream, answer_headers
from lab.gateway.view import Intents
from lab.kube.objects import KubeObject, name_of
from lab.kube.status import StatusError, internal_error, service_unavailable

_STALE_SECONDS = 0.1
_PARENT_OF = frozenset(
    {"eviction", "binding", "status", "ephemeralcontainers", "token", "finalize", "resize"}
)
_SIZED = frozenset({"deployments", "statefulsets", "replicasets"})


class Mutate:
    """Carries out what was decided: for real behind the safeguards, or as a dry run."""

    def __init__(
        self,
        upstream: Upstream,
        control: Control,
        passages: Passages,
        safeguards: Safeguards,
        evictions: ShadowEvictions,
        intents: Intents,
        clock: Clock,
    ) -> None:
        self._upstream = upstream
        self._control = control
        self._passages = passages
        self._safeguards = safeguards
        self._evictions = evictions
        self._intents = intents
        self._clock = clock

    async def __call__(self, exchange: Exchange, target: Target, headers: CIMultiDict[str]) -> Answer:
        asked = self._clock.monotonic()
        before = await self._before(target, headers)
        if before is not None:
            exchange.before = names(before) if target.info.verb == "deletecollection" else image(before)
        if self._clock.monotonic() - asked > _STALE_SECONDS:
            stand(exchange, await self._control.read())
        content_type = exchange.request.headers.get("Content-Type", "")
        outgoing = Outgoing(target, exchange.body, content_type)
        exchange.dry_run = is_dry_run(target, exchange.body, content_type)
        if exchange.decision is Decision.SHADOWED or exchange.dry_run:
            outgoing = self._shadow(exchange, outgoing)
            return await self._rehearse(exchange, outgoing, headers, before)
        return await self._act(exchange, outgoing, headers, before)

    async def _rehearse(
        self, exchange: Exchange, outgoing: Outgoing, headers: CIMultiDict[str], before: KubeObject | None
    ) -> Answer:
        """A dry run, the client's own or that of shadow, which is an intent and counted."""
        answer, after = await self._send(exchange, outgoing, headers)
        if answer.code < 400:
            self._keep_diff(exchange, outgoing.target, before, after)
            if exchange.decision is Decision.SHADOWED:
                await self._take_away(outgoing.target, before)
                await self._safeguards.report(exchange, before)
                self._intents.note(exchange, before, after)
        return answer

    async def _act(
        self, exchange: Exchange, outgoing: Outgoing, headers: CIMultiDict[str], before: KubeObject | None
    ) -> Answer:
        target = outgoing.target
        place = await self._safeguards.clear(
            exchange, before, await self._foresee(exchange, outgoing, headers, before)
        )
        try:
            answer, after = await self._send(exchange, outgoing, headers)
        except StatusError:
            if exchange.decision is Decision.REFUSED:
                place.give_back()  # it was stopped before it left
            raise
        except BaseException:
            self._give_back_unsent(exchange, place)
            raise
        if answer.code < 400:
            self._keep_diff(exchange, target, before, after)
            self._safeguards.settle(exchange, place, before)
        elif not is_unknown(answer.code):
            place.give_back()
        return answer

    def _give_back_unsent(self, exchange: Exchange, place: Place) -> None:
        if not self._passages.is_sent(exchange):
            place.give_back()

    async def _foresee(
        self, exchange: Exchange, outgoing: Outgoing, headers: CIMultiDict[str], before: KubeObject | None
    ) -> tuple[dict[str, object], ...]:
        """What a change of a workload would make of it, by a dry run: only that tells how many pods go."""
        info = outgoing.target.info
        if not (exchange.control.budgets.counts_pods and before and info.verb in ("patch", "update")):
            return ()
        if info.group != "apps" or info.resource not in _SIZED:
            return ()
        rehearsal = to_dry_run(outgoing.target, outgoing.body, outgoing.content_type)
        answer, after = await self._exchange(rehearsal, headers.copy())
        return json_patch(before, after) if answer.code < 400 else ()

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

    async def _send(
        self, exchange: Exchange, outgoing: Outgoing, headers: CIMultiDict[str]
    ) -> tuple[Answer, KubeObject]:
        """Past the point of no return, unless the control state has changed meanwhile."""
        stand(exchange, self._control.last)
        self._passages.send(exchange)
        return await self._exchange(outgoing, headers)

    async def _exchange(self, outgoing: Outgoing, headers: CIMultiDict[str]) -> tuple[Answer, KubeObject]:
        target = outgoing.target
        if outgoing.content_type:
            headers["Content-Type"] = outgoing.content_type
        headers["Accept-Encoding"] = "identity"
        answer = await self._upstream.open(target.method, target.url, headers, outgoing.body or None)
        try:
            content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            message = "the API server broke off its answer; the mutation may have been applied"
            raise service_unavailable(message) from error
        finally:
            answer.release()
        return Answer(answer.status, answer_headers(answer), content), self._upstream.decode(content)

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
            await self._evictions.evict(before)
        elif target.info.verb == "delete":
            self._evictions.delete(before)


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
