"""The certificate authority, checked by a real TLS handshake."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from lab.kube.pki import new_authority


async def _handshake(tmp_path: Path, ca: bytes, cert: bytes, key: bytes, hostname: str) -> None:
    (tmp_path / "c.pem").write_bytes(cert + key)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "c.pem")

    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=ssl.create_default_context(cadata=ca.decode()),
            server_hostname=hostname,
        )
        assert await reader.readline() == b"hello\n"
        writer.close()
        await writer.wait_closed()
    finally:
        server.close()


async def test_a_client_that_knows_the_authority_accepts_names_and_addresses(tmp_path: Path) -> None:
    authority = new_authority("test-ca")
    cert, key = authority.issue("server", dns_names=["kubernetes.default"], ip_addresses=["127.0.0.1"])
    await _handshake(tmp_path, authority.cert_pem, cert, key, "127.0.0.1")
    await _handshake(tmp_path, authority.cert_pem, cert, key, "kubernetes.default")


async def test_another_authority_or_name_is_refused(tmp_path: Path) -> None:
    authority = new_authority("test-ca")
    cert, key = authority.issue("server", dns_names=["a.example"])
    with pytest.raises(ssl.SSLCertVerificationError):
        await _handshake(tmp_path, authority.cert_pem, cert, key, "b.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        await _handshake(tmp_path, new_authority("test-ca").cert_pem, cert, key, "a.example")


def test_certificates_are_valid_for_a_clock_that_lags() -> None:
    cert, _ = new_authority("test-ca").issue("server", days=2)
    parsed = x509.load_pem_x509_certificate(cert)
    now = datetime.now(UTC)
    assert parsed.not_valid_before_utc < now - timedelta(minutes=50)
    assert now + timedelta(days=1) < parsed.not_valid_after_utc < now + timedelta(days=3)


def test_a_wrong_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        new_authority("test-ca").issue("server", ip_addresses=["nonsense"])
