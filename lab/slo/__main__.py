"""`python -m lab.slo`: beside Prometheus, tells it which pods there are and carries its scrapes.

Environment: PROMETHEUS_UPSTREAM, the URL of a Prometheus that the lab does not run; questions are passed on
to it where the lab's own would answer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock
from lab.faults.board import Board
from lab.kube.client import KubeClient
from lab.metrics.pod import bind_host, run, serve
from lab.slo.discovery import PORT, PodTargets, discovery_app
from lab.slo.query_proxy import UPSTREAM_VARIABLE, QueryProxy, answering
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
        upstream = os.environ.get(UPSTREAM_VARIABLE)
        if not upstream:
            await serve(app, port=PORT, ready=lambda: targets.synced, registry=CollectorRegistry())
            return
        questions = QueryProxy(upstream)
        answering(app, questions, bind_host())

        async def ready() -> bool:
            return targets.synced and await questions.is_ready()

        await serve(app, port=PORT, ready=ready, registry=CollectorRegistry())


if __name__ == "__main__":
    run(main)
