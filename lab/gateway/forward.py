"""The innermost stage: reads pass through, as they are or as intended; the rest acts or is a dry run."""

from __future__ import annotations

import orjson
from multidict import CIMultiDict

from lab.core.audit import Decision
from lab.gateway.control import Control
from lab.gateway.exchange import Answer, Exchange, status_answer
from lab.gateway.ledger import is_unknown
from lab.gateway.mutate import Mutate
from lab.gateway.passage import Passages
from lab.gateway.safeguards import Safeguards
from lab.gateway.standing import stand
from lab.gateway.target import Target
from lab.gateway.upgrade import open_upgrade, wants_upgrade
from lab.gateway.upstream import Upstream, answer_headers, read_bounded
from lab.gateway.view import Intent, Intents, show_list, show_missing, show_object
from lab.kube.request import truthy
from lab.kube.status import StatusError


class Forward:
    """Sends a request upstream by its kind: read, connect or mutation."""

    def __init__(
        self,
        upstream: Upstream,
        control: Control,
        passages: Passages,
        safeguards: Safeguards,
        mutate: Mutate,
        intents: Intents,
    ) -> None:
        self._upstream = upstream
        self._control = control
        self._passages = passages
        self._safeguards = safeguards
        self._mutate = mutate
        self._intents = intents

    async def __call__(self, exchange: Exchange) -> Answer:
        target = exchange.target
        assert target is not None
        client = exchange.request.headers
        headers = self._upstream.headers_for(exchange.actor, exchange.acting, client)
        if target.info.is_connect:
            return await self._connect(exchange, target, headers)
        if target.is_mutating:
            return await self._mutate(exchange, target, headers)
        intents = self._intents.shown_to(exchange)
        if intents and "json" in client.get("Accept", "json").replace("*/*", "json"):
            return await self._show(target, headers, intents)
        return await self._pass(exchange, target, headers)

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
        place = await self._safeguards.clear(exchange, None)
        try:
            stand(exchange, self._control.last)
            self._passages.send(exchange)
            answer = await self._open(exchange, target, headers)
        except StatusError as error:
            if exchange.decision is Decision.REFUSED or not is_unknown(error.code):
                place.give_back()  # stopped before it left, or upstream said no
            raise
        except BaseException:
            if not self._passages.is_sent(exchange):
                place.give_back()
            raise
        if answer.code >= 400 and not is_unknown(answer.code):
            place.give_back()
        return answer

    async def _open(self, exchange: Exchange, target: Target, headers: CIMultiDict[str]) -> Answer:
        if wants_upgrade(exchange.request):
            return await open_upgrade(self._upstream, exchange.request, target, headers)
        stream = await self._upstream.open(
            target.method, target.url, headers, exchange.body or None, endless=True
        )
        return Answer(stream.status, answer_headers(stream), stream=stream)

    async def _show(self, target: Target, headers: CIMultiDict[str], intents: list[Intent]) -> Answer:
        """A read in JSON, changed on its way back."""
        headers["Accept"] = "application/json"
        headers["Accept-Encoding"] = "identity"
        stream = await self._upstream.open(target.method, target.url, headers, None)
        try:
            content = await read_bounded(stream)
        finally:
            stream.release()
        found = self._upstream.decode(content)
        sent_back = answer_headers(stream)
        if stream.status == 404 and target.info.verb == "get" and not target.info.subresource:
            made = show_missing(target, intents)
            return Answer(200, sent_back, orjson.dumps(made)) if made else Answer(404, sent_back, content)
        if stream.status != 200 or not found:
            return Answer(stream.status, sent_back, content)
        show = show_list if target.info.verb == "list" else show_object
        try:
            return Answer(200, sent_back, orjson.dumps(show(target, found, intents)))
        except StatusError as error:
            return status_answer(error)
