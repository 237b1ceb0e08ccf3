"""What the lab's fault injector does to the program: end it, stop it, falsify its metrics, fill its disk.

Nothing in this pod knows of a fault before it comes: the injector calls the runner when it is time. Each
call carries a key that only the injector can make, and is carried out once, however often it comes.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import orjson
from aiohttp import web

from lab.core.clock import Clock


class Act(StrEnum):
    """kill: SIGKILL to the whole tree. pause: SIGSTOP until the end. metrics-gone: /metrics answers 503.
    metrics-frozen: /metrics goes on showing what it showed at the beginning. fill-disk: the scratch volume is
    filled beyond its limit, until the end or the pod's eviction."""

    KILL = "kill"
    PAUSE = "pause"
    METRICS_GONE = "metrics-gone"
    METRICS_FROZEN = "metrics-frozen"
    FILL_DISK = "fill-disk"


class Program(Protocol):
    """The program that runs now, if any."""

    @property
    def number(self) -> int:
        """Which start it is; another number is another process."""

    def kill(self) -> None:
        """End it and its children at once."""

    def pause(self) -> None:
        """Stop it and its children. May be done twice."""

    def resume(self) -> None:
        """Let it go on."""


class Disk(Protocol):
    """The pod's scratch volume."""

    def begin(self) -> None:
        """Fill it. May be done twice."""

    def end(self) -> None:
        """Take out what filled it."""


@dataclass(slots=True)
class _Injection:
    act: Act
    program: int
    end: asyncio.Task[None] | None = None
    over: bool = False


class Injections:
    """By key. One that is over stays known, so that a late repetition does nothing."""

    def __init__(self, program: Program, disk: Disk, clock: Clock) -> None:
        self._program = program
        self._disk = disk
        self._clock = clock
        self._known: dict[str, _Injection] = {}

    def start(self, key: str, act: Act, seconds: float | None) -> bool:
        """Do it, until `end` or for so many real seconds; whether it bites now."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _Injection(act, self._program.number)
            if act is Act.KILL:
                self._program.kill()
                found.over = True
            elif act is Act.PAUSE:
                self._program.pause()
            elif act is Act.FILL_DISK:
                self._disk.begin()
            if seconds is not None and not found.over:
                found.end = asyncio.create_task(self._end_later(key, seconds))
        return self._bites(found)

    def end(self, key: str) -> None:
        """Undo it. One that is not known will not be done later either."""
        found = self._known.setdefault(key, _Injection(Act.KILL, 0, over=True))
        was, found.over = found.over, True
        if found.end is not None and found.end is not asyncio.current_task():
            found.end.cancel()
        if found.act is Act.PAUSE and not was and not self.active(Act.PAUSE):
            self._program.resume()
        if found.act is Act.FILL_DISK and not self.active(Act.FILL_DISK):
            self._disk.end()

    def active(self, act: Act) -> bool:
        """Whether such a one bites now."""
        return any(found.act is act and self._bites(found) for found in self._known.values())

    def _bites(self, found: _Injection) -> bool:
        ours = found.act is not Act.PAUSE or found.program == self._program.number
        return not found.over and ours

    async def _end_later(self, key: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self.end(key)


def add_routes(app: web.Application, injections: Injections) -> None:
    """POST /injections/{key} {act, seconds?} -> {active}; DELETE /injections/{key}. 400: not such."""

    async def start(request: web.Request) -> web.Response:
        try:
            body: Any = orjson.loads(await request.read())
            act, given = Act(body["act"]), body.get("seconds")
            seconds = None if given is None else float(given)
            if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
                raise ValueError("seconds is above 0")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return web.json_response({"error": f"not an injection: {error}"}, status=400)
        return web.json_response({"active": injections.start(request.match_info["key"], act, seconds)})

    async def end(request: web.Request) -> web.Response:
        injections.end(request.match_info["key"])
        return web.json_response({"active": False})

    app.add_routes([web.post("/injections/{key}", start), web.delete("/injections/{key}", end)])
