"""What a probe's one look finds, of real servers: HTTP, TLS, TCP and the health protocol of gRPC."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_server import serve_health
from kubelet_bench import POD_IP, Bench, python

from lab.localkube.kubelet.checks import Outcome, Target, check

HOST = "127.0.0.1"


async def nothing(command: list[str]) -> tuple[int, str]:
    """No command is asked for here."""
    raise AssertionError(command)


class Web:
    """A server that answers by path and keeps the requests that it got."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[str] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.read(65536)).decode("latin-1")
        self.requests.append(request)
        path = request.split()[1] if request.startswith("GET ") else "/garbage"
        answers = {
            "/moved": "302 Found\r\nLocation: /healthz",
            "/away": "301 Moved\r\nLocation: http://elsewhere.invalid/",
            "/loop": "302 Found\r\nLocation: /loop",
            "/sick": "500 Internal Server Error",
            "/garbage": "400 Bad Request",
        }
        if path != "/silent":
            writer.write(f"HTTP/1.1 {answers.get(path, '200 OK')}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async def ask(self, path: str = "/healthz", **fields: Any) -> Outcome:
        spec = {"httpGet": {"port": self.port, "path": path, **fields}}
        return await check(spec, Target(HOST, {"ports": [{"name": "web"}]}, nothing), 5.0)


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    served = Web()
    server = await asyncio.start_server(served.handle, HOST, 0)
    served.port = server.sockets[0].getsockname()[1]
    yield served
    server.close()


async def test_http_statuses_and_redirects(web: Web) -> None:
    url = f"http://{HOST}:{web.port}"
    assert await web.ask() == Outcome(True)
    assert await web.ask("/moved") == Outcome(True)
    assert await web.ask("/sick") == Outcome(False, "HTTP probe failed with statuscode: 500")
    away = await web.ask("/away")
    assert (away.ok, away.warned) == (True, True)
    assert await web.ask("/loop") == Outcome(False, f'Get "{url}/loop": stopped after 10 redirects')
    assert await web.ask("/silent") == Outcome(False, f'Get "{url}/silent": EOF')


async def test_http_headers_are_upstreams_unless_they_are_given(web: Web) -> None:
    assert (await web.ask("plain?x=1 2")).ok
    assert web.requests[-1].splitlines()[:4] == [
        "GET /plain?x=1%202 HTTP/1.1",
        f"Host: {HOST}:{web.port}",
        "User-Agent: kube-probe/1.32",
        "Accept: */*",
    ]
    given = {"Host": "shop.example", "User-Agent": "me", "Accept": "", "X-Two": "b"}
    headers = [{"name": name, "value": value} for name, value in given.items()]
    assert (await web.ask(httpHeaders=headers)).ok
    assert [line for line in web.requests[-1].splitlines()[1:] if line] == [
        "Host: shop.example",
        "User-Agent: me",
        "X-Two: b",
        "Connection: close",
    ]
    split = await web.ask(httpHeaders=[{"name": "X", "value": "a\r\nEvil: yes"}])
    assert split.message.endswith('net/http: invalid header field value for "X"')


async def test_what_cannot_be_reached_is_said_as_go_says_it(web: Web) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        target = Target(HOST, {"ports": []}, nothing)
        refused = f"dial tcp {HOST}:{port}: connect: connection refused"
        url = f"http://{HOST}:{port}/"
        assert await check({"httpGet": {"port": port}}, target, 5) == Outcome(
            False, f'Get "{url}": {refused}'
        )
        assert await check({"tcpSocket": {"port": port}}, target, 5) == Outcome(False, refused)
    unnamed = await check({"tcpSocket": {"port": "web"}}, target, 5)
    assert unnamed == Outcome(False, "couldn't find port: 'web'", errored=True)
    other = await check({"tcpSocket": {"port": web.port, "host": HOST}}, Target("127.0.0.9", {}, nothing), 5)
    assert other.ok


async def test_https_is_not_verified_and_has_to_be_https(web: Web, tmp_path: Path) -> None:
    plain = await web.ask(scheme="HTTPS")
    assert plain.message.endswith("http: server gave HTTP response to HTTPS client")
    secure = Web()
    server = await asyncio.start_server(secure.handle, HOST, 0, ssl=certified(tmp_path))
    secure.port = server.sockets[0].getsockname()[1]
    assert await secure.ask(scheme="HTTPS") == Outcome(True)
    server.close()


def certified(directory: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody would trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = directory / "server.pem"
    file.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_grpc_health_in_upstreams_words() -> None:
    server = await asyncio.start_server(serve_health, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    target = Target(HOST, {}, nothing)

    async def ask(service: str = "", timeout: float = 5.0) -> str:
        outcome = await check({"grpc": {"port": port, "service": service}}, target, timeout)
        assert outcome.ok is not bool(outcome.message)
        return outcome.message

    assert await ask() == await ask("shop") == ""
    assert await ask("down") == 'service unhealthy (responded with "NOT_SERVING")'
    assert await ask("unset") == 'service unhealthy (responded with "UNKNOWN")'
    missing = "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"
    assert await ask("missing") == missing
    other = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): no"
    assert await ask("unimplemented") == other
    assert await ask("slow", 0.3) == "timeout: health rpc did not complete within 0.3s"
    server.close()
    await server.wait_closed()
    unreachable = f'timeout: failed to connect service "{HOST}:{port}" within 0.2s: context deadline exceeded'
    assert await ask("", 0.2) == unreachable


async def test_a_server_that_does_not_speak_http2_is_no_grpc_server(web: Web) -> None:
    outcome = await check({"grpc": {"port": web.port}}, Target(HOST, {}, nothing), 0.2)
    assert outcome.message.startswith(f'timeout: failed to connect service "{HOST}:{web.port}" within 0.2s')


@pytest.mark.slow
async def test_a_grpc_probe_of_a_pod(bench: Bench) -> None:
    source = Path(__file__).with_name("grpc_server.py").read_text()
    container = {**python(source), "env": [POD_IP]}
    probe = {"grpc": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    bench.pod(
        "well", {**container, "readinessProbe": probe, "livenessProbe": probe | {"failureThreshold": 3}}
    )
    await bench.until_ready("well")
    unwell = {**probe, "grpc": {"port": 8080, "service": "down"}}
    bench.pod("unwell", {**container, "livenessProbe": unwell})
    message = 'Liveness probe failed: service unhealthy (responded with "NOT_SERVING")'
    await bench.until(lambda: ("Unhealthy", message) in bench.events("unwell"), what="the event")
    await bench.until(lambda: bench.status("unwell")["restartCount"] >= 1, what="a restart")
    assert bench.status("well")["restartCount"] == 0
