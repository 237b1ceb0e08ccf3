"""The client's end of exec and attach, over WebSocket or SPDY.

WebSocket: the first byte of every message is its channel: 0 stdin, 1 stdout, 2 stderr, 3 outcome, 4 sizes of
the terminal; from v5 on 255 closes the channel that the second byte names. SPDY: a stream for each, which the
client opens. Up to v3 the outcome is a sentence, and nothing when all is well; from v4 on it is a Status.
Source: kubernetes pkg/kubelet/cri/streaming/remotecommand, client-go/tools/remotecommand.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import orjson
from aiohttp import WSMsgType, web

from lab.kube.objects import KubeObject
from lab.kube.takeover import RawConnection, taken
from lab.localkube.api.spdyconnection import Inbox, SpdyConnection, Stream
from lab.localkube.api.upgrading import FAREWELL_SECONDS, is_websocket, open_spdy, open_websocket
from lab.localkube.protocols import Streams

SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
CREATION_SECONDS = 30.0
"""How long a client may take to open its streams."""
_LONGEST_SIZE = 256
_STDIN, _STDOUT, _STDERR, _OUTCOME, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a client asks for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


class Session(Protocol):
    """One client. `reading` ends when it has gone."""

    streams: Streams
    reading: asyncio.Task[None]

    async def finish(self, outcome: KubeObject) -> None:
        """Tell the outcome, after all output."""

    async def close(self) -> web.StreamResponse:
        """Hang up."""


async def open_session(request: web.BaseRequest, wanted: Wanted) -> Session:
    """Switch protocols as the client asks. Raises StatusError, and ConnectionError when it goes meanwhile."""
    if is_websocket(request):
        return WebSocketSession(await open_websocket(request, WEBSOCKET_PROTOCOLS), wanted)
    wire, protocol = open_spdy(request, SPDY_PROTOCOLS)
    session = SpdySession(wire, protocol, wanted)
    try:
        await session.opened()
    except BaseException:
        await session.close()
        raise
    return session


class WebSocketSession:
    """Over WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, wanted: Wanted) -> None:
        self._socket = socket
        protocol = socket.ws_protocol or ""
        self._base64 = "base64" in protocol
        self._closes = protocol.startswith("v5.")
        self._plain = not protocol.startswith(("v4.", "v5."))
        self._stdin, self._sizes = Inbox(), Sizes()
        self.streams = Streams(
            stdin=aiter(self._stdin) if wanted.stdin else None,
            stdout=partial(self.send, _STDOUT) if wanted.stdout else None,
            stderr=partial(self.send, _STDERR) if wanted.stderr else None,
            tty=wanted.tty,
            sizes=self._sizes if wanted.tty else None,
        )
        self._wants_stdin = wanted.stdin
        first = _STDOUT if wanted.stdout else _STDERR if wanted.stderr else _OUTCOME
        self.reading = asyncio.create_task(self._read(first))

    async def send(self, channel: int, data: bytes) -> None:
        """Send on a channel. Raises ConnectionError."""
        if self._base64:
            await self._socket.send_str(str(channel) + base64.b64encode(data).decode())
        else:
            await self._socket.send_bytes(bytes([channel]) + data)

    async def finish(self, outcome: KubeObject) -> None:
        """Session."""
        with contextlib.suppress(ConnectionError):
            await self.send(_OUTCOME, _outcome(outcome, self._plain))

    async def close(self) -> web.StreamResponse:
        """Session."""
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        await self._socket.close()
        return self._socket

    async def _read(self, first: int) -> None:
        with contextlib.suppress(ConnectionError):
            await self.send(first, b"")  # tells the client that all is ready
            async for message in self._socket:
                if message.type is WSMsgType.BINARY:
                    await self._hear(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._hear(self._decoded(message.data))
        await self._stdin.end()
        self._sizes.end()

    def _decoded(self, text: str) -> bytes:
        if not self._base64 or not text:
            return text.encode()
        try:
            return bytes([ord(text[0]) - ord("0") & 0xFF]) + base64.b64decode(text[1:])
        except (ValueError, binascii.Error):
            return b""

    async def _hear(self, data: bytes) -> None:
        if not data:
            return
        channel = data[0]
        if channel == _CLOSE and self._closes and len(data) == 2:
            if data[1] == _STDIN:
                await self._stdin.end()
        elif channel == _STDIN and self._wants_stdin:
            await self._stdin.put(data[1:])
        elif channel == _RESIZE:
            self._sizes.put(data[1:])


class SpdySession:
    """Over SPDY. Wait for `opened` before the streams are used."""

    def __init__(self, wire: RawConnection, protocol: str, wanted: Wanted) -> None:
        self._connection = SpdyConnection(wire, self._accept)
        self._plain = not protocol.startswith("v4.")
        self._wanted = wanted
        resizes = wanted.tty and protocol.startswith(("v3.", "v4."))
        kinds = {"stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr, "resize": resizes}
        self._missing = {"error", *(kind for kind, expected in kinds.items() if expected)}
        self._streams: dict[str, Stream] = {}
        self._complete = asyncio.Event()
        self._told = False
        self._sizes = Sizes()
        self.streams = Streams()
        self.reading = asyncio.create_task(self._connection.run())
        self._resizing: asyncio.Task[None] | None = None

    def _accept(self, stream: Stream) -> None:
        kind = stream.headers.get("streamtype", "")
        if kind not in self._missing:
            raise ValueError(f"unexpected stream type: {kind!r}")
        self._missing.remove(kind)
        self._streams[kind] = stream
        if not self._missing:
            self._complete.set()

    async def opened(self) -> None:
        """Wait until the client has opened all its streams. Raises ConnectionError when it does not."""
        complete = asyncio.ensure_future(self._complete.wait())
        try:
            await asyncio.wait(
                {complete, self.reading}, timeout=CREATION_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            complete.cancel()
        if self._missing:
            raise ConnectionResetError("timed out waiting for client to create streams")
        found = self._streams.get
        stdin, stdout, stderr, resize = found("stdin"), found("stdout"), found("stderr"), found("resize")
        self.streams = Streams(
            stdin=aiter(stdin.inbox) if stdin else None,
            stdout=stdout.write if stdout else None,
            stderr=stderr.write if stderr else None,
            tty=self._wanted.tty,
            sizes=self._sizes if resize else None,
        )
        if resize:
            self._resizing = asyncio.create_task(self._resize(resize))

    async def _resize(self, stream: Stream) -> None:
        rest = b""
        async for chunk in stream.inbox:
            *texts, rest = (rest + chunk).split(b"}")
            for text in texts:
                self._sizes.put(text + b"}")
            rest = rest[-_LONGEST_SIZE:]
        self._sizes.end()

    async def finish(self, outcome: KubeObject) -> None:
        """Session."""
        with contextlib.suppress(ConnectionError):
            await self._streams["error"].write(_outcome(outcome, self._plain))
        for kind in ("stdout", "stderr", "error"):
            if kind in self._streams:
                await self._streams[kind].end()
        self._told = True

    async def close(self) -> web.StreamResponse:
        """Session."""
        for stream in self._streams.values():
            await self._connection.forget(stream)
        if self._told:
            await asyncio.wait({self.reading}, timeout=FAREWELL_SECONDS)
        await self._connection.close()
        for task in (self.reading, self._resizing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        return taken()


class Sizes:
    """The newest size of a terminal, (columns, rows)."""

    def __init__(self) -> None:
        self._newest: tuple[int, int] | None = None
        self._ended = False
        self._moved = asyncio.Event()

    def put(self, text: bytes) -> None:
        """Take one as JSON; what is none is passed over."""
        try:
            size = orjson.loads(text)
            columns, rows = int(size["Width"]), int(size["Height"])
        except (ValueError, TypeError, KeyError):
            return
        if 0 < columns < 65536 and 0 < rows < 65536:
            self._newest = (columns, rows)
            self._moved.set()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._moved.set()

    def __aiter__(self) -> Sizes:
        return self

    async def __anext__(self) -> tuple[int, int]:
        while self._newest is None:
            if self._ended:
                raise StopAsyncIteration
            self._moved.clear()
            await self._moved.wait()
        newest, self._newest = self._newest, None
        return newest


def _outcome(status: KubeObject, plain: bool) -> bytes:
    if not plain:
        return orjson.dumps(status)
    return b"" if status["status"] == "Success" else str(status.get("message", "")).encode()
