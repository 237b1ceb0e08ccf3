"""`python -m lab.slo`: beside Prometheus, tells it which pods there are and carries its scrapes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock
from lab.faults.board import Board
from lab.kube.client import KubeClient
from lab.metrics.pod import run, serve
from lab.slo.discovery import PORT, PodTargets, discovery_app
from lab.slo.scrape_faults import PART, ScrapeFaults
from lab.slo.scrape_proxy import ScrapeProxy, proxy_beside


async def main() -> None:
    """Serve until SIGTERM."""
    clock = SystemClock()
    async with KubeClient.from_environment(user_agent="toil-lab-discovery") as kube:
        targets, board = PodTargets(kube, clock), Board(PART, clock)
        app = discovery_app(targets)
        proxy_beside(app, ScrapeProxy(targets, ScrapeFaults(board.active), clock))

        async def following(_: web.Application) -> AsyncIterator[None]:
            task = asyncio.create_task(board.follow(kube))
            yield
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        app.cleanup_ctx.append(following)
        await serve(app, port=PORT, ready=lambda: targets.synced, registry=CollectorRegistry())


if __name__ == "__main__":
    run(main)
