"""Kubeconfigs of all kinds: lists that are merged, paths, proxies, names; and what is refused, with why."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from lab.errors import ConfigError, NotReadyError
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, connection_from_environment, load_kubeconfig, write_connection
from lab.kube.pki import new_authority

ENCRYPTED = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"


def written(path: Path, name: str, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
    """A kubeconfig whose cluster, context and user have that name."""
    path.parent.mkdir(exist_ok=True)
    config = {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443"} | cluster}],
        "users": [{"name": name, "user": user if user is not None else {"token": f"of-{name}"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def listed(*paths: Path) -> str:
    return os.pathsep.join(map(str, paths))


def test_a_list_is_merged_and_the_first_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = written(tmp_path / "one", "a")
    two = written(tmp_path / "two", "b")
    again = written(tmp_path / "again", "a", {"token": "of another"})
    both = listed(tmp_path / "absent", one, two, again)
    assert load_kubeconfig(both).bearer() == "of-a"
    assert load_kubeconfig(both, "b").server == "https://b:6443"
    assert load_kubeconfig(listed(again, one), "a").bearer() == "of another"
    monkeypatch.setenv("KUBECONFIG", listed(two, one))
    assert connection_from_environment().bearer() == "of-b"
    with pytest.raises(NotReadyError, match="none: No such file"):
        load_kubeconfig(listed(tmp_path / "absent", tmp_path / "none"))
    (tmp_path / "two").write_text("- b")
    with pytest.raises(ConfigError, match="two is not a kubeconfig"):
        load_kubeconfig(both)


def test_the_context_of_one_file_may_use_the_user_of_another(tmp_path: Path) -> None:
    (tmp_path / "contexts").write_text(
        yaml.safe_dump(
            {"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "a", "user": "b"}}]}
        )
    )
    files = listed(tmp_path / "contexts", written(tmp_path / "one", "a"), written(tmp_path / "two", "b"))
    assert load_kubeconfig(files) == Connection("https://a:6443", token="of-b")


def test_paths_are_relative_to_the_file_that_has_them(tmp_path: Path) -> None:
    authority = new_authority("test")
    certificate, key = authority.issue("me")
    here, there = tmp_path / "here", tmp_path / "there"
    written(here / "config", "a", {"tokenFile": "token"})
    (here / "token").write_text("rotated\n")
    user = {"client-certificate": "me.crt", "client-key": str(there / "me.key")}
    written(there / "config", "b", user, **{"certificate-authority": "../ca"})
    (tmp_path / "ca").write_bytes(authority.cert_pem)
    (there / "me.crt").write_bytes(certificate)
    (there / "me.key").write_bytes(key)
    files = listed(here / "config", there / "config")
    assert load_kubeconfig(files).bearer() == "rotated"
    found = load_kubeconfig(files, "b")
    assert (found.ca_pem, found.client_certificate) == (authority.cert_pem, (certificate, key))
    (there / "me.key").unlink()
    with pytest.raises(NotReadyError, match=r"cannot be read: .*me\.key: No such file") as missing:
        load_kubeconfig(files, "b")
    assert "relative to its own folder" in missing.value.hint


@pytest.mark.parametrize(
    ("user", "cluster", "why"),
    [
        ({"username": "me", "password": "p"}, {}, "1.19 removed"),
        ({"auth-provider": {"name": "gcp"}}, {}, "gke-gcloud-auth-plugin"),
        ({"token": "t", "as": "admin"}, {}, "impersonates"),
        ({"client-certificate-data": "YQ=="}, {}, "not both"),
        (
            {
                "client-certificate-data": "YQ==",
                "client-key-data": base64.b64encode(ENCRYPTED.encode()).decode(),
            },
            {},
            "openssl pkey",
        ),
        ({"client-certificate-data": "YQ", "client-key-data": "YQ=="}, {}, "padding"),
        ({"token": "t"}, {"proxy-url": "socks5://proxy:1080"}, "only proxies of http"),
        ({"token": "t"}, {"server": None}, "server"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_way_out(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        load_kubeconfig(written(tmp_path / "config", "a", user, **cluster))


def test_certificates_that_are_none(tmp_path: Path) -> None:
    data = base64.b64encode(b"no certificate").decode()
    pair = {"client-certificate-data": data, "client-key-data": data}
    with pytest.raises(ConfigError, match="do not make a pair"):
        load_kubeconfig(written(tmp_path / "config", "a", pair)).ssl_context()
    authority = {"certificate-authority-data": data}
    with pytest.raises(ConfigError, match="certificate-authority of the kubeconfig is no certificate"):
        load_kubeconfig(written(tmp_path / "config", "a", None, **authority)).ssl_context()


@pytest.mark.parametrize("cluster", [{"insecure-skip-tls-verify": True}, {"tls-server-name": "api.internal"}])
async def test_a_certificate_of_another_name(tmp_path: Path, cluster: dict[str, Any]) -> None:
    authority = new_authority("test")
    certificate, key = authority.issue("api", dns_names=["api.internal"])
    (tmp_path / "pem").write_bytes(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "pem")

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"bearer": request.headers["Authorization"]})

    app = web.Application()
    app.router.add_get("/version", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    host, port = runner.addresses[0][:2]
    at = {
        "server": f"https://{host}:{port}",
        "certificate-authority-data": base64.b64encode(authority.cert_pem).decode(),
    }
    try:
        plain = load_kubeconfig(written(tmp_path / "plain", "a", None, **at))
        async with KubeClient(plain) as kube:
            with pytest.raises(ConnectionError, match="certificate verify failed"):
                await kube.request("GET", "/version")
        write_connection(
            tmp_path / "copy", load_kubeconfig(written(tmp_path / "named", "a", None, **at | cluster))
        )
        async with KubeClient(load_kubeconfig(tmp_path / "copy")) as kube:
            assert await kube.request("GET", "/version") == {"bearer": "Bearer of-a"}
        await asyncio.sleep(0)
    finally:
        await runner.cleanup()


async def test_requests_go_through_the_proxy(tmp_path: Path) -> None:
    seen: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        seen.append(str(request.raw_path))
        return web.json_response({"major": "1"})

    server = web.Server(proxy)  # type: ignore[arg-type]
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    at = {"server": "http://api.internal:8080", "proxy-url": f"http://127.0.0.1:{port}"}
    write_connection(tmp_path / "copy", load_kubeconfig(written(tmp_path / "config", "a", None, **at)))
    try:
        async with KubeClient(load_kubeconfig(tmp_path / "copy")) as kube:
            assert await kube.request("GET", "/version") == {"major": "1"}
    finally:
        await runner.cleanup()
    assert seen == ["http://api.internal:8080/version"]
