"""A bare keep-alive HTTP connection that decodes nothing: the server without the cost of a client library."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from lab.kube.kubeconfig import Connection

MERGE_PATCH = "application/merge-patch+json"
_TIMEOUT = 60.0


class ThinClient:
    """One connection, one request at a time. Close it."""

    def __init__(self, connection: Connection) -> None:
        address = urlsplit(connection.server)
        host, context = str(address.hostname), connection.ssl_context()
        plain = socket.create_connection((host, address.port or 443), timeout=_TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain, server_hostname=host) if context else plain
        self._file = self._socket.makefile("rb")
        bearer = connection.bearer()
        self._head = f"Host: {address.netloc}\r\nUser-Agent: bench-kube\r\nAccept: application/json\r\n"
        self._head += f"Authorization: Bearer {bearer}\r\n" if bearer else ""

    def ask(self, method: str, path: str, body: bytes = b"", media: str = "application/json") -> bytes:
        """The body of a whole answer. Raises RuntimeError when it is no success."""
        self._send(method, path, body, media)
        code, headers = self._read_head()
        if b"chunked" in headers.get(b"transfer-encoding", b""):
            answer = b"".join(self._chunks())
        else:
            answer = self._file.read(int(headers.get(b"content-length", b"0")))
        if code >= 300:
            raise RuntimeError(f"{method} {path}: {code} {answer[:300].decode(errors='replace')}")
        return answer

    def stream(self, path: str) -> Iterator[bytes]:
        """The lines of an endless answer, such as a watch. Ends when the connection is closed."""
        self._send("GET", path, b"", "")
        code, _ = self._read_head()
        if code != 200:
            raise RuntimeError(f"GET {path}: {code}")
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines

    def close(self) -> None:
        """Leave; a stream that another thread reads ends."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the server has closed it already
        self._file.close()
        self._socket.close()

    def _send(self, method: str, path: str, body: bytes, media: str) -> None:
        head = f"{method} {path} HTTP/1.1\r\n{self._head}"
        if body:
            head += f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n"
        self._socket.sendall(head.encode() + b"\r\n" + body)

    def _read_head(self) -> tuple[int, dict[bytes, bytes]]:
        status = self._file.readline()
        if not status:
            raise ConnectionError("the server closed the connection")
        headers = {}
        while (line := self._file.readline().rstrip()) != b"":
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        return int(status.split()[1]), headers

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._file.readline() or b"0", 16):
            yield self._file.read(size)
            self._file.readline()
        self._file.readline()


def encoded(obj: Any) -> bytes:
    """An object as the body of a request."""
    return json.dumps(obj, separators=(",", ":")).encode()
