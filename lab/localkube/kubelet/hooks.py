"""A container's lifecycle hooks: postStart and preStop. Source: pkg/kubelet/lifecycle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lab.core.clock import Clock
from lab.localkube.kubelet.checks import Target, check
from lab.localkube.kubelet.stopping import Stopping
from lab.localkube.kubelet.waiting import end, first_of

POST_START_SECONDS = 3600.0
"""Upstream sets no limit; a container whose hook hangs is not running yet, and can be stopped."""


class Hooks:
    """The hooks of one container. `warn` records a Warning event: (reason, message)."""

    def __init__(self, target: Target, clock: Clock, warn: Callable[[str, str], None]) -> None:
        self._lifecycle: dict[str, Any] = target.container.get("lifecycle") or {}
        self._target = target
        self._clock = clock
        self._warn = warn

    @property
    def has_pre_stop(self) -> bool:
        """Whether there is a preStop hook."""
        return bool(self._lifecycle.get("preStop"))

    async def post_start(self, exited: asyncio.Future[int], stopping: Stopping) -> bool | None:
        """Run postStart: True when it succeeded or there is none, False when it failed.

        None when the container ended, or is to end for good, before that.
        """
        hook = self._lifecycle.get("postStart")
        if not hook:
            return True
        task = asyncio.ensure_future(check(hook, self._target, POST_START_SECONDS))
        await first_of(self._clock, None, task, exited, stopping.requested())
        if not task.done():
            await end(task)
            return None
        if not task.result().ok:
            self._warn("FailedPostStartHook", f"PostStartHook failed: {task.result().message}")
        return task.result().ok

    async def pre_stop(self, seconds: float, exited: asyncio.Future[int]) -> None:
        """Run preStop for at most `seconds`, or until the container has ended."""
        task = asyncio.ensure_future(check(self._lifecycle["preStop"], self._target, seconds))
        await first_of(self._clock, seconds, task, exited)
        if task.done() and not task.result().ok:
            self._warn("FailedPreStopHook", f"PreStopHook failed: {task.result().message}")
        await end(task)
