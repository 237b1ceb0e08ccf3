"""`python -m lab.pager.oncall`: the human as a pod.

Environment: POD_IP, LAB_SEED, LAB_HOUR_SECONDS, LAB_ADMIN_TOKEN, PAGER_URL, PROMETHEUS_URL, FAULTS_URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock
from lab.errors import ConfigError
from lab.kube.client import KubeClient
from lab.metrics.pod import run, serve
from lab.pager.oncall.clients import FaultsDevelopers, HttpPager, HttpPrometheus, KubeCluster
from lab.pager.oncall.human import OnCall
from lab.pager.oncall.pace import Pace
from lab.pager.settings import PodSettings

PORT = 8080


async def main() -> None:
    """Be on call until SIGTERM."""
    settings = PodSettings.from_environment()
    if not (settings.pager_url and settings.prometheus_url and settings.faults_url):
        raise ConfigError("the on-call human needs PAGER_URL, PROMETHEUS_URL and FAULTS_URL")
    pager = HttpPager(settings.pager_url, settings.admin_token)
    prometheus = HttpPrometheus(settings.prometheus_url)
    developers = FaultsDevelopers(settings.faults_url, settings.admin_token)
    async with KubeClient.from_environment(user_agent="toil-lab-oncall") as kube:
        human = OnCall(
            pager,
            prometheus,
            KubeCluster(kube),
            developers,
            pace=Pace(settings.seed, settings.scale),
            clock=SystemClock(),
            scale=settings.scale,
        )

        async def shift(_: web.Application) -> AsyncIterator[None]:
            task = asyncio.create_task(human.shift(), name="shift")
            yield
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for client in (pager, prometheus, developers):
                await client.close()

        app = web.Application()
        app.cleanup_ctx.append(shift)
        await serve(app, port=PORT, registry=CollectorRegistry())


if __name__ == "__main__":
    run(main)
