"""A gRPC server that only knows how it is. It answers by the name of the service that it is asked for."""

from __future__ import annotations

import asyncio
import os

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded

STATES = {"": 1, "shop": 1, "down": 2, "unset": 0}
ERRORS = {"missing": ("5", "unknown%20service"), "unimplemented": ("12", "no")}


async def serve_health(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection; `slow` is never answered."""
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    body = b""
    try:
        while True:
            writer.write(connection.data_to_send())
            data = await reader.read(65536)
            if not data:
                return
            for event in connection.receive_data(data):
                if isinstance(event, DataReceived):
                    body += event.data or b""
                elif isinstance(event, StreamEnded) and event.stream_id:
                    answer(connection, event.stream_id, body[7:].decode())
    finally:
        writer.close()


def answer(connection: H2Connection, stream: int, service: str) -> None:
    """Say how a service is, or that it cannot be said."""
    head = [(":status", "200"), ("content-type", "application/grpc")]
    if service in ERRORS:
        code, text = ERRORS[service]
        trailers = [("grpc-status", code), ("grpc-message", text)]
        connection.send_headers(stream, [*head, *trailers], end_stream=True)
    elif service in STATES:
        state = STATES[service]
        message = bytes((8, state)) if state else b""
        connection.send_headers(stream, head)
        connection.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)
        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)


async def main() -> None:
    """Serve on the pod's address."""
    server = await asyncio.start_server(serve_health, os.environ["POD_IP"], 8080)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
