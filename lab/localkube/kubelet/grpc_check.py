"""One question to a gRPC server: how is it? The health protocol of gRPC (grpc.health.v1) over plain HTTP/2.

Source: pkg/probe/grpc of Kubernetes. This module and `h2` with it are imported when a probe asks for them.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

PATH = "/grpc.health.v1.Health/Check"
STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
CODES = (
    *("OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists"),
    *("PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange"),
    *("Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"),
)
"""gRPC's status codes by number."""
ANSWER_LIMIT = 64 * 1024
RETRY_SECONDS = 0.1


@dataclass(slots=True)
class _Answer:
    """What has come so far. `code` is gRPC's own status; None until the server said it."""

    settled: bool = False
    code: int | None = None
    text: str = ""
    body: bytes = b""
    ended: bool = False


async def ask_health(host: str, port: int, service: str, timeout: float) -> str:
    """Empty when the service is SERVING, else why not, in upstream's words. At most `timeout` seconds.

    A server that does not accept, or says nothing in HTTP/2, is tried until the time is up, as upstream.
    """
    answer = _Answer()
    try:
        async with asyncio.timeout(timeout):
            while not answer.settled:
                try:
                    await _call(host, port, service, timeout, answer)
                except (OSError, ProtocolError) as error:
                    answer.code, answer.text = (
                        CODES.index("Unavailable"),
                        f"error reading from server: {error}",
                    )
                    await asyncio.sleep(RETRY_SECONDS)
    except TimeoutError:
        if not answer.settled:
            why = f"within {timeout:g}s: context deadline exceeded"
            return f'timeout: failed to connect service "{host}:{port}" {why}'
        if not answer.ended:
            return f"timeout: health rpc did not complete within {timeout:g}s"
    return _judge(answer, timeout)


async def _call(host: str, port: int, service: str, timeout: float, answer: _Answer) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, _headers(host, port, timeout))
        connection.send_data(stream, _message(service), end_stream=True)
        while not answer.ended:
            writer.write(connection.data_to_send())
            data = await reader.read(65536)
            if not data:
                raise ConnectionError("EOF")
            for event in connection.receive_data(data):
                answer.settled = True
                _take(connection, event, answer)
        writer.write(connection.data_to_send())
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _headers(host: str, port: int, timeout: float) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PATH),
        (":authority", f"{host}:{port}"),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.32"),
        ("te", "trailers"),
        ("grpc-timeout", f"{int(timeout * 1000)}m"),
    ]


def _message(service: str) -> bytes:
    """A HealthCheckRequest as gRPC frames it: not compressed, its length, its one field."""
    name = service.encode()
    body = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(body).to_bytes(4, "big") + body


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*parts, number))


def _take(connection: H2Connection, event: Event, answer: _Answer) -> None:
    if isinstance(event, ResponseReceived | TrailersReceived):
        headers = {str(name): str(value) for name, value in event.headers or ()}
        if "grpc-status" in headers:
            answer.code = int(headers["grpc-status"]) if headers["grpc-status"].isdigit() else 2
            answer.text = unquote(headers.get("grpc-message", ""))
        elif headers.get(":status", "200") != "200":
            answer.code, answer.text = _of_http(headers[":status"])
    elif isinstance(event, DataReceived):
        answer.body = (answer.body + (event.data or b""))[:ANSWER_LIMIT]
        connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
    elif isinstance(event, StreamReset):
        answer.code, answer.text = CODES.index("Internal"), "stream terminated by RST_STREAM"
        answer.ended = True
    elif isinstance(event, StreamEnded | ConnectionTerminated):
        answer.ended = True


def _of_http(status: str) -> tuple[int, str]:
    """The code of an answer that is not gRPC's, by the mapping that gRPC documents."""
    codes = {"400": "Internal", "401": "Unauthenticated", "403": "PermissionDenied", "404": "Unimplemented"}
    codes |= dict.fromkeys(("429", "502", "503", "504"), "Unavailable")
    text = f"unexpected HTTP status code received from server: {status}"
    return CODES.index(codes.get(status, "Unknown")), text


def _judge(answer: _Answer, timeout: float) -> str:
    code = CODES.index("Unknown") if answer.code is None else answer.code
    name = CODES[code] if code < len(CODES) else f"Code({code})"
    if name == "Unimplemented":
        protocol = "the grpc health protocol (grpc.health.v1.Health)"
        return f"error: this server does not implement {protocol}: {answer.text}"
    if name == "DeadlineExceeded":
        return f"timeout: health rpc did not complete within {timeout:g}s"
    if code:
        return f"error: health rpc probe failed: rpc error: code = {name} desc = {answer.text}"
    state = _state(answer.body)
    return "" if state == "SERVING" else f'service unhealthy (responded with "{state}")'


def _state(body: bytes) -> str:
    """The state in a HealthCheckResponse: its only field is a number, and zero is left out."""
    message = body[5:]
    number = message[1] if len(message) >= 2 and message[0] == 0x08 else 0
    return STATES[number] if number < len(STATES) else str(number)
