"""Programs that give credentials: how they are run, how long it is kept, what is said when they fail."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugin_program import V1, PluginProgram, credential

from lab.errors import ConfigError, NotReadyError
from lab.kube.exec_plugin import CredentialStore, ExecPlugin, ask
from lab.kube.kubeconfig import load_kubeconfig, write_connection
from lab.kube.pki import new_authority

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def kubeconfig(folder: Path, user: dict[str, Any], **cluster: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "config"
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443"} | cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_it_is_run_as_kubectl_runs_it(tmp_path: Path) -> None:
    ca = new_authority("test").cert_pem
    program = PluginProgram.make(tmp_path / "bin", credential(token="t-1"))
    entry = {
        "apiVersion": V1,
        "command": "bin/get-token",  # relative to the kubeconfig's folder
        "args": ["--cluster", "a b; rm -rf $HOME"],
        "env": [{"name": "CLOUD", "value": "east"}],
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    (tmp_path / "ca").write_bytes(ca)
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    path = kubeconfig(tmp_path, {"exec": entry}, extensions=[extension], **{"certificate-authority": "ca"})
    connection = load_kubeconfig(path)
    write_connection(tmp_path / "copy", connection)
    assert load_kubeconfig(tmp_path / "copy") == connection
    assert connection.bearer() == "t-1"
    (asked,) = program.asked()
    assert asked["argv"] == ["--cluster", "a b; rm -rf $HOME"]  # no shell has seen it
    assert (asked["CLOUD"], asked["input"]) == ("east", "")
    info = json.loads(asked["KUBERNETES_EXEC_INFO"])
    assert (info["kind"], info["apiVersion"]) == ("ExecCredential", V1)
    assert info["spec"]["interactive"] is False
    told = info["spec"]["cluster"]
    assert (told["server"], told["config"]) == ("https://192.0.2.1:6443", {"audience": "x"})
    assert "certificate-authority-data" in told


def test_other_credentials_of_a_user_come_first(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, {"token": "plain", "exec": {"command": "none-such"}})
    assert (load_kubeconfig(path).bearer(), load_kubeconfig(path).plugin) == ("plain", None)


def test_what_it_gives_is_kept_until_shortly_before_it_expires(tmp_path: Path) -> None:
    clock = Hand()
    until = NOW + timedelta(minutes=15)
    first = credential(token="1", expirationTimestamp=f"{until:%Y-%m-%dT%H:%M:%SZ}")
    program = PluginProgram.make(tmp_path, first, credential(token="2"))
    store, plugin = CredentialStore(clock), ExecPlugin(str(program.path))
    assert [store.get(plugin).token for _ in range(3)] == ["1", "1", "1"]
    clock.time = until - timedelta(seconds=11)
    assert store.get(plugin).token == "1"
    clock.time = until - timedelta(seconds=10)
    assert store.get(plugin).token == "2"
    clock.time = until + timedelta(days=1)  # these do not say when they expire
    assert store.get(plugin).token == "2"
    assert len(program.asked()) == 2


def test_what_lives_shortly_is_not_asked_for_all_the_time(tmp_path: Path) -> None:
    clock = Hand()
    until = NOW + timedelta(seconds=5)
    program = PluginProgram.make(tmp_path, credential(token="1", expirationTimestamp=until.isoformat()))
    store, plugin = CredentialStore(clock), ExecPlugin(str(program.path))
    store.get(plugin)
    clock.time = NOW + timedelta(seconds=4)
    store.get(plugin)
    assert len(program.asked()) == 1


def test_what_was_refused_is_renewed_once(tmp_path: Path) -> None:
    program = PluginProgram.make(tmp_path, credential(token="1"), credential(token="2"))
    store, plugin = CredentialStore(Hand()), ExecPlugin(str(program.path))
    refused = store.get(plugin)
    assert store.renew(plugin, refused).token == "2"
    assert store.renew(plugin, refused).token == "2"  # somebody else was refused the same
    assert len(program.asked()) == 2


def test_a_certificate_in_place_of_a_token(tmp_path: Path) -> None:
    certificate, key = (part.decode() for part in new_authority("test").issue("me"))
    given = credential(clientCertificateData=certificate, clientKeyData=key)
    program = PluginProgram.make(tmp_path / "bin", given)
    entry = {"apiVersion": V1, "command": str(program.path), "interactiveMode": "IfAvailable"}
    connection = load_kubeconfig(kubeconfig(tmp_path, {"exec": entry}))
    assert connection.bearer() == ""
    assert connection.credentials().certificate == (certificate.encode(), key.encode())
    assert connection.ssl_context() is not None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("the session has expired: cloud login", "exit code 7\n  the session has expired: cloud login"),
        (credential(), "neither a token nor a certificate"),
        (credential(clientKeyData="k"), "not both"),
        (credential("client.authentication.k8s.io/v1beta1", token="t"), "speaks 'client.authent.*v1beta1'"),
        (credential(token="secret", expirationTimestamp="soon"), "no time: 'soon'"),
        ({"kind": "Secret", "token": "secret"}, "no ExecCredential"),
        ({"kind": "ExecCredential", "apiVersion": V1, "status": "secret"}, "printed no ExecCredential"),
    ],
)
def test_one_that_fails_is_named_with_what_it_said(tmp_path: Path, answer: Any, why: str) -> None:
    program = PluginProgram.make(tmp_path, answer)
    with pytest.raises(NotReadyError, match=why) as failed:
        ask(ExecPlugin(str(program.path), ("--region", "east")))
    assert "get-token, from which the kubeconfig's credentials come" in str(failed.value)
    assert "get-token --region east" in failed.value.hint
    assert "secret" not in str(failed.value)


def test_one_that_is_not_there_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="needs the program none-such, and there is none") as failed:
        ask(ExecPlugin("none-such", install_hint="apt-get install none-such"))
    assert failed.value.hint == "apt-get install none-such"
    with pytest.raises(NotReadyError, match="and there is none") as failed:
        ask(ExecPlugin(str(tmp_path / "absent")))
    assert "install absent" in failed.value.hint


def test_one_that_wants_to_ask_somebody_needs_a_terminal(tmp_path: Path) -> None:
    program = PluginProgram.make(tmp_path, credential(token="t"))
    with pytest.raises(NotReadyError, match="standard input is no terminal"):
        ask(ExecPlugin(str(program.path), interactive_mode="Always"))
    assert program.asked() == []


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "aws"}, "v1alpha1"),
        ({"command": "aws"}, "apiVersion ''"),
        ({"apiVersion": V1, "command": "aws"}, "interactiveMode ''"),
        ({"apiVersion": V1, "command": "aws", "interactiveMode": "Maybe"}, "interactiveMode 'Maybe'"),
        ({"apiVersion": V1, "interactiveMode": "Never"}, "has no command"),
        ({"apiVersion": V1, "command": "aws", "interactiveMode": "Never", "env": [{}]}, "'name'"),
    ],
)
def test_a_user_that_kubectl_would_refuse_is_refused(tmp_path: Path, entry: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_kubeconfig(kubeconfig(tmp_path, {"exec": entry}))
