"""The gateway as its pod runs it: manifests, process, TLS, admin port, an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from lab.core.places import data_root
from lab.kube.kubeconfig import write_kubeconfig
from lab.kube.pki import new_authority

MANIFESTS = [data_root() / "clusters" / "base" / name for name in ("gateway.yaml", "automation-rbac.yaml")]


@pytest.mark.filterwarnings("ignore")  # of the validator's own imports
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_strictly_valid(path: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    documents = list(yaml.safe_load_all(path.read_text()))
    assert documents
    for document in documents:
        validate.validate(document, "1.32", strict=True)


def test_shadow_and_live_have_the_same_rights() -> None:
    bindings = [d for d in yaml.safe_load_all(MANIFESTS[1].read_text()) if d["kind"] == "RoleBinding"]
    groups = {subject["name"] for binding in bindings for subject in binding["subjects"]}
    assert groups == {"toil-lab:shadow", "toil-lab:live"}
    assert all(len(binding["subjects"]) == 2 for binding in bindings)


def free_ports(count: int) -> list[int]:
    import socket

    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def test_the_process_serves_tls_and_ends_on_sigterm(rig: Any, tmp_path: Path) -> None:
    authority = new_authority("test")
    cert, key = authority.issue("gateway", ip_addresses=["127.0.0.1"])
    folder = tmp_path / "tls"
    folder.mkdir()
    (folder / "tls.crt").write_bytes(cert)
    (folder / "tls.key").write_bytes(key)
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, rig.gateway.upstream.connection.server, b"", "of-the-gateway")
    port, admin_port = free_ports(2)
    audit = tmp_path / "var" / "audit.jsonl"
    env = os.environ | {
        "KUBECONFIG": str(kubeconfig), "GATEWAY_TLS_DIR": str(folder), "GATEWAY_LISTEN_PORT": str(port),
        "GATEWAY_ADMIN_PORT": str(admin_port), "GATEWAY_CLIENTS_DIR": str(rig.folder / "clients"),
        "GATEWAY_AUDIT_FILE": str(audit), "LAB_ADMIN_TOKEN": "admin", "POD_IP": "127.0.0.1",
    }  # fmt: skip
    context = ssl.create_default_context(cadata=authority.cert_pem.decode())
    pod = "/api/v1/namespaces/shop/pods/worker-1"
    rig.api.objects[pod] = {"kind": "Pod", "metadata": {"name": "worker-1"}}
    for run in (1, 2):
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "lab.gateway", env=env)
        try:
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {'admin'}"}) as client:
                await _ready(client, f"http://127.0.0.1:{admin_port}/readyz")
                headers = {"Authorization": "Bearer secret-of-the-automation"}
                url = f"https://127.0.0.1:{port}{pod}"
                async with client.delete(url, headers=headers, ssl=context) as answer:
                    assert answer.status == 200
                async with client.get(f"http://127.0.0.1:{admin_port}/intents") as answer:
                    assert [r["seq"] for r in (await answer.json())["records"]] == list(range(1, run + 1))
                async with client.get(f"http://127.0.0.1:{admin_port}/metrics") as answer:
                    assert 'toil_gateway_mode{mode="shadow"} 1.0' in await answer.text()
        finally:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
    assert rig.api.applied == []
    assert audit.stat().st_mode & 0o077 == 0


async def test_a_missing_certificate_is_said_plainly(rig: Any, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, "http://127.0.0.1:9", b"", "t")
    env = os.environ | {
        "KUBECONFIG": str(kubeconfig), "GATEWAY_TLS_DIR": str(tmp_path / "none"),
        "GATEWAY_AUDIT_FILE": str(tmp_path / "audit.jsonl"), "POD_IP": "127.0.0.1",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lab.gateway", env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 3
    assert b"certificate" in out
    assert b"Traceback" not in out


async def _ready(client: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                async with client.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
