"""The lab as a guest: what it asks before it comes, and that it takes what is its own and nothing else."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from localkube_process import Served
from plugin_program import V1, PluginProgram, credential

from lab.engine.kube import Kube
from lab.errors import NotReadyError, ProviderError, UsageError
from lab.kube.client import KubeClient
from lab.kube.exec_plugin import Credentials
from lab.kube.kubeconfig import kubeconfig_dict, load_kubeconfig, write_connection
from lab.providers.base import LAB_LABEL
from lab.providers.kubeconfig import KubeconfigProvider


def with_kube(kubeconfig: Path, *requests: tuple[str, str, Any]) -> list[Any]:
    """Answers to (method, path, body)."""

    async def go() -> list[Any]:
        async with KubeClient(load_kubeconfig(kubeconfig)) as kube:
            return [await kube.request(method, path, body=body) for method, path, body in requests]

    return asyncio.run(go())


def namespace(name: str, **labels: str) -> tuple[str, str, Any]:
    return "POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}}


def names(kubeconfig: Path) -> set[str]:
    (found,) = with_kube(kubeconfig, ("GET", "/api/v1/namespaces", None))
    return {item["metadata"]["name"] for item in found["items"]}


def test_a_guest_has_a_kubeconfig_of_its_own_that_needs_no_other_file(host: Served, directory: Path) -> None:
    cluster = KubeconfigProvider(str(host.kubeconfig)).create(directory)
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert load_kubeconfig(cluster.kubeconfig) == load_kubeconfig(host.kubeconfig)
    found = KubeconfigProvider().find(directory)
    assert found is not None
    assert (found.server, found.kubeconfig) == (host.server, cluster.kubeconfig)


def test_it_takes_away_what_carries_its_label_and_nothing_else(host: Served, directory: Path) -> None:
    KubeconfigProvider(str(host.kubeconfig)).create(directory)
    label = {LAB_LABEL: directory.name}
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    before = names(host.kubeconfig)
    with_kube(
        host.kubeconfig,
        namespace("guest-shop", **label),
        namespace("another-shop", **{LAB_LABEL: "another"}),
        namespace("shop"),
        ("POST", roles, {"metadata": {"name": "guest-role", "labels": label}}),
        ("POST", roles, {"metadata": {"name": "their-role"}}),
    )
    provider = KubeconfigProvider()
    assert provider.belongings(directory) == ["clusterroles guest-role", "namespaces guest-shop"]
    provider.delete(directory)
    assert names(host.kubeconfig) == before | {"another-shop", "shop"}
    (left,) = with_kube(host.kubeconfig, ("GET", roles, None))
    assert "their-role" in {role["metadata"]["name"] for role in left["items"]}
    assert "guest-role" not in {role["metadata"]["name"] for role in left["items"]}
    assert list(directory.iterdir()) == []
    provider.delete(directory)  # once more does nothing
    with_kube(
        host.kubeconfig,
        ("DELETE", "/api/v1/namespaces/another-shop", None),
        ("DELETE", "/api/v1/namespaces/shop", None),
        ("DELETE", f"{roles}/their-role", None),
    )
    asyncio.run(_gone(host.kubeconfig, before))


async def _gone(kubeconfig: Path, wanted: set[str]) -> None:
    async with KubeClient(load_kubeconfig(kubeconfig)) as kube, asyncio.timeout(30):
        while {n["metadata"]["name"] for n in (await kube.list("namespaces"))["items"]} != wanted:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("labels", "whose"), [({LAB_LABEL: "other"}, "of the lab 'other'"), ({}, "of somebody else")]
)
def test_a_namespace_that_is_there_already_is_nobodys_to_take(
    host: Served, directory: Path, labels: dict[str, str], whose: str
) -> None:
    before = names(host.kubeconfig)
    with_kube(host.kubeconfig, namespace("guest-shop", **labels))
    with pytest.raises(UsageError, match=f"namespace 'guest-shop' already, {whose}"):
        KubeconfigProvider(str(host.kubeconfig)).create(directory)
    assert "guest-shop" in names(host.kubeconfig)
    with_kube(host.kubeconfig, ("DELETE", "/api/v1/namespaces/guest-shop", None))
    asyncio.run(_gone(host.kubeconfig, before))


def test_every_missing_right_is_named_at_once(host: Served, directory: Path, tmp_path: Path) -> None:
    account = {"metadata": {"name": "poor"}}
    _, token = with_kube(
        host.kubeconfig,
        ("POST", "/api/v1/namespaces/default/serviceaccounts", account),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/poor/token", {"spec": {}}),
    )
    poor = tmp_path / "poor"
    ca = load_kubeconfig(host.kubeconfig).ca_pem
    poor.write_text(json.dumps(kubeconfig_dict(host.server, ca, token["status"]["token"])))
    with pytest.raises(ProviderError) as refused:
        KubeconfigProvider(str(poor)).create(directory)
    said = str(refused.value)
    assert "create namespaces" in said
    assert "escalate clusterroles.rbac.authorization.k8s.io" in said
    assert "everything in the namespace guest-automation" in said
    assert names(host.kubeconfig).isdisjoint({"guest-shop", "guest-lab-system", "guest-automation"})


def test_credentials_that_are_not_accepted(host: Served, directory: Path, tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    ca = load_kubeconfig(host.kubeconfig).ca_pem
    stale.write_text(json.dumps(kubeconfig_dict(host.server, ca, "expired")))
    with pytest.raises(NotReadyError, match="does not accept the kubeconfig's credentials") as refused:
        KubeconfigProvider(str(stale)).create(directory)
    assert "expired" in refused.value.hint


def test_a_cluster_that_does_not_answer(directory: Path, tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    dead.write_text(json.dumps(kubeconfig_dict("http://127.0.0.1:1", b"", "t", user="away")))
    with pytest.raises(NotReadyError, match=r"context .away. does not answer at http://127\.0\.0\.1:1"):
        KubeconfigProvider(str(dead)).create(directory)


def test_a_context_that_looks_like_production_is_named_twice(
    host: Served, directory: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load(host.kubeconfig.read_text())
    config["contexts"][0]["name"] = config["current-context"] = "eu-production"
    given = tmp_path / "given"
    given.write_text(yaml.safe_dump(config))
    with pytest.raises(UsageError, match="looks like production"):
        KubeconfigProvider(str(given)).create(directory)
    with pytest.raises(UsageError, match="looks like production"):
        KubeconfigProvider(str(given), "eu-production", "production").create(directory)
    KubeconfigProvider(str(given), "eu-production", "eu-production").create(directory)


def test_what_is_asked_for_must_make_sense(host: Served, directory: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a kubeconfig"):
        KubeconfigProvider().create(directory)
    with pytest.raises(UsageError, match="no context 'away'"):
        KubeconfigProvider(str(host.kubeconfig), "away").create(directory)
    with pytest.raises(UsageError, match="--nodes is for the local provider"):
        KubeconfigProvider(str(host.kubeconfig)).create(directory, nodes=3)


def of_program(host: Served, path: Path, program: PluginProgram) -> Path:
    """Somebody's kubeconfig whose credentials come from a program."""
    config = yaml.safe_load(host.kubeconfig.read_text())
    entry = {"apiVersion": V1, "command": str(program.path), "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": entry}
    path.write_text(yaml.safe_dump(config))
    return path


def test_credentials_from_a_program_are_renewed_when_they_are_refused(
    host: Served, directory: Path, tmp_path: Path
) -> None:
    token = load_kubeconfig(host.kubeconfig).bearer()
    program = PluginProgram.make(tmp_path / "bin", credential(token="expired"), credential(token=token))
    given = of_program(host, tmp_path / "given", program)
    cluster = KubeconfigProvider(str(given)).create(directory)
    assert len(program.asked()) == 2
    assert token not in cluster.kubeconfig.read_text()
    assert with_kube(cluster.kubeconfig, ("GET", "/version", None))
    program.answers("please log in again")
    refused = Credentials(token=token)
    with pytest.raises(NotReadyError, match=r"get-token, .*\n  please log in again"):
        load_kubeconfig(cluster.kubeconfig).renew(refused)


def test_the_official_client_renews_them_too(host: Served, directory: Path, tmp_path: Path) -> None:
    token = load_kubeconfig(host.kubeconfig).bearer()
    program = PluginProgram.make(tmp_path / "bin", credential(token="expired"), credential(token=token))
    write_connection(
        directory / "admin.kubeconfig", load_kubeconfig(of_program(host, tmp_path / "given", program))
    )
    kube = Kube(directory / "admin.kubeconfig")
    try:
        assert kube.config_map("kube-system", "kube-root-ca.crt")["ca.crt"]
    finally:
        kube.close()
    assert len(program.asked()) == 2


def test_a_program_that_fails_is_named_and_nothing_is_made(
    host: Served, directory: Path, tmp_path: Path
) -> None:
    before = names(host.kubeconfig)
    given = of_program(host, tmp_path / "given", PluginProgram.make(tmp_path / "bin", "not logged in"))
    with pytest.raises(NotReadyError, match="exit code 7\n  not logged in"):
        KubeconfigProvider(str(given)).create(directory)
    assert names(host.kubeconfig) == before


def test_files_beside_a_kubeconfig_come_into_the_copy(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "ca").write_bytes(b"CA")
    (tmp_path / "a" / "token").write_text("secret\n")
    config = kubeconfig_dict("https://192.0.2.1", b"", "")
    config["clusters"][0]["cluster"]["certificate-authority"] = "ca"
    config["users"][0]["user"] = {"tokenFile": "token"}
    (tmp_path / "a" / "config").write_text(json.dumps(config))
    write_connection(tmp_path / "copy", load_kubeconfig(tmp_path / "a" / "config"))
    copy = load_kubeconfig(tmp_path / "copy")
    assert (copy.ca_pem, copy.bearer()) == (b"CA", "secret")
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(OSError, match="No such file"):
        copy.bearer()  # a token that is rotated stays where it is
