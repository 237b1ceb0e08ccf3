"""A container's lifecycle hooks: postStart and preStop. Source: pkg/kubelet/lifecycle.

What a hook said is not told in events, as upstream: it might hold secrets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lab.core.clock import Clock
from lab.kube.status import StatusError
from lab.localkube.kubelet.checks import Target
from lab.localkube.kubelet.http_check import PlainAnswer, fetch, request_of
from lab.localkube.kubelet.stopping import Stopping
from lab.localkube.kubelet.waiting import end, first_of


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

        None when the container ended, or is to end for good, before that. As upstream, no time limit.
        """
        hook = self._lifecycle.get("postStart")
        if not hook:
            return True
        task = asyncio.ensure_future(self._run(hook))
        await first_of(self._clock, None, task, exited, stopping.requested())
        if not task.done():
            await end(task)
            return None
        if not task.result():
            self._warn("FailedPostStartHook", "PostStartHook failed")
        return task.result()

    async def pre_stop(self, seconds: float, exited: asyncio.Future[int]) -> None:
        """Run preStop for at most `seconds`, or until the container has ended."""
        task = asyncio.ensure_future(self._run(self._lifecycle["preStop"]))
        await first_of(self._clock, seconds, task, exited)
        if task.done() and not task.result():
            self._warn("FailedPreStopHook", "PreStopHook failed")
        await end(task)

    async def _run(self, hook: dict[str, Any]) -> bool:
        """Whether it succeeded. `tcpSocket` never does: upstream's API takes it, and its kubelet does not."""
        if "exec" in hook:
            try:
                code, _ = await self._target.execute(list(hook["exec"].get("command") or ()))
            except StatusError:
                return False
            return code == 0
        if "httpGet" in hook:
            return await self._request(hook["httpGet"])
        if "sleep" in hook:
            await self._clock.sleep(float(hook["sleep"].get("seconds") or 0))
            return True
        return False

    async def _request(self, action: dict[str, Any]) -> bool:
        """Any answer is a success, whatever its status; one that is not TLS is asked again without."""
        try:
            request = request_of(action, self._target.address, self._target.container, "lifecycle")
            try:
                await fetch(request)
            except PlainAnswer:
                headers = tuple(each for each in request.headers if each[0].lower() != "authorization")
                await fetch(replace(request, url="http" + request.url.removeprefix("https"), headers=headers))
                host = request.url.split("/")[2]
                text = f"request to HTTPS lifecycle hook {host} got HTTP response, retry with HTTP succeeded"
                self._warn("LifecycleHTTPFallback", text)
        except (OSError, ValueError):
            return False
        return True
