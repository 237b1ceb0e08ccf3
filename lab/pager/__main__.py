"""`python -m lab.pager`: the pager as a pod.

Environment: POD_IP, LAB_HOUR_SECONDS, LAB_ADMIN_TOKEN, PAGER_DATA (the folder of its journal), PAGER_URL (how
others reach it, for links).
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock
from lab.metrics.pod import bind_host, run, serve
from lab.pager.server import pager_app
from lab.pager.settings import PodSettings

PORT = 8080


async def main() -> None:
    """Serve until SIGTERM."""
    settings = PodSettings.from_environment()
    registry = CollectorRegistry()
    app = pager_app(
        clock=SystemClock(),
        scale=settings.scale,
        registry=registry,
        data=Path(settings.data) if settings.data else None,
        admin_token=settings.admin_token,
        external_url=settings.pager_url or f"http://{bind_host()}:{PORT}",
    )
    await serve(app, port=PORT, registry=registry)


if __name__ == "__main__":
    run(main)
