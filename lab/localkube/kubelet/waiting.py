"""Waiting for one of several things, with a deadline of the injected clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

from lab.core.clock import Clock


async def first_of(clock: Clock, seconds: float | None, *things: Awaitable[Any]) -> bool:
    """Wait until one of the things is done, at most `seconds`; True when one is.

    Tasks and futures go on when the time is up; bare coroutines are cancelled.
    """
    tasks = [asyncio.ensure_future(thing) for thing in things]
    made = [task for task, thing in zip(tasks, things, strict=True) if isinstance(thing, Coroutine)]
    timer = None if seconds is None else asyncio.ensure_future(clock.sleep(max(0.0, seconds)))
    try:
        await asyncio.wait([*tasks, *([timer] if timer else [])], return_when=asyncio.FIRST_COMPLETED)
        return any(task.done() for task in tasks)
    finally:
        for task in [*made, *([timer] if timer else [])]:
            task.cancel()


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until they have ended, whatever they ended with."""
    present = [task for task in tasks if task is not None]
    for task in present:
        task.cancel()
    await asyncio.gather(*present, return_exceptions=True)
