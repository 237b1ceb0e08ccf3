"""What is wrong with somebody's cluster or the way to it: named with the way out, and nothing is made."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, TCPConnector, web
from localkube_process import Served

from lab.errors import LabError, NotReadyError, ProviderError
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import kubeconfig_dict, load_kubeconfig, write_connection
from lab.kube.pki import new_authority
from lab.providers import asking, guest
from lab.providers.kubeconfig import KubeconfigProvider

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server in a thread, and its port."""
    loop = asyncio.new_event_loop()

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(answer))  # type: ignore[arg-type]
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        return runner

    runner = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def given(folder: Path, server: str, token: str = "t", ca: bytes = b"") -> str:
    path = folder / "given"
    path.write_text(json.dumps(kubeconfig_dict(server, ca, token, user="away")))
    return str(path)


def refused(kubeconfig: str, directory: Path) -> LabError:
    """What `lab up` says, having made nothing."""
    with pytest.raises(LabError) as caught:
        KubeconfigProvider(kubeconfig).create(directory)
    return caught.value


async def version(request: web.Request) -> web.StreamResponse:
    return web.json_response({"major": "1", "minor": "29", "gitVersion": "v1.29.4"})


def test_nothing_listens(directory: Path, tmp_path: Path) -> None:
    error = refused(given(tmp_path, "https://127.0.0.1:1"), directory)
    assert isinstance(error, NotReadyError)
    assert "context 'away' does not answer at https://127.0.0.1:1" in error.message
    assert "is the cluster stopped" in error.hint


def test_nothing_comes(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (asking, guest):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    with socket.socket() as mute:  # takes connections and says nothing, as a firewall that drops
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        error = refused(given(tmp_path, f"https://127.0.0.1:{mute.getsockname()[1]}"), directory)
    assert "nothing came in 0.3 s" in error.message
    assert "VPN" in error.hint


def test_a_name_that_nobody_knows(directory: Path, tmp_path: Path) -> None:
    error = refused(given(tmp_path, "https://lab.invalid:6443"), directory)
    assert "does not answer at https://lab.invalid:6443" in error.message
    assert "name" in error.hint


def test_a_server_of_another_authority(host: Served, directory: Path, tmp_path: Path) -> None:
    ca = new_authority("another").cert_pem
    error = refused(given(tmp_path, host.server, ca=ca), directory)
    assert "certificate verify failed" in error.message
    assert "certificate-authority" in error.hint


def test_https_where_http_is_spoken_and_the_other_way(host: Served, directory: Path, tmp_path: Path) -> None:
    with serving(version) as port:
        error = refused(given(tmp_path, f"https://127.0.0.1:{port}"), directory)
    assert "plain http" in error.hint
    error = refused(given(tmp_path, host.server.replace("https://", "http://")), directory)
    assert isinstance(error, NotReadyError)
    assert "http" in error.hint


def test_an_old_cluster(directory: Path, tmp_path: Path) -> None:
    with serving(version) as port:
        error = refused(given(tmp_path, f"http://127.0.0.1:{port}"), directory)
    assert error.message == "the cluster runs Kubernetes 1.29, and the lab needs 1.30"
    assert "local" in error.hint


def test_a_cluster_without_an_api_that_is_needed(host: Served, directory: Path, tmp_path: Path) -> None:
    connection = load_kubeconfig(host.kubeconfig)

    async def without(request: web.Request) -> web.StreamResponse:
        async with (
            ClientSession(connector=TCPConnector(ssl=connection.ssl_context() or True)) as session,
            session.request(
                request.method,
                host.server + request.raw_path,
                data=await request.read(),
                headers={k: v for k, v in request.headers.items() if k in ("Authorization", "Content-Type")},
            ) as answer,
        ):
            body = await answer.json()
        if request.path == "/apis/admissionregistration.k8s.io/v1":
            body["resources"] = [r for r in body["resources"] if "policies" not in r["name"]]
        return web.json_response(body, status=answer.status)

    with serving(without) as port:
        error = refused(given(tmp_path, f"http://127.0.0.1:{port}", connection.bearer()), directory)
    assert isinstance(error, ProviderError)
    assert "\n  - validatingadmissionpolicies of admissionregistration.k8s.io/v1" in error.message
    assert "--runtime-config" in error.hint


def test_new_credentials_of_the_given_kubeconfig_are_taken_over(
    host: Served, directory: Path, tmp_path: Path
) -> None:
    path = tmp_path / "given"
    path.write_text(host.kubeconfig.read_text())
    provider = KubeconfigProvider(str(path))
    cluster = provider.create(directory)
    write_connection(cluster.kubeconfig, load_kubeconfig(given(tmp_path / "..", host.server, "expired")))
    own = json.loads(cluster.kubeconfig.read_text())
    assert own["users"][0]["user"]["token"] == "expired"
    assert provider.find(directory) is not None
    assert load_kubeconfig(cluster.kubeconfig) == load_kubeconfig(host.kubeconfig)
    path.unlink()  # then the lab's own counts
    assert provider.find(directory) is not None
    provider.delete(directory)


def test_credentials_that_expire_meanwhile_leave_the_folder_for_the_next_try(
    host: Served, directory: Path, tmp_path: Path
) -> None:
    path = tmp_path / "given"
    path.write_text(host.kubeconfig.read_text())
    provider = KubeconfigProvider(str(path))
    provider.create(directory)
    expired: dict[str, Any] = yaml.safe_load(host.kubeconfig.read_text())
    expired["users"][0]["user"] = {"token": "expired"}
    path.write_text(yaml.safe_dump(expired))
    with pytest.raises(NotReadyError, match="does not accept the kubeconfig's credentials") as caught:
        provider.delete(directory)
    assert "get new ones" in caught.value.hint
    assert (directory / "provider.json").exists()
    path.write_text(host.kubeconfig.read_text())
    provider.delete(directory)
    assert list(directory.iterdir()) == []


async def test_a_missing_right_is_named_for_a_real_user(
    host: Served, directory: Path, tmp_path: Path
) -> None:
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "create", "delete"]}]
    subject = {"kind": "ServiceAccount", "name": "most", "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "most"}
    async with KubeClient(load_kubeconfig(host.kubeconfig)) as kube:
        await kube.create("serviceaccounts", {"metadata": {"name": "most"}}, "default")
        await kube.create("clusterroles", {"metadata": {"name": "most"}, "rules": rules})
        binding = {"metadata": {"name": "most"}, "subjects": [subject], "roleRef": role}
        await kube.create("clusterrolebindings", binding)
        token = await kube.create(
            "serviceaccounts", {"spec": {}}, "default", name="most", subresource="token"
        )
    ca = load_kubeconfig(host.kubeconfig).ca_pem
    user = given(tmp_path, host.server, token["status"]["token"], ca)
    error = await asyncio.to_thread(refused, user, directory)
    assert "\n  - bind clusterroles.rbac.authorization.k8s.io" in error.message
    assert "create namespaces" not in error.message
    assert "docs/providers.md" in error.hint
