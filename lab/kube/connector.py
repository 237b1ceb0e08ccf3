"""Connections to an API server that end with the client that made them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection as PooledConnection
    from aiohttp.tracing import Trace

    from lab.kube.kubeconfig import Connection


class ProxyError(aiohttp.ClientError):
    """A proxy that does not answer or lets nobody through. It says which, and where it is named."""


class Connector(aiohttp.TCPConnector):
    """A pool whose `close` also ends connections that it has let go of already.

    A stream that is dropped before its end leaves the pool at once, while its TLS goodbye waits for an answer
    for up to 30 seconds, and so longer than the event loop may live. `proxy_url`: what sessions of it go
    through.
    """

    def __init__(self, connection: Connection) -> None:
        """Raises UsageError when the environment names a proxy that cannot be used."""
        self._proxy = connection.proxy()
        self.proxy_url = self._proxy.url if self._proxy else None
        context = connection.ssl_context()
        super().__init__(ssl=context if context is not None else True, limit=0)
        self._transports: set[asyncio.Transport] = set()

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> PooledConnection:
        """A connection of the pool, or a new one. Raises ProxyError when it is the proxy that fails."""
        try:
            made = await super().connect(req, traces, timeout)
        except aiohttp.ClientHttpProxyError as error:
            raise ProxyError(f"the proxy {self._proxy} answers {error.status} {error.message}") from error
        except aiohttp.ClientProxyConnectionError as error:
            raise ProxyError(f"the proxy {self._proxy} cannot be reached: {error.strerror}") from error
        except aiohttp.ClientConnectorDNSError as error:
            if self._proxy is None:
                raise
            raise ProxyError(f"the proxy {self._proxy} has a name that is not known here") from error
        transport, protocol = made.transport, made.protocol
        if transport is not None and protocol is not None and transport not in self._transports:
            closed = protocol.closed
            if closed is not None:
                self._transports.add(transport)
                closed.add_done_callback(partial(self._forget, transport))
        return made

    async def close(self, *, abort_ssl: bool = False) -> None:
        """End every connection now."""
        for transport in tuple(self._transports):
            transport.abort()
        await super().close(abort_ssl=abort_ssl)
        await asyncio.sleep(0)  # aborted transports close their sockets in the loop's next turn

    def _forget(self, transport: asyncio.Transport, closed: asyncio.Future[None]) -> None:
        self._transports.discard(transport)
        if not closed.cancelled():
            closed.exception()  # how it ended was said to whoever used it
