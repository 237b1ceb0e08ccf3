"""Kubeconfigs: what is written is private and read back; what others wrote is understood or refused."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from lab.errors import ConfigError, NotReadyError
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import connection_from_environment, load_kubeconfig, write_kubeconfig
from lab.kube.pki import new_authority


def test_a_written_kubeconfig_is_private_and_read_back(tmp_path: Path) -> None:
    authority = new_authority("test")
    file = tmp_path / "config"
    write_kubeconfig(
        file, "https://127.9.0.1:6443", authority.cert_pem, "secret", namespace="shop", user="me"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    connection = load_kubeconfig(file)
    assert (connection.server, connection.bearer()) == ("https://127.9.0.1:6443", "secret")
    assert connection.namespace == "shop"
    assert connection.ca_pem == authority.cert_pem
    assert connection.ssl_context() is not None


def test_yaml_with_files_beside_it(tmp_path: Path) -> None:
    authority = new_authority("test")
    cert, key = authority.issue("me")
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem)
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "config").write_text(
        f"""
current-context: b
contexts:
- {{name: a, context: {{cluster: none, user: none}}}}
- {{name: b, context: {{cluster: c, user: u}}}}
clusters:
- {{name: c, cluster: {{server: "https://10.0.0.1/", certificate-authority: ca.pem}}}}
users:
- name: u
  user:
    tokenFile: token
    client-certificate-data: {base64.b64encode(cert).decode()}
    client-key-data: {base64.b64encode(key).decode()}
"""
    )
    connection = load_kubeconfig(tmp_path / "config")
    assert (connection.server, connection.namespace) == ("https://10.0.0.1", "default")
    assert connection.bearer() == "first"
    (tmp_path / "token").write_text("second\n")
    assert connection.bearer() == "second"
    assert connection.ssl_context() is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "current-context: x",
        "current-context: x\ncontexts: [{name: y, context: {}}]",
        "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: s}}]\nusers: [{name: u, user: {exec: {command: rm}}}]",
        "\x00",
    ],
)
def test_a_broken_kubeconfig_is_a_config_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(ConfigError, match="is not a kubeconfig"):
        load_kubeconfig(tmp_path / "config")


def test_without_any_way_in_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(NotReadyError, match="absent"):
        connection_from_environment()
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(NotReadyError) as caught:
        KubeClient.from_environment()
    assert "KUBECONFIG" in caught.value.hint


async def test_a_dead_server_is_a_connection_error(tmp_path: Path) -> None:
    file = tmp_path / "config"
    write_kubeconfig(file, "https://127.0.0.1:1", new_authority("test").cert_pem, "t")
    async with KubeClient(load_kubeconfig(file)) as kube:
        with pytest.raises(ConnectionError):
            await kube.list("pods", "default")
