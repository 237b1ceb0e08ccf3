"""Mode, kill switch, canary, budgets and risk rules: one ConfigMap, read at every mutation and watched.

What cannot be read means stop. The read decides over its own request; the watch tells at once those requests
that are on their way already. Requests that ask while a read is under way share the one that begins after it:

    asked ──┐
    asked ──┼──► [read under way] ──► [one read for all of them]
    asked ──┘
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from lab.core.audit import Mode
from lab.gateway.budgets import Budgets, read_budgets
from lab.gateway.risk import RiskRules, read_risk
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError

ReadObject = Callable[[str], Awaitable[KubeObject]]
WatchObjects = Callable[[str], AsyncIterator[dict[str, Any]]]
DEFAULT_PERCENT = 10.0
_TIMEOUT = 5.0
_PATIENCE = 0.02


@dataclass(frozen=True, slots=True)
class ControlState:
    """What the ConfigMap says. `stopped` holds for an engaged kill switch and for everything unreadable.

    canary_percent: 0 to 100, the share of targets that canary mode acts on.
    """

    mode: Mode = Mode.SHADOW
    stopped: bool = False
    readable: bool = True
    by: str = ""
    reason: str = ""
    at: str = ""
    canary_percent: float = DEFAULT_PERCENT
    budgets: Budgets = field(default_factory=Budgets)
    risk: RiskRules = field(default_factory=RiskRules)

    def why_stopped(self) -> str:
        """Who stopped mutations, when, why, and what to do about it."""
        if not self.readable:
            return (
                f"the kill switch cannot be read ({self.reason}), which counts as engaged; reads still work. "
                "Restore the ConfigMap lab-system/automation-control, or ask whoever runs the lab"
            )
        return f"{self.engaged()}. Reads still work. Stop acting and wait; `lab kill-switch off` releases it"

    def engaged(self) -> str:
        """Who engaged the kill switch, when and why, as the beginning of a sentence."""
        who = f" by {self.by}" if self.by else ""
        when = f" at {self.at}" if self.at else ""
        why = f": {self.reason}" if self.reason else ""
        return f"the kill switch was engaged{who}{when}{why}"


def read_state(data: dict[str, str]) -> ControlState:
    """Understand the ConfigMap's data. An absent key has its default, a value nobody knows means stop."""
    mode, switch = data.get("mode", Mode.SHADOW.value), data.get("killSwitch", "off")
    if mode not in tuple(Mode) or switch not in ("on", "off"):
        return unreadable(f"mode is {mode[:40]!r} and killSwitch is {switch[:40]!r}")
    try:
        percent = _percent(data.get("canaryPercent", ""))
        budgets, risk = read_budgets(data.get("budgets", "")), read_risk(data.get("risk", ""))
    except ValueError as error:
        return unreadable(str(error)[:500])
    return ControlState(
        mode=Mode(mode),
        stopped=switch == "on",
        by=data.get("by", "")[:200],
        reason=data.get("reason", "")[:500],
        at=data.get("at", "")[:60],
        canary_percent=percent,
        budgets=budgets,
        risk=risk,
    )


def unreadable(why: str) -> ControlState:
    """The state when nothing is known: shadow, and stopped."""
    return ControlState(mode=Mode.SHADOW, stopped=True, readable=False, reason=why)


def _percent(text: str) -> float:
    try:
        percent = float(text or DEFAULT_PERCENT)
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise ValueError(f"canaryPercent is {text[:40]!r}, not a number from 0 to 100")
    return percent


class Control:
    """Reads and watches the ConfigMap. `last` is the newest state known, for reads and for the metrics.

    `on_stop` is called with every newly learned state that means stop.
    """

    def __init__(self, read_object: ReadObject, namespace: str, name: str) -> None:
        self._read_object = read_object
        self._namespace, self._name = namespace, name
        self.path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
        self._tickets = itertools.count(1)
        self._newest = 0
        self._reading: asyncio.Task[ControlState] | None = None
        self._waiting: asyncio.Task[ControlState] | None = None
        self.last = unreadable("it was not read yet")
        self._understood: tuple[Any, ControlState] = (None, self.last)
        self.on_stop: Callable[[ControlState], None] = lambda state: None

    async def read(self) -> ControlState:
        """What the API server says to a read that begins now or later. Never raises: what goes wrong is an
        unreadable state."""
        if self._waiting is None:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._ask())
                return await asyncio.shield(self._reading)
            self._waiting = asyncio.create_task(self._ask_after(self._reading))
        return await asyncio.shield(self._waiting)

    async def _ask_after(self, reading: asyncio.Task[ControlState]) -> ControlState:
        """All who waited until here asked before this read begins. One that hangs holds up nobody."""
        try:
            await asyncio.wait((reading,), timeout=_PATIENCE)
        finally:
            self._reading, self._waiting = self._waiting, None
        return await self._ask()

    async def _ask(self) -> ControlState:
        ticket = next(self._tickets)
        try:
            async with asyncio.timeout(_TIMEOUT):
                state = self._understand(await self._read_object(self.path))
        except StatusError as error:
            state = unreadable(f"{error.code} {error.reason}")
        except (OSError, TimeoutError) as error:
            state = unreadable(type(error).__name__)
        self._learn(state, ticket)
        return state

    async def follow(self, watch: WatchObjects) -> None:
        """Learn every change as it happens, until the API server ends the watch.

        Raises StatusError or OSError when it cannot be watched; `read` goes on working then.
        """
        selector = f"watch=true&fieldSelector=metadata.name%3D{self._name}"
        async for event in watch(f"/api/v1/namespaces/{self._namespace}/configmaps?{selector}"):
            if event.get("type") in ("ADDED", "MODIFIED"):
                self._learn(self._understand(event.get("object")), next(self._tickets))
            elif event.get("type") == "DELETED":
                self._learn(unreadable("it was deleted"), next(self._tickets))
            else:
                return  # ERROR: what it was watching from is gone; the next watch starts anew

    def _learn(self, state: ControlState, ticket: int) -> None:
        """Keep the newest: an answer asked for earlier than what is known says nothing new."""
        if ticket < self._newest:
            return
        self._newest = ticket
        self.last = state
        if state.stopped:
            self.on_stop(state)

    def _understand(self, obj: Any) -> ControlState:
        """The very same state as last time, when the data are the same."""
        try:
            data = obj.get("data") or {}
            if data != self._understood[0]:
                state = read_state({str(key): str(value) for key, value in data.items()})
                self._understood = (data, state)
        except AttributeError:
            return unreadable("it is not a ConfigMap")
        return self._understood[1]
