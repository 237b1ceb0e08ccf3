"""Proxies of the environment: which servers go through them, and what is said when one fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest

from lab.engine.kube import Kube, api_client
from lab.errors import NotReadyError, UsageError
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, write_connection
from lab.kube.proxies import Proxy, environment_proxy
from lab.providers.asking import ask
from lab.providers.contexts import Context

SERVER = "https://10.9.8.7:6443"
NAMED = {"HTTPS_PROXY": "http://proxy:3128"}
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("server", "variables", "url"),
    [
        (SERVER, {}, ""),
        (SERVER, NAMED, "http://proxy:3128"),
        (SERVER, {"https_proxy": "http://small:1"}, "http://small:1"),
        (SERVER, {"HTTPS_PROXY": "", "https_proxy": "http://small:1"}, "http://small:1"),
        (SERVER, NAMED | {"https_proxy": "http://small:1"}, "http://proxy:3128"),
        (SERVER, {"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        (SERVER, {"HTTP_PROXY": "http://plain:1", "ALL_PROXY": "http://all:1"}, ""),
        ("http://api.corp", {"HTTP_PROXY": "http://plain:1"}, "http://plain:1"),
        ("http://api.corp", NAMED, ""),
    ],
)
def test_the_variable_of_the_scheme_names_the_proxy(server: str, variables: dict[str, str], url: str) -> None:
    found = environment_proxy(server, variables)
    assert (found.url if found else "") == url


@pytest.mark.parametrize(
    "server",
    [
        *(
            "https://127.0.0.1:6443",
            "https://127.77.0.1:6443",
            "https://localhost:6443",
            "https://[::1]:6443",
        ),
        "https://[::ffff:127.0.0.1]:6443",
    ],
)
def test_loopback_is_never_behind_a_proxy(server: str) -> None:
    assert environment_proxy(server, NAMED) is None
    assert environment_proxy(server, {"HTTPS_PROXY": "socks5://nonsense"}) is None


@pytest.mark.parametrize(
    ("server", "excluded", "direct"),
    [
        (SERVER, "*", True),
        (SERVER, "other, *", True),
        (SERVER, "10.9.8.7", True),
        (SERVER, "10.9.8.7:6443", True),
        (SERVER, "10.9.8.7:443", False),
        (SERVER, "10.0.0.0/8", True),
        (SERVER, "10.9.8.7/8", True),
        (SERVER, "192.168.0.0/16 , 10.9.0.0/16", True),
        (SERVER, "10.10.0.0/16,nonsense/99", False),
        (SERVER, "10.9.8", False),
        ("https://[fd00::7]:6443", "fd00::/8", True),
        ("https://[fd00::7]:6443", "fd00:0::7", True),
        ("https://[fd00::7]:6443", "[fd00::7]:6443", True),
        ("https://[fd00::7]:6443", "[fd00::7]:443", False),
        ("https://api.corp.test", "corp.test", True),
        ("https://API.Corp.Test", "CORP.test", True),
        ("https://corp.test", "corp.test", True),
        ("https://corp.test", ".corp.test", False),
        ("https://api.corp.test", ".corp.test", True),
        ("https://api.corp.test", "*.corp.test", True),
        ("https://corp.test", "*.corp.test", False),
        ("https://mycorp.test", "corp.test", False),
        ("https://api.corp.test", "corp.test:443", True),
        ("https://api.corp.test:6443", "corp.test:443", False),
        ("https://api.corp.test", ",,:443, ", False),
        ("https://api.corp.test", "10.0.0.0/8", False),
    ],
)
def test_no_proxy_excludes_servers(server: str, excluded: str, direct: bool) -> None:
    assert (environment_proxy(server, NAMED | {"NO_PROXY": excluded}) is None) is direct
    assert (environment_proxy(server, NAMED | {"no_proxy": excluded}) is None) is direct


@pytest.mark.parametrize(
    "url", ["socks5://me:secret@proxy:1080", "ftp://proxy", "http://proxy:port", "http://"]
)
def test_a_proxy_that_cannot_be_used_is_refused_with_the_way_out(url: str) -> None:
    with pytest.raises(UsageError, match="HTTPS_PROXY names the proxy") as caught:
        environment_proxy(SERVER, {"HTTPS_PROXY": url})
    assert "secret" not in str(caught.value)
    assert "NO_PROXY=10.9.8.7" in caught.value.hint


def test_a_proxy_is_shown_without_its_password() -> None:
    assert str(Proxy("http://me:secret@proxy:3128", "HTTPS_PROXY")) == "http://proxy:3128 (HTTPS_PROXY)"


class Refusing(BaseHTTPRequestHandler):
    """A proxy that notes who asks for what, and lets nobody through."""

    seen: list[tuple[str, str]]

    def do_CONNECT(self) -> None:
        self.seen.append((self.path, self.headers.get("Proxy-Authorization", "")))
        self.send_error(403, "Not by this way")

    def log_message(self, *_: Any) -> None:
        """Nothing is said of it."""


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """HOST:PORT of a proxy, and what it was asked."""
    seen: list[tuple[str, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Noting", (Refusing,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_proxy_that_refuses_is_named_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: tuple[str, list[tuple[str, str]]]
) -> None:
    at, seen = proxy
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@{at}")
    connection = Connection(SERVER, token="t")

    async def version() -> Any:
        async with KubeClient(connection) as kube:
            return await kube.request("GET", "/version")

    with pytest.raises(NotReadyError) as caught:
        ask(Context("team", "team", SERVER), version())
    assert f"the proxy http://{at} (HTTPS_PROXY) answers 403 Not by this way" in str(caught.value)
    assert "NO_PROXY" in caught.value.hint

    write_connection(tmp_path / "kubeconfig", connection)
    with pytest.raises(NotReadyError) as caught:
        Kube(tmp_path / "kubeconfig")
    assert f"the proxy http://{at} (HTTPS_PROXY) does not let it through" in str(caught.value)
    assert "403 Not by this way" in str(caught.value)
    assert set(seen) == {("10.9.8.7:6443", "Basic bWU6cEBzcw==")}


def test_a_proxy_that_is_away_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def version() -> Any:
        async with KubeClient(Connection(SERVER, token="t")) as kube:
            return await kube.request("GET", "/version")

    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(NotReadyError, match=r"the proxy http://127\.0\.0\.1:9 \(https_proxy\) cannot be"):
        ask(Context("team", "team", SERVER), version())


def test_the_official_client_takes_no_proxy_of_its_own_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    write_connection(tmp_path / "near", Connection("https://127.0.0.1:6443", token="t"))
    write_connection(tmp_path / "far", Connection(SERVER, token="t", proxy_url="http://named:1"))
    assert isinstance(kubernetes.client.Configuration().proxy, str)  # it would
    assert api_client(tmp_path / "near").configuration.proxy is None
    assert api_client(tmp_path / "far").configuration.proxy == "http://named:1"
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    assert api_client(tmp_path / "far").configuration.proxy == "http://named:1"
