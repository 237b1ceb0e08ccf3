"""Putting a gateway together and running it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from lab.core.clock import Clock, SystemClock
from lab.gateway.admin import admin_app
from lab.gateway.audit import AuditLog
from lab.gateway.budget import ShadowBudget
from lab.gateway.control import Control
from lab.gateway.exchange import compose
from lab.gateway.forward import Forward
from lab.gateway.identity import Clients
from lab.gateway.measures import Measures
from lab.gateway.server import Front, server_context, start_front
from lab.gateway.settings import GatewaySettings
from lab.gateway.stages import Audit, Authenticate, CheckControl, Decide
from lab.gateway.upstream import Upstream
from lab.kube.kubeconfig import Connection, connection_from_environment
from lab.metrics.pod import serve

log = logging.getLogger("lab.gateway")
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts that something outside the chain needs."""

    front: Front
    control: Control
    clients: Clients
    book: AuditLog
    measures: Measures
    upstream: Upstream

    def ready(self) -> bool:
        """Can it serve automations: is the control state readable, and is any client known?"""
        return self.control.last.readable and self.clients.count > 0 and self.book.sound


def build(settings: GatewaySettings, connection: Connection, clock: Clock) -> Gateway:
    """Wire the chain. Raises NotReadyError when the audit log cannot be opened."""
    book = AuditLog(settings.audit_file)
    measures = Measures()
    upstream = Upstream(connection, settings.actor_namespace)
    control = Control(upstream.read, *settings.control)
    clients = Clients(settings.clients, clock)
    budget = ShadowBudget(upstream.read, clock, settings.scale.real(minutes=settings.settle_minutes))
    chain = compose(
        [
            Audit(book, measures, clock),
            Authenticate(clients),
            CheckControl(control, measures),
            Decide(book),
        ],
        Forward(upstream, control, budget, clock),
    )
    return Gateway(Front(chain, control, clock), control, clients, book, measures, upstream)


async def main() -> None:
    """Run until SIGTERM. Raises LabError when the gateway cannot start."""
    settings, clock = GatewaySettings.from_environment(), SystemClock()
    gateway = build(settings, connection_from_environment(), clock)
    runner = await start_front(gateway.front, settings.host, settings.port, server_context(settings.tls))
    log.info("the Kubernetes API is served on %s:%d", settings.host, settings.port)
    watcher = asyncio.create_task(_follow(gateway, clock))
    try:
        app = admin_app(gateway.book, settings.admin_token)
        await serve(
            app,
            host=settings.host,
            port=settings.admin_port,
            ready=gateway.ready,
            registry=gateway.measures.registry,
        )
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        await runner.cleanup()
        await gateway.front.drain()
        await gateway.upstream.close()
        gateway.book.close()


async def _follow(gateway: Gateway, clock: Clock) -> None:
    """Keep the last known control state fresh: reads are made in its mode, and the metrics show it."""
    last = None
    while True:
        state = await gateway.control.read()
        gateway.measures.show(state)
        if state != last:
            switch = "engaged" if state.stopped else "off"
            log.info("mode %s, kill switch %s %s", state.mode.value, switch, state.reason)
            last = state
        await clock.sleep(_POLL_SECONDS)
