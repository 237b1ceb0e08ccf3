"""Putting a gateway together and running it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.core.audit import Mode
from lab.core.clock import Clock, SystemClock
from lab.gateway.admin import admin_app
from lab.gateway.approvals import Approvals
from lab.gateway.audit import AuditLog
from lab.gateway.control import Control
from lab.gateway.eviction import ShadowEvictions
from lab.gateway.exchange import compose
from lab.gateway.faults.stage import Faults
from lab.gateway.forward import Forward
from lab.gateway.identity import Clients
from lab.gateway.killswitch import KillSwitch
from lab.gateway.ledger import Ledger
from lab.gateway.measures import Measures
from lab.gateway.mutate import Mutate
from lab.gateway.names import PlainNames
from lab.gateway.passage import Passages
from lab.gateway.rehearsals import Rehearsals
from lab.gateway.safeguards import Safeguards
from lab.gateway.server import Front, server_context, start_front
from lab.gateway.settings import GatewaySettings
from lab.gateway.sizes import Sizes
from lab.gateway.stages import Audit, Authenticate, CheckControl, Decide, Stoppable
from lab.gateway.store.app import Store
from lab.gateway.store.backend import Backend
from lab.gateway.upstream import Upstream
from lab.gateway.view import Intents
from lab.kube.kubeconfig import Connection, connection_from_environment
from lab.kube.renaming import Renaming
from lab.kube.status import StatusError
from lab.metrics.pod import serve

if TYPE_CHECKING:
    from lab.gateway.database.desk import Desk

log = logging.getLogger("lab.gateway")
_POLL_SECONDS = 1.0
_REHEARSAL_MINUTES = 30.0
_OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""Of Python's garbage collector: at its own 700, collecting was a sixth of all work."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts that something outside the chain needs."""

    front: Front
    control: Control
    clients: Clients
    book: AuditLog
    measures: Measures
    upstream: Upstream
    ledger: Ledger
    switch: KillSwitch
    approvals: Approvals
    store: Store | None
    intents: Intents
    faults: Faults
    desk: Desk | None

    def ready(self) -> bool:
        """Can it serve automations: is the control state readable, and is any client known?"""
        return self.control.last.readable and self.clients.count > 0 and self.book.sound

    async def follow(self, clock: Clock) -> None:
        """Keep the control state fresh until cancelled: every change by a watch, and a look every second."""
        watching = asyncio.create_task(self._watch(clock))
        last = None
        try:
            while True:
                state = await self.control.read()
                self.measures.show(state)
                acts = state.mode is not Mode.SHADOW
                self.measures.show_budgets(self.ledger.used(state.budgets, acts=acts), state.budgets.limits())
                if state != last:
                    switch = "engaged" if state.stopped else "off"
                    log.info("mode %s, kill switch %s %s", state.mode.value, switch, state.reason)
                    last = state
                await clock.sleep(_POLL_SECONDS)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def close(self) -> None:
        """Finish what was begun, and let go of everything."""
        await self.front.drain()
        await self.upstream.close()
        await self.approvals.close()
        if self.store is not None:
            await self.store.close()
        self.book.close()

    async def _watch(self, clock: Clock) -> None:
        while True:
            try:
                await self.control.follow(self.upstream.watch)
            except (StatusError, OSError) as error:
                log.info("the control state cannot be watched, it is read every second: %s", error)
            await clock.sleep(_POLL_SECONDS)


def build(settings: GatewaySettings, connection: Connection, clock: Clock) -> Gateway:
    """Wire the chain. Raises NotReadyError when the audit log cannot be opened."""
    book, measures, scale = AuditLog(settings.audit_file), Measures(), settings.scale
    renaming = Renaming(settings.namespaces)
    upstream = Upstream(connection, settings.actor_namespace, renaming)
    control = Control(upstream.read, *settings.control)
    clients = Clients(settings.clients, clock)
    settle = scale.real(minutes=settings.settle_minutes)
    ledger = Ledger(clock, scale, settings.settle_minutes)
    rehearsals = Rehearsals(clock, scale.real(minutes=_REHEARSAL_MINUTES))
    ledger.recall(book.recent(clock.now(), scale.real(minutes=ledger.keep_minutes)))
    rehearsals.recall(book.recent(clock.now(), scale.real(minutes=_REHEARSAL_MINUTES)))
    approvals = Approvals(settings.pager_url, settings.admin_token)
    passages = Passages()
    safeguards = Safeguards(ledger, rehearsals, approvals, Sizes(upstream.read), clock)
    intents = Intents(clock, settle)
    evictions = ShadowEvictions(upstream.read, clock, settle)
    mutate = Mutate(upstream, control, passages, safeguards, evictions, intents, clock)
    audit = Audit(book, measures, rehearsals, clock)
    faults = Faults(control, clock, measures)
    names = [PlainNames(renaming)] if renaming.active else []
    check, decide = CheckControl(control, passages, measures), Decide(book)
    chain = compose(
        [audit, Authenticate(clients), *names, Stoppable(passages), faults, check, decide],
        Forward(upstream, control, passages, safeguards, mutate, intents),
    )
    control.on_stop, passages.on_cut = passages.stop, audit.cut
    switch = KillSwitch(upstream, control, control.path, clock)
    front = Front(chain, control, passages, clock)
    store = None
    if settings.store_url:
        backend = Backend(settings.store_url, settings.store_key, settings.store_secret, clock)
        store = Store(
            backend, clients, (audit, check, decide), control, passages, safeguards, faults.scene, clock
        )
    desk = None
    if settings.database_url:
        from lab.gateway.database.desk import Desk  # the driver weighs 10 MiB, and few labs want it

        stages = (audit, check, decide)
        desk = Desk(settings, stages, control, passages, safeguards, book, ledger, clock)
    return Gateway(
        front,
        control,
        clients,
        book,
        measures,
        upstream,
        ledger,
        switch,
        approvals,
        store,
        intents,
        faults,
        desk,
    )


async def main() -> None:
    """Run until SIGTERM. Raises LabError when the gateway cannot start."""
    settings, clock = GatewaySettings.from_environment(), SystemClock()
    gateway = build(settings, connection_from_environment(), clock)
    gc.freeze()  # all that is there by now stays: no collection has to look at it
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    runner = await start_front(gateway.front, settings.host, settings.port, server_context(settings.tls))
    log.info("the Kubernetes API is served on %s:%d", settings.host, settings.port)
    runners = [runner]
    if gateway.store is not None:
        runners.append(await gateway.store.start(settings.host, settings.store_port))
        log.info("the object store is served on %s:%d", settings.host, settings.store_port)
    connection = gateway.upstream.connection
    loops = [gateway.follow(clock), gateway.faults.run(connection, gateway.upstream.renaming)]
    if gateway.desk is not None:
        loops.append(gateway.desk.run())
    following = asyncio.gather(*loops)
    try:
        app = admin_app(gateway.book, settings.admin_token, gateway.switch)
        await serve(
            app,
            host=settings.host,
            port=settings.admin_port,
            ready=gateway.ready,
            registry=gateway.measures.registry,
        )
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        for each in runners:
            await each.cleanup()
        await gateway.close()
