"""Faults that answer in the API server's place, in its words, and the one that only makes it late."""

from __future__ import annotations

import math
import uuid

import orjson
from multidict import CIMultiDict

from lab.core.clock import Clock
from lab.gateway.exchange import Answer, Handler
from lab.gateway.faults.connection import unanswered
from lab.gateway.faults.hit import Hit
from lab.gateway.target import Target
from lab.kube.status import StatusError, conflict, gone

_UNAVAILABLE = "the server is currently unable to handle the request"
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter."
)


async def delay(hit: Hit, following: Handler) -> Answer:
    """Wait, then go on; a mutation whose client has given up is not carried out any more."""
    hit.mark()
    spread = hit.chance.random() * hit.setting("spreadSeconds")
    await hit.hold(hit.setting("delaySeconds") + spread)
    if hit.left:
        hit.exchange.reason = "the client gave up before the request was carried out"
        return Answer(0)
    return await following(hit.exchange)


async def fail(hit: Hit, following: Handler) -> Answer:
    """Answer with an error of the server."""
    hit.answer_instead()
    retry = int(hit.setting("retryAfterSeconds"))
    cause = "etcdserver: request timed out"
    code, reason, message = {
        "internal": (500, "InternalError", f"Internal error occurred: {cause}"),
        "unavailable": (503, "ServiceUnavailable", _UNAVAILABLE),
        "timeout": (504, "Timeout", "Timeout: request did not complete within the allotted timeout"),
    }[hit.setting("error")]
    details = {"causes": [{"message": cause}]} if code == 500 else {}
    raise StatusError(
        code,
        reason,
        message,
        details=details | ({"retryAfterSeconds": retry} if retry else {}),
        headers={"Retry-After": str(retry)} if retry else None,
    )


async def fall_out(hit: Hit, following: Handler) -> Answer:
    """A part of the API is not there."""
    hit.answer_instead()
    if hit.setting("ending") == "reset":
        return unanswered()
    raise StatusError(503, "ServiceUnavailable", _UNAVAILABLE)


async def refuse_as_conflict(hit: Hit, following: Handler) -> Answer:
    """Somebody was quicker."""
    hit.answer_instead()
    target = hit.exchange.target
    assert target is not None
    raise conflict(target.info.resource, target.info.group, target.info.name)


async def expire(hit: Hit, following: Handler) -> Answer:
    """410: to a watch as its first event, in a stream that began well, as the API server does."""
    target = hit.exchange.target
    assert target is not None
    hit.answer_instead()
    if target.info.verb == "list":
        raise gone(_TOO_OLD)
    status = gone(f"too old resource version: {target.values('resourceVersion')[0]}").status()
    event = orjson.dumps({"type": "ERROR", "object": status}) + b"\n"
    return Answer(200, CIMultiDict({"Content-Type": "application/json"}), event)


def resumes(target: Target) -> bool:
    """Does a request go on from an earlier one: a watch from a version, a list from a token?"""
    if target.info.verb == "watch":
        return target.values("resourceVersion")[:1] not in ([], [""], ["0"])
    return target.info.verb == "list" and bool(target.values("continue"))


class Throttle:
    """429 as API Priority and Fairness sends it.

    Source: k8s.io/apiserver/pkg/server/filters/priority-and-fairness.go and net/http's Error.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._allowed: dict[tuple[str, str], tuple[float, float]] = {}

    async def __call__(self, hit: Hit, following: Handler) -> Answer:
        """Let through what the client is still allowed, and reject the rest."""
        if self.allows(hit):
            return await following(hit.exchange)
        hit.answer_instead()
        headers = CIMultiDict(
            {
                "Content-Type": "text/plain; charset=utf-8",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-cache, private",
                "Retry-After": str(int(hit.setting("retryAfterSeconds"))),
                "X-Kubernetes-PF-FlowSchema-UID": _uid("global-default"),
                "X-Kubernetes-PF-PriorityLevel-UID": _uid("global-default-level"),
            }
        )
        return Answer(429, headers, b"Too many requests, please try again later.\n")

    def allows(self, hit: Hit) -> bool:
        """A bucket of tokens for each fault and client; it holds a second's worth, and one at least."""
        rate = float(hit.setting("allowedPerSecond"))
        if rate <= 0:
            return False
        key, now = (hit.row.id, hit.exchange.actor), self._clock.monotonic()
        tokens, at = self._allowed.get(key, (math.inf, now))
        tokens = min(tokens + (now - at) * rate, max(1.0, rate))
        allowed = tokens >= 1
        self._allowed[key] = (tokens - 1 if allowed else tokens, now)
        return allowed


def _uid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.flowcontrol.apiserver.k8s.io"))
