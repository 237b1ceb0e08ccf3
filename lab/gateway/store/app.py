"""Putting the object store's side together: the gateway's own stages around S3's."""

from __future__ import annotations

from aiohttp import web

from lab.core.clock import Clock
from lab.gateway.control import Control
from lab.gateway.exchange import Stage, compose
from lab.gateway.faults.hit import Scene
from lab.gateway.identity import Clients
from lab.gateway.passage import Passages
from lab.gateway.safeguards import Safeguards
from lab.gateway.server import Front, start_front
from lab.gateway.store.answers import as_s3
from lab.gateway.store.backend import Backend
from lab.gateway.store.entrance import Entrance
from lab.gateway.store.forward import Forward
from lab.gateway.store.trouble import Trouble


class Store:
    """A front that speaks S3, with the parts that the Kubernetes side has already.

    stages: the gateway's own audit, control and decision, in this order.
    """

    def __init__(
        self,
        backend: Backend,
        clients: Clients,
        stages: tuple[Stage, Stage, Stage],
        control: Control,
        passages: Passages,
        safeguards: Safeguards,
        scene: Scene,
        clock: Clock,
    ) -> None:
        audit, check, decide = stages
        trouble = Trouble(scene, clock)
        chain = compose(
            [as_s3, audit, Entrance(clients, clock), trouble, check, decide],
            Forward(backend, control, passages, safeguards, trouble, clock),
        )
        self._front = Front(chain, control, passages, clock)
        self._backend = backend

    async def start(self, host: str, port: int) -> web.ServerRunner:
        """Listen, in plain HTTP. Raises NotReadyError when the address cannot be bound."""
        return await start_front(self._front, host, port, None)

    async def close(self) -> None:
        """Finish what was begun."""
        await self._front.drain()
        await self._backend.close()
