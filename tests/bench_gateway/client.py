"""A client that is light, so that it measures the other side."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field

TOKEN = "token-of-the-automation"


@dataclass
class Client:
    """One keep-alive connection that sends ready-made requests."""

    port: int
    context: ssl.SSLContext
    reader: asyncio.StreamReader | None = field(default=None, init=False)
    writer: asyncio.StreamWriter | None = field(default=None, init=False)

    async def open(self) -> asyncio.StreamReader:
        """Connect, if that is not done yet."""
        if self.reader is None:
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=self.context, server_hostname="127.0.0.1"
            )
        return self.reader

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Send a request, and do not wait for its answer."""
        assert self.writer is not None
        head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {TOKEN}\r\n"
        if body:
            head += f"Content-Type: application/merge-patch+json\r\nContent-Length: {len(body)}\r\n"
        self.writer.write(head.encode() + b"\r\n" + body)

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status code and body of one request, once its whole answer is here."""
        reader = await self.open()
        self.send(method, path, body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        return int(head[9:12]), await reader.readexactly(length)

    def close(self) -> None:
        """Leave."""
        if self.writer is not None:
            self.writer.close()


@dataclass(frozen=True)
class Request:
    """What is asked again and again. `{n}` in the path becomes the request's number modulo 1000."""

    method: str
    path: str
    body: bytes = b""


async def hammer(clients: list[Client], count: int, *requests: Request) -> float:
    """`count` requests in all, of each kind in turn, as fast as they are answered; real seconds."""
    left = iter(range(count))

    async def one(client: Client) -> None:
        for number in left:
            request = requests[number % len(requests)]
            path = request.path.replace("{n}", str(number % 1000))
            code, said = await client.ask(request.method, path, request.body)
            assert code == 200, said

    begun = time.perf_counter()
    await asyncio.gather(*(one(client) for client in clients))
    return time.perf_counter() - begun
