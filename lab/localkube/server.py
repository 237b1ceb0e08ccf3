"""One cluster in one process: store, registry, controllers, service proxy, kubelet and API, composed.

Cluster.open() ── registry, certificates, tokens ──► run(): API listens, loops start, ready-file appears
                                                      stop: kubelet ends the pods, loops end, store closes
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.core.clock import Clock, SystemClock
from lab.errors import LabError
from lab.kube.kubeconfig import write_kubeconfig
from lab.kube.resources import builtin
from lab.localkube.api.app import Api
from lab.localkube.api.bootstrap import bootstrap, publish_kubernetes_service
from lab.localkube.api.identity import Tokens
from lab.localkube.api.limits import server_options
from lab.localkube.credentials import Credentials, certificates_made, write_private

log = logging.getLogger(__name__)

PORT = 6443
MOST_NODES = 20
TOKEN_SECONDS = 365 * 24 * 3600
"""Life of the tokens that the kubelet mounts: as long as any lab lives, for programs that read them once."""

_SHUTDOWN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Settings:
    """data_dir: all state. block: the n of 127.n.0.0/16 (1..254). images: the image map, None for
    the lab's own.

    ready_file: there while /readyz is ok. backoff_max: longest restart delay in seconds, None for the
    kubelet's own. api_only: no kubelet and no service proxy. nodes: how many virtual nodes. node_grace:
    seconds without a heartbeat after which a node counts as lost, toleration_seconds: how long a pod that
    does not say stays there; None for upstream's 40 and 300. metrics_window: seconds over which the use of
    processors is averaged. autoscaler_sync: seconds between two looks at an autoscaler. warm: load at once
    what pods are forked from; otherwise the first pod does.
    """

    data_dir: Path
    block: int
    images: Path | None = None
    ready_file: Path | None = None
    backoff_max: float | None = None
    api_only: bool = False
    nodes: int = 1
    node_grace: float | None = None
    toleration_seconds: int | None = None
    metrics_window: float = 15.0
    autoscaler_sync: float = 15.0
    warm: bool = False

    @property
    def host(self) -> str:
        """The API server's address."""
        return f"127.{self.block}.0.1"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.host}:{PORT}"

    @property
    def service_range(self) -> list[str]:
        """The addresses that cluster IPs come from."""
        return [f"127.{self.block}.{c}.{d}" for c in range(200, 251) for d in range(1, 255)]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.data_dir / "admin.kubeconfig"


class Cluster:
    """A cluster that runs until `stop` is called (or set from a signal handler)."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        self._stop = asyncio.Event()
        self._ready = False

    def stop(self) -> None:
        """Ask it to end; safe from a signal handler of the loop."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until stopped. Raises LabError when the address or the data directory is taken."""
        settings, private = self.settings, self.settings.data_dir / "pki"
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        listener = _bind(settings.host, PORT)
        with contextlib.closing(listener), contextlib.ExitStack() as stack:
            with certificates_made(private, settings.host):
                registry = stack.enter_context(contextlib.closing(self._open_registry()))
            await self._serve(registry, Credentials(private, settings.host), listener)

    def _open_registry(self) -> Any:
        from lab.localkube.registry.registry import open_registry

        more: dict[str, Any] = {}
        if self.settings.toleration_seconds is not None:
            more["toleration_seconds"] = self.settings.toleration_seconds
        store, addresses = self.settings.data_dir / "store", self.settings.service_range
        registry = open_registry(store, clock=self._clock, service_range=addresses, **more)
        bootstrap(registry)
        return registry

    async def _serve(self, registry: Any, credentials: Credentials, listener: Any) -> None:
        settings = self.settings
        publish_kubernetes_service(registry, "", settings.host, PORT)
        tokens = Tokens(credentials.signing_key, self._clock)
        api = Api(
            registry,
            clock=self._clock,
            tokens=tokens,
            admin_token=credentials.admin_token,
            server=f"{settings.host}:{PORT}",
            ready=lambda: self._ready,
            metrics_window=settings.metrics_window,
        )
        runner = web.AppRunner(
            api.application(),
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            access_log=None,
            keepalive_timeout=75,
            **server_options(),
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listener, ssl_context=credentials.context).start()
            async with _Loops() as loops:
                self._start(loops, registry, api, credentials, tokens)
                write_kubeconfig(
                    settings.kubeconfig,
                    settings.server,
                    credentials.ca_pem,
                    credentials.admin_token,
                    user="localkube",
                )
                self._ready = True
                self._announce()
                await loops.until(self._stop)
        finally:
            if settings.ready_file is not None:
                settings.ready_file.unlink(missing_ok=True)
            await runner.cleanup()

    def _start(
        self, loops: _Loops, registry: Any, api: Api, credentials: Credentials, tokens: Tokens
    ) -> None:
        from lab.localkube.controllers.manager import Controllers

        grace = self.settings.node_grace
        lenient: dict[str, Any] = {} if grace is None else {"node_grace": grace}
        ca_pem = credentials.ca_pem.decode()
        volumes = None if self.settings.api_only else self.settings.data_dir / "volumes"
        controllers = Controllers(
            registry,
            clock=self._clock,
            ca_pem=ca_pem,
            volumes=volumes,
            usage=api.metrics.usage,
            autoscaler_sync=self.settings.autoscaler_sync,
            **lenient,
        )
        loops.start("controllers", controllers.run())
        if self.settings.api_only:
            return
        from lab.localkube.kubelet.nodes import Nodes
        from lab.localkube.network.proxy import ServiceProxy

        loops.start("service proxy", ServiceProxy(registry).run())
        more: dict[str, Any] = {}
        if self.settings.backoff_max is not None:
            more["backoff_max"] = self.settings.backoff_max
        if grace is not None:
            more["lease_seconds"] = grace
        nodes = Nodes(
            registry,
            count=self.settings.nodes,
            data_dir=self.settings.data_dir / "kubelet",
            block=self.settings.block,
            images=self.settings.images,
            clock=self._clock,
            issue_token=token_issuer(registry, tokens),
            api_server=self.settings.server,
            ca_file=credentials.ca_file,
            warm=self.settings.warm,
            **more,
        )
        api.streams.runtime = nodes
        loops.start("nodes", nodes.run(), first_to_stop=True)

    def _announce(self) -> None:
        if self.settings.ready_file is None:
            return
        ready = {
            "server": self.settings.server,
            "kubeconfig": str(self.settings.kubeconfig),
            "pid": os.getpid(),
        }
        write_private(self.settings.ready_file, json.dumps(ready).encode() + b"\n")


def token_issuer(registry: Any, tokens: Tokens) -> Callable[..., str]:
    """The kubelet's TokenSource: a token of a ServiceAccount, bound to a pod."""

    def issue(
        namespace: str, account: str, pod: str, *, audience: str = "", seconds: int = TOKEN_SECONDS
    ) -> str:
        found = registry.get(builtin("serviceaccounts"), namespace, account)
        bound = registry.get(builtin("pods"), namespace, pod)
        audiences = [audience] if audience else []
        return tokens.issue(namespace, found, audiences=audiences, seconds=seconds, pod=bound)[0]

    return issue


def _bind(host: str, port: int) -> Any:
    """Claim the cluster's block by binding its API address."""
    import socket

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise LabError(
                f"{host}:{port} is taken: another cluster, or another program, holds it",
                hint="choose another --block, or stop the other one",
            ) from error
        raise LabError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


class _Loops:
    """Background loops that live together: one that dies ends all; they are stopped in a chosen order."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._first: list[str] = []

    def start(self, name: str, loop: Coroutine[Any, Any, None], *, first_to_stop: bool = False) -> None:
        """Start one; `first_to_stop` ones end while the others still work for them."""
        self._tasks[name] = asyncio.create_task(loop, name=name)
        if first_to_stop:
            self._first.append(name)

    async def until(self, stop: asyncio.Event) -> None:
        """Wait for the stop. Raises LabError when a loop dies before it."""
        waiter = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([waiter, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        for name, task in self._tasks.items():
            if task in done and not stop.is_set():
                log.error("the %s ended unexpectedly", name, exc_info=task.exception())
                raise LabError(f"the {name} ended unexpectedly", hint="its log says why")

    async def __aenter__(self) -> _Loops:
        return self

    async def __aexit__(self, *_: object) -> None:
        for names in (self._first, [name for name in self._tasks if name not in self._first]):
            tasks = [self._tasks[name] for name in names]
            for task in tasks:
                task.cancel()
            for name, outcome in zip(
                names, await asyncio.gather(*tasks, return_exceptions=True), strict=True
            ):
                if isinstance(outcome, Exception):
                    log.error("the %s did not end well", name, exc_info=outcome)
