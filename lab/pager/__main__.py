"""`python -m lab.pager`: the pager as a pod.

Environment: POD_IP, LAB_HOUR_SECONDS, LAB_ADMIN_TOKEN, PAGER_DATA (the folder of its journal), PAGER_URL (how
others reach it, for links). In a cluster it follows the faults that bite in it; without one there are none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock
from lab.errors import NotReadyError
from lab.faults.board import Board
from lab.kube.client import KubeClient
from lab.metrics.pod import bind_host, run, serve
from lab.pager.server import pager_app
from lab.pager.settings import PodSettings
from lab.pager.trouble import PART

PORT = 8080
log = logging.getLogger("lab.pager")


async def main() -> None:
    """Serve until SIGTERM."""
    settings = PodSettings.from_environment()
    registry, clock = CollectorRegistry(), SystemClock()
    board = Board(PART, clock)
    app = pager_app(
        clock=clock,
        scale=settings.scale,
        registry=registry,
        data=Path(settings.data) if settings.data else None,
        admin_token=settings.admin_token,
        external_url=settings.pager_url or f"http://{bind_host()}:{PORT}",
        rows=board.active,
    )
    app.cleanup_ctx.append(lambda _: _following(board))
    await serve(app, port=PORT, registry=registry)


async def _following(board: Board) -> AsyncIterator[None]:
    try:
        kube = KubeClient.from_environment(user_agent="toil-lab-pager")
    except NotReadyError as error:
        log.info("no fault can bite here: %s", error.message)
        yield
        return
    async with kube:
        task = asyncio.create_task(board.follow(kube), name="faults")
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


if __name__ == "__main__":
    run(main)
