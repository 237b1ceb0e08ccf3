"""`python -m lab.canary`: the canary as a pod.

Environment: POD_IP, LAB_HOUR_SECONDS, LAB_ADMIN_TOKEN, PROMETHEUS_URL, GATEWAY_ADMIN_URL, PAGER_URL.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.canary.controller import Controller
from lab.canary.measuring import PrometheusMeasure
from lab.canary.objects import CanaryObjects
from lab.canary.restore import Restorer
from lab.canary.rollback import Rollbacker
from lab.canary.services import GatewayAudit, PagerChannel
from lab.core.clock import SystemClock, TimeScale
from lab.errors import ConfigError
from lab.kube.client import KubeClient
from lab.metrics.pod import run, serve

PORT = 8080


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """What the pod reads from its environment."""

    scale: TimeScale
    prometheus: str
    gateway: str
    pager: str
    token: str

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> CanarySettings:
        """Read it. Raises ConfigError naming what is wrong."""
        problems = [
            f"{name} is empty"
            for name in ("PROMETHEUS_URL", "GATEWAY_ADMIN_URL", "PAGER_URL", "LAB_ADMIN_TOKEN")
            if not env.get(name)
        ]
        try:
            scale = TimeScale(float(env.get("LAB_HOUR_SECONDS") or 60))
        except ValueError as error:
            problems.append(f"LAB_HOUR_SECONDS is a number above 0: {error}")
        if problems:
            raise ConfigError("the pod's environment is not valid", problems)
        return cls(
            scale,
            env["PROMETHEUS_URL"],
            env["GATEWAY_ADMIN_URL"],
            env["PAGER_URL"],
            env["LAB_ADMIN_TOKEN"],
        )


async def main() -> None:
    """Guard the canary until SIGTERM."""
    settings, clock, registry = CanarySettings.from_environment(), SystemClock(), CollectorRegistry()
    measure = PrometheusMeasure(settings.prometheus, settings.scale)
    audit = GatewayAudit(settings.gateway, settings.token)
    channel = PagerChannel(settings.pager, settings.token)
    async with KubeClient.from_environment(user_agent="toil-lab-canary") as kube:
        controller = Controller(
            CanaryObjects(kube),
            measure,
            audit,
            channel,
            Rollbacker(audit, Restorer(kube, clock), clock),
            clock=clock,
            scale=settings.scale,
            registry=registry,
        )

        async def guard(_: web.Application) -> AsyncIterator[None]:
            task = asyncio.create_task(controller.run(), name="canary")
            yield
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for client in (measure, audit, channel):
                await client.close()

        app = web.Application()
        app.cleanup_ctx.append(guard)
        await serve(app, port=PORT, ready=lambda: controller.ready, registry=registry)


if __name__ == "__main__":
    run(main)
