"""Which fault does what, outermost first, and which requests it can be about.

client ◄── latency ◄── hang ◄── outage, throttling, errors, conflict, gone
       ◄── lost response ◄── reset ◄── stale reads ◄── the gateway's other stages
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lab.core.clock import Clock
from lab.gateway.exchange import Answer, Handler
from lab.gateway.faults import answers, connection
from lab.gateway.faults.hit import Hit
from lab.gateway.faults.past import STALE_READS, Past, can_be_stale
from lab.gateway.faults.watches import API_OUTAGE
from lab.gateway.target import Target

Act = Callable[[Hit, Handler], Awaitable[Answer]]
Concerns = Callable[[Target], bool]


@dataclass(frozen=True, slots=True)
class Effect:
    """`place`: 0 is outermost."""

    place: int
    act: Act
    concerns: Concerns


def effects(past: Past, clock: Clock) -> Mapping[str, Effect]:
    """Name of a fault to its effect. Faults of watches that are open are not among them."""
    listed: tuple[tuple[str, Act, Concerns], ...] = (
        ("api-latency", answers.delay, _anything),
        ("api-hang", connection.hang, _anything),
        (API_OUTAGE, answers.fall_out, _anything),
        ("api-throttling", answers.Throttle(clock), _anything),
        ("api-errors", answers.fail, _anything),
        ("api-conflict", answers.refuse_as_conflict, _changes_one),
        ("api-gone", answers.expire, answers.resumes),
        ("api-lost-response", connection.lose_response, _mutates),
        ("api-reset", connection.break_off, _has_body),
        (STALE_READS, past.look_back, can_be_stale),
    )
    made = {name: Effect(place, act, concerns) for place, (name, act, concerns) in enumerate(listed)}
    return MappingProxyType(made)


def _anything(target: Target) -> bool:
    return True


def _changes_one(target: Target) -> bool:
    return target.info.verb in ("update", "patch") and not target.info.is_connect


def _mutates(target: Target) -> bool:
    return target.is_mutating and not target.info.is_connect


def _has_body(target: Target) -> bool:
    return target.method != "HEAD" and target.info.verb != "watch" and not target.info.is_connect
