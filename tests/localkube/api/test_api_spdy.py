"""SPDY as the server speaks it, to clients that keep to the protocol and to those that do not."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localkube_process import Served

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.localkube.api.spdy import (
    CANCEL,
    GOAWAY,
    LARGEST_CONTROL,
    PING,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SYN_REPLY,
    SYN_STREAM,
    Frame,
    Framer,
    data_frame,
    dictionary,
    ping_frame,
    reset_frame,
)
from lab.localkube.api.spdyconnection import MOST_STREAMS, MOST_UNREAD, SpdyConnection, Stream


class Peer:
    """What a client sends, and what it gets back."""

    def __init__(self, *sent: bytes) -> None:
        self._sent = list(sent)
        self._got = bytearray()
        self.closed = False

    async def read(self) -> bytes:
        return self._sent.pop(0) if self._sent else b""

    async def write(self, data: bytes) -> None:
        self._got += data

    async def close(self) -> None:
        self.closed = True

    def frames(self) -> list[Frame]:
        return list(Framer().feed(bytes(self._got)))


class Client:
    """Makes a client's frames: header blocks have state."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=dictionary())

    def block(self, headers: Iterable[tuple[str, str]], count: int | None = None) -> bytes:
        pairs = list(headers)
        text = struct.pack(">I", len(pairs) if count is None else count)
        for pair in pairs:
            for word in pair:
                text += struct.pack(">I", len(word)) + word.encode()
        return self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def open(self, stream: int, headers: Mapping[str, str] | None = None, *, fin: bool = False) -> bytes:
        body = struct.pack(">IIH", stream, 0, 0) + self.block((headers or {}).items())
        return control(SYN_STREAM, body, flags=int(fin))


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", 0x80030000 | kind, flags << 24 | len(body)) + body


async def serve(*sent: bytes, accept: Any = None) -> tuple[Peer, list[Stream]]:
    """Serve a client that sends this and goes."""
    streams: list[Stream] = []
    peer = Peer(*sent)
    await SpdyConnection(peer, accept or streams.append).run()
    return peer, streams


def reasons(peer: Peer) -> list[tuple[int, int]]:
    resets = [frame for frame in peer.frames() if frame.kind == RST_STREAM]
    return [(frame.stream, struct.unpack(">I", frame.data[4:8])[0]) for frame in resets]


async def test_streams_are_opened_read_and_ended() -> None:
    client = Client()
    sent = (
        client.open(1, {"streamType": "stdin"})
        + data_frame(1, b"one")
        + client.open(3, {"port": "80"}, fin=True)
    )
    sent += data_frame(1, b"two", end=True) + ping_frame(7) + ping_frame(8)
    for size in (1, 7, len(sent)):
        pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
        peer, (stdin, other) = await serve(*pieces)
        assert stdin.headers == {"streamtype": "stdin"}
        assert b"".join([chunk async for chunk in stdin.inbox]) == b"onetwo"
        assert [chunk async for chunk in other.inbox] == []
        kinds = [(frame.kind, frame.stream) for frame in peer.frames()]
        assert kinds == [(SYN_REPLY, 1), (SYN_REPLY, 3), (PING, 7)]
        assert not peer.closed


async def test_a_stream_that_is_refused_or_reset_gets_nothing_more() -> None:
    def refuse(stream: Stream) -> None:
        raise ValueError("not wanted")

    peer, _ = await serve(Client().open(1) + data_frame(1, b"x" * 10), accept=refuse)
    assert reasons(peer) == [(1, CANCEL)]
    peer, (stream,) = await serve(
        Client().open(1) + data_frame(1, b"x") + reset_frame(1, CANCEL) + data_frame(1, b"y")
    )
    assert stream.reset_by_client
    assert [chunk async for chunk in stream.inbox] == []
    with pytest.raises(ConnectionError):
        await stream.write(b"late")


async def test_data_of_unknown_streams_is_dropped() -> None:
    peer, streams = await serve(data_frame(99, b"x" * 1_000_000) + data_frame(0x7FFFFFFF) + reset_frame(5, 1))
    assert (streams, peer.frames(), peer.closed) == ([], [], False)


async def test_streams_without_number_are_refused() -> None:
    client = Client()
    frames = [client.open(2 * number + 1) for number in range(MOST_STREAMS + 3)]
    peer, streams = await serve(*frames)
    assert len(streams) == MOST_STREAMS
    assert [why for _, why in reasons(peer)] == [REFUSED_STREAM] * 3
    assert not peer.closed


@pytest.mark.parametrize("identities", [(2,), (3, 3), (5, 3), (0,)])
async def test_stream_numbers_that_a_client_may_not_use_end_the_connection(
    identities: tuple[int, ...],
) -> None:
    client = Client()
    peer, _ = await serve(*(client.open(identity) for identity in identities), client.open(101))
    assert reasons(peer) == [(identities[-1], PROTOCOL_ERROR)]
    assert peer.closed


def bombs() -> Iterable[tuple[str, bytes]]:
    head = struct.pack(">IIH", 1, 0, 0)
    yield "a header of a megabyte", control(SYN_STREAM, head + Client().block([("a", "b" * 1_000_000)]))
    yield "four thousand million headers", control(SYN_STREAM, head + Client().block([("a", "b")], 2**32 - 1))
    yield "headers that are not compressed", control(SYN_STREAM, head + b"\0\0\0\1\0\0\0\1a\0\0\0\1b")
    yield "no headers", control(SYN_STREAM, head)
    yield "half a frame of headers", control(SYN_STREAM, b"\0\0\0\1")
    yield "a control frame of 16 MiB", struct.pack(">II", 0x80030001, 0xFFFFFF) + b"x" * 100_000
    yield "a control frame a byte too large", struct.pack(">II", 0x80030001, LARGEST_CONTROL + 1)
    yield "an empty control frame", struct.pack(">II", 0x80030000 | PING, 0)
    yield "another version", struct.pack(">III", 0x80020000 | PING, 4, 1)
    yield "headers for a stream that is not there", control(8, struct.pack(">I", 9) + b"zzzz")
    yield "HTTP", b"\xff\xffGET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("sent", [pytest.param(sent, id=name) for name, sent in bombs()])
async def test_hostile_frames_end_the_connection(sent: bytes) -> None:
    peer, _ = await serve(sent, Client().open(1))
    assert peer.closed


async def test_a_frame_that_is_cut_off_is_no_frame() -> None:
    sent = Client().open(1) + data_frame(1, b"x" * 1000)
    for size in (*range(60), *range(60, len(sent), 97)):
        peer, streams = await serve(sent[:size])
        assert not peer.closed
        assert len(streams) <= 1


def test_a_frame_of_any_size_comes_in_pieces_and_is_never_kept() -> None:
    framer, size, block = Framer(), 0xFFFFFF, b"x" * 65536
    pieces = list(framer.feed(struct.pack(">II", 1, 1 << 24 | size)))
    sent = 0
    while sent < size:
        part = block[: size - sent]
        sent += len(part)
        pieces += framer.feed(part)
        assert not framer._buffer
    assert sum(len(piece.data) for piece in pieces) == size
    assert [piece.ends for piece in pieces] == [False] * (len(pieces) - 1) + [True]


async def test_a_stream_that_nobody_reads_holds_up_the_connection_and_not_the_memory() -> None:
    streams: list[Stream] = []
    peer = Peer(Client().open(1), *(data_frame(1, b"x" * 10_000) for _ in range(1000)))
    connection = SpdyConnection(peer, streams.append)
    running = asyncio.create_task(connection.run())
    async with asyncio.timeout(30):
        while not streams or streams[0].inbox._size < MOST_UNREAD:
            await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(peer._sent) > 900
    assert not running.done()
    await connection.forget(streams[0])
    await asyncio.wait_for(running, 30)


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=300), max_size=8), st.booleans())
def test_no_bytes_whatever_are_an_error(sent: list[bytes], begun: bool) -> None:
    async def run() -> None:
        start = [Client().open(1, {"streamType": "stdin"})] if begun else []
        await serve(*start, *sent)

    asyncio.run(run())


@settings(max_examples=50)
@given(st.integers(0, 12), st.integers(0, 255), st.binary(max_size=64), st.binary(max_size=40))
def test_no_frame_whatever_is_an_error(kind: int, flags: int, body: bytes, block: bytes) -> None:
    async def run() -> None:
        good = control(SYN_STREAM, struct.pack(">IIH", 1, 0, 0) + Client().block([("a", block.hex())]), flags)
        await serve(good, control(kind, body, flags), control(GOAWAY, struct.pack(">II", 0, 0)), good)

    asyncio.run(run())


async def _post(
    served: Served, path: str, *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connection = load_kubeconfig(served.kubeconfig)
    host, port = served.server.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=connection.ssl_context())
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Length: 0", *headers]
    lines.append(f"Authorization: Bearer {connection.bearer()}")
    writer.write("\r\n".join([*lines, "Connection: Upgrade", "", ""]).encode())
    return reader, writer


async def switch(
    served: Served, path: str, *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has switched protocols."""
    reader, writer = await _post(served, path, *headers)
    async with asyncio.timeout(30):
        assert b" 101 " in (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]
    return reader, writer


async def ask(served: Served, path: str, *headers: str) -> tuple[int, str]:
    """Ask the server to switch protocols: status, and all that it answers."""
    reader, writer = await _post(served, path, *headers)
    async with asyncio.timeout(30):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = [line for line in head.split("\r\n") if line.lower().startswith("content-length:")]
        body = await reader.readexactly(int(size[0].split(":")[1])) if size else b""
    writer.close()
    return int(head.split()[1]), head + body.decode()


@pytest.fixture
async def pod(whole: Served) -> AsyncIterator[str]:
    """The path of a running pod."""
    spec = {"containers": [{"name": "c", "image": "busybox", "command": ["sleep", "600"]}]}
    async with KubeClient(load_kubeconfig(whole.kubeconfig)) as kube:
        await kube.create("pods", {"metadata": {"name": "spdy"}, "spec": spec}, "default")
        async for event in kube.watch("pods", "default", timeout_seconds=60):
            found = event["object"]
            if found["metadata"]["name"] == "spdy" and found["status"]["phase"] == "Running":
                break
        yield "/api/v1/namespaces/default/pods/spdy"
        await kube.delete("pods", "spdy", "default")


@pytest.mark.slow
async def test_the_protocol_is_negotiated(whole: Served, pod: str) -> None:
    path, spdy, version = f"{pod}/exec?command=ls&stdout=1", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version"
    code, said = await ask(whole, path, spdy, f"{version}: v9.channel.k8s.io, v3.channel.k8s.io")
    assert code == 101
    assert f"{version}: v3.channel.k8s.io\r\n" in said
    code, said = await ask(whole, path, spdy)
    assert (code, f"{version} is required" in said) == (400, True)
    code, said = await ask(whole, path, spdy, f"{version}: v9.channel.k8s.io")
    assert (code, "client supports [v9.channel.k8s.io], server accepts [v4.channel" in said) == (403, True)
    assert "X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io" in said
    code, said = await ask(whole, path, "Upgrade: h2c")
    assert (code, "Upgrade request required" in said) == (400, True)
    code, said = await ask(whole, path.replace("&stdout=1", ""), spdy, f"{version}: v4.channel.k8s.io")
    assert (code, "you must specify at least 1 of stdin, stdout, stderr" in said) == (400, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("exec?command=cat&stdin=1&stdout=1", "v4.channel.k8s.io"),
        ("attach?stdout=1", "v4.channel.k8s.io"),
        ("portforward", "portforward.k8s.io"),
    ],
)
async def test_a_server_survives_hostile_clients(whole: Served, pod: str, path: str, protocol: str) -> None:
    """Nor does it say more than that in its log: the fixture looks."""
    headers = ("Upgrade: SPDY/3.1", f"X-Stream-Protocol-Version: {protocol}")
    for _, sent in bombs():
        reader, writer = await switch(whole, f"{pod}/{path}", *headers)
        with suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
            async with asyncio.timeout(30):
                await reader.read()
        writer.transport.abort()
    for sent in (b"", b"\x80", Client().open(1, {"streamType": "error", "port": "80"})):
        _, writer = await switch(whole, f"{pod}/{path}", *headers)
        writer.write(sent)
        await writer.drain()
        writer.transport.abort()
    code, _ = await ask(whole, f"{pod}/{path}", *headers)
    assert code == 101
