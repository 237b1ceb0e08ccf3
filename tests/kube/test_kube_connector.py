"""A client that ends takes its connections along, whatever the server does."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest

from lab.kube.connector import Connector
from lab.kube.kubeconfig import Connection
from lab.kube.pki import new_authority

ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n"


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Connection]:
    """A server that begins an answer, and then neither reads nor says anything, a TLS goodbye included."""
    authority = new_authority("ca")
    certificate, key = authority.issue("server", ip_addresses=["127.0.0.1"])
    (tmp_path / "server.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")

    def serve() -> ssl.SSLSocket:
        accepted = context.wrap_socket(listener.accept()[0], server_side=True)
        accepted.recv(65536)
        accepted.sendall(ANSWER)
        return accepted

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        serving = thread.submit(serve)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        yield Connection(url, ca_pem=authority.cert_pem)
        serving.result().close()


async def test_a_dropped_stream_does_not_outlive_the_pool_while_it_says_goodbye(silent: Connection) -> None:
    session = aiohttp.ClientSession(connector=Connector(silent))
    answer = await session.get(silent.server)
    assert await answer.content.readline() == b"first\n"
    assert answer.connection is not None
    assert answer.connection.transport is not None
    used = answer.connection.transport.get_extra_info("socket")
    answer.close()
    await asyncio.sleep(0)
    assert used.fileno() != -1, "the goodbye is not answered, so the socket is still there"
    await session.close()
    assert used.fileno() == -1
