"""The service proxy: listens on every cluster IP and balances connections over the ready endpoints.

A port without ready endpoints is not listened on, so the kernel refuses the connection at once, as
kube-proxy's REJECT does. Connections that exist are left alone when their endpoint goes away.
"""

from __future__ import annotations

import asyncio
import errno
import logging

from lab.kube.objects import KubeObject, labels_of, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.network.affinity import Affinity
from lab.localkube.network.backends import Address, Route, routes
from lab.localkube.network.relay import BackendSide, ClientSide
from lab.localkube.protocols import Registry, WatchEvent

log = logging.getLogger(__name__)

SERVICES = builtin("Service")
SLICES = builtin("EndpointSlice")
ENDPOINTS = builtin("Endpoints")
NODES = builtin("Node")
SERVICE_NAME = "kubernetes.io/service-name"
CONNECT_TIMEOUT = 3.0
"""Seconds that one backend has to accept."""
RETRY_BIND = 1.0
"""Seconds between attempts to listen on a taken address."""
BACKLOG = 1024


class Listener:
    """One front address and the backends behind it."""

    def __init__(self, route: Route, connections: set[ClientSide]) -> None:
        self.route = route
        self._connections = connections
        self._server: asyncio.Server | None = None
        self._turn = 0
        self._affinity = Affinity()
        self.complained = False

    @property
    def open(self) -> bool:
        """Is it accepting connections?"""
        return self._server is not None

    async def start(self) -> None:
        """Accept connections. Raises OSError when the address is taken."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            host, port = self.route.front
            self._server = await loop.create_server(
                lambda: ClientSide(self._dial, self._connections), host, port, backlog=BACKLOG
            )
            self.complained = False

    def stop(self) -> None:
        """Accept no more; connections that exist live on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _dial(self, client: str) -> BackendSide | None:
        """Connect to a backend: round robin, and the next one when one does not accept."""
        loop = asyncio.get_running_loop()
        for host, port in self._order(client):
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    _, side = await loop.create_connection(BackendSide, host, port)
            except OSError as error:
                log.debug("%s: %s:%d does not accept: %s", self.route.service, host, port, error)
            else:
                if self.route.affinity:
                    self._affinity.remember(client, (host, port), loop.time())
                return side
        return None

    def _order(self, client: str) -> list[Address]:
        backends = list(self.route.backends)
        if not backends:
            return []
        now, seconds = asyncio.get_running_loop().time(), self.route.affinity
        kept = self._affinity.backend_of(client, backends, seconds, now) if seconds else None
        if kept is not None:
            start = backends.index(kept)
        else:
            start = self._turn % len(backends)
            self._turn += 1
        return backends[start:] + backends[:start]


class ServiceProxy:
    """Serves the cluster IPs and node ports of all Services."""

    def __init__(self, registry: Registry, *, drain_seconds: float = 2.0) -> None:
        """`drain_seconds`: how long connections may go on after `run` is cancelled."""
        self._registry = registry
        self._drain = drain_seconds
        self._listeners: dict[str, dict[Address, Listener]] = {}
        self._connections: set[ClientSide] = set()
        self._dirty: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Proxy until cancelled."""
        unsubscribe = self._registry.subscribe(self._notice)
        self._mark_all()
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                dirty, self._dirty = self._dirty, set()
                for namespace, name in sorted(dirty):
                    await self._sync(namespace, name)
        finally:
            unsubscribe()
            for listeners in self._listeners.values():
                for listener in listeners.values():
                    listener.stop()
            await self._drain_connections()

    async def _drain_connections(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain
        while self._connections and loop.time() < deadline:
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            connection.abort()

    def _mark_all(self) -> None:
        for service in self._registry.list(SERVICES).items:
            self._mark(namespace_of(service), name_of(service))

    def _mark(self, namespace: str, name: str) -> None:
        self._dirty.add((namespace, name))
        self._changed.set()

    def _notice(self, resource: Resource, event: WatchEvent) -> None:
        obj = event.object
        if resource.key in ("services", "endpoints"):
            self._mark(namespace_of(obj), name_of(obj))
        elif resource.key == "endpointslices.discovery.k8s.io":
            name = labels_of(obj).get(SERVICE_NAME)
            if name:
                self._mark(namespace_of(obj), name)
        elif resource.key == "nodes" and (
            event.previous is None or event.type == "DELETED" or _addresses(event.previous) != _addresses(obj)
        ):
            self._mark_all()

    async def _sync(self, namespace: str, name: str) -> None:
        """Bring one service's listeners in line with its endpoints."""
        wanted = {route.front: route for route in self._routes(namespace, name)}
        listeners = self._listeners.setdefault(f"{namespace}/{name}", {})
        for front in [front for front in listeners if front not in wanted]:
            listeners.pop(front).stop()
        for front, route in wanted.items():
            listener = listeners.setdefault(front, Listener(route, self._connections))
            listener.route = route
            if not route.backends:
                listener.stop()
            else:
                await self._open(listener, namespace, name)
        if not listeners:
            del self._listeners[f"{namespace}/{name}"]

    async def _open(self, listener: Listener, namespace: str, name: str) -> None:
        if listener.open:
            return
        try:
            await listener.start()
        except OSError as error:
            host, port = listener.route.front
            if not listener.complained:
                why = "it is taken" if error.errno == errno.EADDRINUSE else str(error)
                log.warning("service %s cannot listen on %s:%d: %s; trying on", name, host, port, why)
                listener.complained = True
            asyncio.get_running_loop().call_later(RETRY_BIND, self._mark, namespace, name)

    def _routes(self, namespace: str, name: str) -> list[Route]:
        try:
            service = self._registry.get(SERVICES, namespace, name)
        except StatusError:
            return []
        slices = self._registry.list(SLICES, namespace, label_selector=f"{SERVICE_NAME}={name}").items
        endpoints: KubeObject | None = None
        if not slices:
            try:
                endpoints = self._registry.get(ENDPOINTS, namespace, name)
            except StatusError:
                endpoints = None
        nodes: list[str] = []
        if any(port.get("nodePort") for port in service["spec"].get("ports") or ()):
            nodes = [ip for node in self._registry.list(NODES).items for ip in _addresses(node)]
        return routes(service, slices, endpoints, nodes)


def _addresses(node: KubeObject) -> list[str]:
    """A node's internal addresses."""
    found = (node.get("status") or {}).get("addresses") or ()
    return [each["address"] for each in found if each.get("type") == "InternalIP"]
