"""Requests as a case has them, and whole answers: status, all headers, body. Nothing is hidden or retried."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from lab.kube.kubeconfig import Connection

TIMEOUT = 60.0
"""Seconds for one answer, on a loaded machine."""
_DEFAULTS = (("Accept", "application/json"), ("User-Agent", "conformance/1"))


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent. bearer: None for the kubeconfig's own credentials."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    bearer: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names are lower case, each with all of its values."""

    code: int
    headers: Mapping[str, list[str]]
    content: bytes

    @property
    def document(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None


class Wire:
    """Connections to one server: with the kubeconfig's credentials, and without any for other tokens."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def send(self, request: Request) -> Answer:
        """One answer. Raises aiohttp.ClientError or TimeoutError when there is none."""
        async with self._open(request, aiohttp.ClientTimeout(total=TIMEOUT)) as response:
            return await _whole(response)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[Answer | None, AsyncIterator[Any]]]:
        """The events of a watch; or the refusal, and no events. Dropped at the end, wherever it is."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT)
        async with self._open(request, timeout) as response:
            refusal = await _whole(response) if response.status != 200 else None
            yield refusal, _events(response)
            response.close()

    def _open(self, request: Request, timeout: aiohttp.ClientTimeout) -> Any:
        own = request.bearer is None
        bearer = self._connection.bearer() if request.bearer is None else request.bearer
        given = {name.lower() for name, _ in request.headers}
        kept = [(name, value) for name, value in _DEFAULTS if name.lower() not in given]
        kept += request.headers
        if bearer:
            kept.append(("Authorization", f"Bearer {bearer}"))
        return self._session(own).request(
            request.method,
            self._connection.server + request.path,
            params=list(request.query),
            headers=kept,
            data=request.body,
            skip_auto_headers=("Content-Type", "Accept"),
            timeout=timeout,
            allow_redirects=False,
        )

    def _session(self, own: bool) -> aiohttp.ClientSession:
        if own not in self._sessions:
            connection = self._connection
            if not own and connection.client_certificate:
                connection = Connection(
                    connection.server, connection.ca_pem, insecure=connection.insecure
                )  # a certificate would count before the token
            context = connection.ssl_context()
            connector = aiohttp.TCPConnector(ssl=context if context is not None else True, limit=0)
            self._sessions[own] = aiohttp.ClientSession(connector=connector)
        return self._sessions[own]

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    headers: dict[str, list[str]] = {}
    for name, value in response.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    return Answer(response.status, headers, await response.read())


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    pending = b""
    async for chunk in response.content.iter_any():
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)


def protobuf(kind: str, fields: Sequence[Any]) -> bytes:
    """The envelope of a message: `apps/v1/Deployment` and its fields."""
    api_version, _, name = kind.rpartition("/")
    return b"k8s\x00" + _message([[1, [[1, api_version], [2, name]]], [2, list(fields)]])


def _message(fields: Sequence[Any]) -> bytes:
    return b"".join(_field(int(number), value) for number, value in fields)


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, (bool, int)):
        return _varint(number << 3) + _varint(int(value))
    content = value.encode() if isinstance(value, str) else _message(value)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
