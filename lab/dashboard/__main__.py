"""`python -m lab.dashboard`: the live page as a pod.

Environment: POD_IP, LAB_ADMIN_TOKEN, PAGER_URL, GATEWAY_ADMIN_URL, FAULTS_URL, PROMETHEUS_URL.
"""

from __future__ import annotations

import contextlib
import os

from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock
from lab.dashboard.access import page_token
from lab.dashboard.server import Page, application
from lab.dashboard.state import Sources
from lab.errors import ConfigError
from lab.jsonhttp import HttpJson
from lab.kube.client import KubeClient
from lab.metrics.pod import run, serve

_VARIABLES = ("LAB_ADMIN_TOKEN", "PAGER_URL", "GATEWAY_ADMIN_URL", "FAULTS_URL", "PROMETHEUS_URL")


async def main() -> None:
    """Serve until SIGTERM. Raises ConfigError naming every variable that is missing."""
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    if missing:
        raise ConfigError("the pod's environment is not valid", [f"{name} is empty" for name in missing])
    token, *urls = (os.environ[name] for name in _VARIABLES)
    async with contextlib.AsyncExitStack() as stack:
        services = [HttpJson(url, token if number < 3 else "") for number, url in enumerate(urls)]
        for service in services:
            stack.push_async_callback(service.close)
        pager, gateway, faults, prometheus = services
        kube = await stack.enter_async_context(KubeClient.from_environment(user_agent="lab-dashboard"))
        clock = SystemClock()
        sources = Sources(
            pager=pager, gateway=gateway, faults=faults, prometheus=prometheus, kube=kube, clock=clock
        )
        app = application(Page(sources, clock), page_token(token))
        await serve(app, registry=CollectorRegistry())


if __name__ == "__main__":
    run(main)
