"""Reaching into a pod: its log, a command beside it, its ports.

Source: kubernetes pkg/registry/core/pod/rest and apimachinery's remotecommand channel protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
from aiohttp import WSMsgType, web
from multidict import MultiMapping

from lab.kube.objects import KubeObject
from lab.kube.request import RequestInfo, truthy
from lab.kube.resources import Resource
from lab.kube.status import (
    StatusError,
    bad_request,
    internal_error,
    method_not_allowed,
    service_unavailable,
)
from lab.localkube.api.options import integer
from lab.localkube.api.portforward import CHANNELS, TUNNEL, Tunnel, forward, parse_ports
from lab.localkube.protocols import PodRuntime, Registry

EXEC_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_FIRST_LINE_WAIT = 0.2
_LARGEST_MESSAGE = 32 * 1024 * 1024
_MOST_UNSENT = 64 * 1024 * 1024
_MOST_UNREAD = 64


class PodStreams:
    """Answers log, exec, attach and portforward. Without a runtime (API only) these are 503."""

    def __init__(self, registry: Registry, runtime: PodRuntime | None) -> None:
        self._registry = registry
        self.runtime = runtime

    async def answer(self, request: web.Request, info: RequestInfo, resource: Resource) -> web.StreamResponse:
        """Serve a connecting subresource or the log. Raises StatusError."""
        if resource.key != "pods" or info.subresource == "proxy":
            raise service_unavailable(
                f"the {info.subresource} subresource of {resource.plural} is not served here"
            )
        pod = self._registry.get(resource, info.namespace, info.name)
        if info.subresource == "log":
            if info.verb != "get":
                raise method_not_allowed()
            return await self._log(request, info, pod)
        if request.method not in ("GET", "POST"):
            raise method_not_allowed()
        if info.subresource == "portforward":
            return await self._portforward(request, pod)
        if info.subresource == "exec":
            return await self._exec(request, info, pod)
        return await self._attach(request, info, pod)

    def _running(self) -> PodRuntime:
        if self.runtime is None:
            raise service_unavailable("no kubelet runs: this API server was started without one")
        return self.runtime

    async def _log(self, request: web.Request, info: RequestInfo, pod: KubeObject) -> web.StreamResponse:
        query = request.query
        container = choose_container(pod, query.get("container", ""))
        chunks = self._running().logs(
            info.namespace,
            info.name,
            container,
            follow=truthy(query.get("follow")),
            previous=truthy(query.get("previous")),
            tail_lines=_not_negative(query, "tailLines"),
            since_seconds=_not_negative(query, "sinceSeconds"),
            timestamps=truthy(query.get("timestamps")),
            limit_bytes=_not_negative(query, "limitBytes"),
        )
        return await _stream(request, chunks)

    async def _exec(self, request: web.Request, info: RequestInfo, pod: KubeObject) -> web.StreamResponse:
        query, command = request.query, request.query.getall("command", [])
        if not command:
            raise bad_request("you must specify at least 1 command")
        if not any(truthy(query.get(stream)) for stream in ("stdin", "stdout", "stderr")):
            raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
        container = choose_container(pod, query.get("container", ""))
        runtime = self._running()
        socket = await _upgrade(request, EXEC_PROTOCOLS)
        async with _Channels(socket, stdin=truthy(query.get("stdin"))) as channels:
            try:
                code = await runtime.exec(
                    info.namespace,
                    info.name,
                    container,
                    command,
                    stdin=channels.stdin(),
                    stdout=lambda data: channels.send(_STDOUT, data),
                    stderr=lambda data: channels.send(_STDERR, data),
                )
                outcome = _exit_status(code)
            except StatusError as error:
                outcome = error.status()
            except OSError as error:
                outcome = internal_error(f"error executing command in container: {error}").status()
            await channels.finish(outcome)
        return socket

    async def _attach(self, request: web.Request, info: RequestInfo, pod: KubeObject) -> web.StreamResponse:
        container = choose_container(pod, request.query.get("container", ""))
        chunks = self._running().logs(info.namespace, info.name, container, follow=True, tail_lines=0)
        socket = await _upgrade(request, EXEC_PROTOCOLS)
        async with _Channels(socket, stdin=False) as channels:
            try:
                async for chunk in chunks:
                    channels.send(_STDOUT, chunk)
                outcome = _exit_status(0)
            except StatusError as error:
                outcome = error.status()
            await channels.finish(outcome)
        return socket

    async def _portforward(self, request: web.Request, pod: KubeObject) -> web.StreamResponse:
        address = (pod.get("status") or {}).get("podIP")
        if (pod.get("status") or {}).get("phase") != "Running" or not address:
            phase = (pod.get("status") or {}).get("phase", "Pending")
            raise bad_request(f"unable to forward port because pod is not running. Current status={phase}")
        if TUNNEL in request.headers.get("Sec-WebSocket-Protocol", ""):
            socket = await _upgrade(request, (TUNNEL,))
            await Tunnel(socket, str(address)).run()
            return socket
        ports = parse_ports(request.query.getall("ports", []))
        socket = await _upgrade(request, CHANNELS)
        await forward(socket, str(address), ports)
        return socket


def choose_container(pod: KubeObject, wanted: str) -> str:
    """The container to work on: the one asked for, or the only one. Raises StatusError 400."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    containers = [c["name"] for c in spec.get("containers") or ()]
    init = [c["name"] for c in spec.get("initContainers") or ()]
    if wanted:
        if wanted not in (*containers, *init):
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(containers) == 1:
        return str(containers[0])
    choices = f"choose one of: [{' '.join(containers)}]"
    if init:
        choices += f" or one of the init containers: [{' '.join(init)}]"
    raise bad_request(f"a container name must be specified for pod {name}, {choices}")


def _not_negative(query: MultiMapping[str], name: str) -> int | None:
    value = integer(query, name)
    if value is not None and value < 0:
        why = f"Invalid value: {value}: must be greater than or equal to 0"
        raise StatusError(422, "Invalid", f'PodLogOptions "" is invalid: {name}: {why}')
    return value


async def _stream(request: web.Request, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send chunks as they come. An error before the first one is the answer itself."""
    iterator = aiter(chunks)
    first = asyncio.ensure_future(anext(iterator, b""))
    try:
        await asyncio.wait([first], timeout=_FIRST_LINE_WAIT)
        if first.done():
            first.result()  # raises what went wrong, while a status can still be sent
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(await first)
        with contextlib.suppress(StatusError):
            async for chunk in iterator:
                await response.write(chunk)
        await response.write_eof()
    finally:
        first.cancel()
        close = getattr(iterator, "aclose", None)
        if close is not None and (first.done() or first.cancelled()):
            with contextlib.suppress(RuntimeError):
                await close()
    return response


async def _upgrade(request: web.Request, protocols: tuple[str, ...]) -> web.WebSocketResponse:
    if "websocket" not in request.headers.get("Upgrade", "").lower():
        raise bad_request("Upgrade request required: only WebSockets are served for streams")
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=_LARGEST_MESSAGE)
    await socket.prepare(request)
    return socket


class _Channels:
    """The channel protocol: the first byte of every message says which stream it belongs to."""

    def __init__(self, socket: web.WebSocketResponse, *, stdin: bool) -> None:
        self._socket = socket
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._unsent = 0
        self._owner = asyncio.current_task()
        self._incoming: asyncio.Queue[bytes | None] | None = asyncio.Queue(_MOST_UNREAD) if stdin else None
        self._writer = asyncio.create_task(self._write())
        self._reader = asyncio.create_task(self._read())

    def stdin(self) -> AsyncIterator[bytes] | None:
        """What the client types, until it closes; None when it sends nothing."""
        return self._typed(self._incoming) if self._incoming is not None else None

    def send(self, channel: int, data: bytes) -> None:
        """Queue output of one stream. A client that takes too little of too much is hung up on."""
        self._unsent += len(data)
        if self._unsent > _MOST_UNSENT and self._owner is not None:
            self._owner.cancel()
            return
        self._outgoing.put_nowait(bytes([channel]) + data)

    async def finish(self, outcome: KubeObject) -> None:
        """Send how it ended, after all output."""
        self.send(_ERROR, orjson.dumps(outcome))
        self._outgoing.put_nowait(None)
        with contextlib.suppress(ConnectionError):
            await self._writer

    async def __aenter__(self) -> _Channels:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._writer, self._reader):
            task.cancel()
        await asyncio.gather(self._writer, self._reader, return_exceptions=True)
        await self._socket.close()

    async def _write(self) -> None:
        while (message := await self._outgoing.get()) is not None:
            await self._socket.send_bytes(message)
            self._unsent -= len(message) - 1

    async def _read(self) -> None:
        async for message in self._socket:
            data = message.data if message.type is WSMsgType.BINARY else str(message.data).encode()
            if self._incoming is None or not data:
                continue
            if data[0] == _CLOSE:
                break
            if data[0] == _STDIN:
                await self._incoming.put(data[1:])
        if self._incoming is not None:
            await self._incoming.put(None)

    async def _typed(self, queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
        while (data := await queue.get()) is not None:
            yield data


def _exit_status(code: int) -> KubeObject:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes: list[dict[str, Any]] = [{"reason": "ExitCode", "message": str(code)}]
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": causes},
    }
