"""A gateway of one lab among several on a cluster: clients say plain names, the cluster has real ones."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import any_cluster
import pytest
import pytest_asyncio
import yaml
from gateway_stage import TOKEN
from kubectls import kubectl_program

from lab.core.clock import SystemClock
from lab.core.namespaces import PLAIN, Namespaces
from lab.core.places import data_root
from lab.engine.renaming import renamed
from lab.gateway.app import Gateway, build
from lab.gateway.names import real_body
from lab.gateway.server import server_context, start_front
from lab.gateway.settings import GatewaySettings
from lab.kube.client import APPLY, STRATEGIC_PATCH, KubeClient
from lab.kube.kubeconfig import Connection, load_kubeconfig, write_kubeconfig
from lab.kube.pki import new_authority
from lab.kube.renaming import Renaming
from lab.kube.status import StatusError

pytestmark = [any_cluster.own_cluster_only, pytest.mark.asyncio(loop_scope="module")]
_numbers = itertools.count(1)


@dataclass
class Shared:
    """A cluster of two labs. admin: as the cluster has it; client: the automation of the first lab."""

    own: Namespaces
    other: Namespaces
    admin: KubeClient
    gateway: Gateway
    client: KubeClient
    folder: Path

    def records(self) -> list[dict[str, Any]]:
        return self.gateway.book.read(0, 1000)

    async def mode(self, mode: str) -> None:
        data = {"data": {"mode": mode}}
        await self.admin.patch("configmaps", "automation-control", data, self.own.real("lab-system"))
        async with asyncio.timeout(10):
            while self.gateway.control.last.mode.value != mode:
                await self.gateway.control.read()

    async def pods(self, lab: Namespaces) -> set[str]:
        return {pod["metadata"]["name"] for pod in (await self.admin.list("pods", lab.real("shop")))["items"]}


async def furnish(kube: KubeClient, namespaces: Namespaces) -> None:
    """The rights of one lab, its wall, its control and two pods that nobody runs."""
    made = [{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}} for name in PLAIN]
    for file in ("gateway.yaml", "automation-rbac.yaml", "shadow-wall.yaml"):
        text = (data_root() / "clusters" / "base" / file).read_text()
        made += [m for m in yaml.safe_load_all(text) if m["kind"] not in ("Deployment", "Service")]
    control = {"name": "automation-control", "namespace": "lab-system"}
    made.append({"kind": "ConfigMap", "metadata": control, "data": {"mode": "shadow", "killSwitch": "off"}})
    made += [pod("one"), pod("two"), any_cluster.worker(replicas=0)]
    for manifest in made:
        await kube.create(manifest["kind"], renamed(manifest, namespaces))


def pod(name: str) -> dict[str, Any]:
    spec = {"schedulerName": any_cluster.UNSCHEDULED, "containers": [{"name": "c", "image": "toil-lab"}]}
    return {"kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """One for all tests: each brings two labs of its own."""
    with any_cluster.cluster(tmp_path_factory.mktemp("shared")) as kubeconfig:
        yield kubeconfig
        await asyncio.sleep(0.5)  # connections to the API server say goodbye


@pytest_asyncio.fixture(loop_scope="module")
async def shared(cluster: Path, tmp_path: Path) -> AsyncIterator[Shared]:
    connection, number = load_kubeconfig(cluster), next(_numbers)
    own, other = Namespaces(f"team-a{number}"), Namespaces(f"team-b{number}")
    async with KubeClient(connection) as admin:
        for namespaces in (own, other):
            await furnish(admin, namespaces)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await admin.create(
            "serviceaccounts", request, own.real("lab-system"), name="gateway", subresource="token"
        )
        credentials = replace(connection, token=answer["status"]["token"], client_certificate=None)
        async with Serving(tmp_path, credentials, own.prefix) as (gateway, client):
            yield Shared(own, other, admin, gateway, client, tmp_path)


class Serving:
    """A gateway of the first lab, and a client of it."""

    def __init__(self, folder: Path, connection: Connection, prefix: str) -> None:
        (folder / "clients").mkdir()
        (folder / "clients" / "automation").write_text(TOKEN)
        environment = {
            "LAB_NAMESPACE_PREFIX": prefix,
            "POD_NAMESPACE": f"{prefix}-lab-system",
            "GATEWAY_CLIENTS_DIR": str(folder / "clients"),
            "GATEWAY_AUDIT_FILE": str(folder / "audit.jsonl"),
        }
        authority = new_authority("test")
        cert, key = authority.issue("gateway", ip_addresses=["127.0.0.1"])
        (folder / "tls.crt").write_bytes(cert)
        (folder / "tls.key").write_bytes(key)
        self.folder, self.ca = folder, authority.cert_pem
        self.gateway = build(GatewaySettings.from_environment(environment), connection, SystemClock())

    async def __aenter__(self) -> tuple[Gateway, KubeClient]:
        self.runner = await start_front(self.gateway.front, "127.0.0.1", 0, server_context(self.folder))
        self.following = asyncio.create_task(self.gateway.follow(SystemClock()))
        server = f"https://127.0.0.1:{self.runner.addresses[0][1]}"
        write_kubeconfig(self.folder / "client", server, self.ca, TOKEN, namespace="shop")
        self.client = KubeClient(load_kubeconfig(self.folder / "client"))
        return self.gateway, self.client

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        self.following.cancel()
        await asyncio.gather(self.following, return_exceptions=True)
        await self.runner.cleanup()
        await self.gateway.close()


async def test_reads_watches_and_tables_speak_of_plain_names(shared: Shared) -> None:
    for given in ("shop", shared.own.real("shop")):
        listed = await shared.client.list("pods", given)
        assert {item["metadata"]["namespace"] for item in listed["items"]} == {"shop"}
        one = await shared.client.get("pods", "one", given)
        assert one["metadata"]["namespace"] == "shop"
        table = await shared.client.request(
            "GET",
            f"/api/v1/namespaces/{given}/pods",
            headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
        )
        assert table["rows"][0]["object"]["metadata"]["namespace"] == "shop"
        found = {"ADDED"}
        async with asyncio.timeout(20):
            watch = shared.client.watch("pods", given, field_selector="metadata.namespace=shop")
            async for event in watch:
                found.add(event["object"]["metadata"]["namespace"])
                if event["object"]["metadata"].get("name") == "two":
                    break
            await watch.aclose()  # type: ignore[attr-defined]
        assert found == {"ADDED", "shop"}
    assert {record["namespace"] for record in shared.records()} == {"shop"}


async def test_shadow_records_plain_names_and_live_acts_on_the_labs_own(shared: Shared) -> None:
    answer = await shared.client.delete("pods", "one", "shop")
    assert answer["metadata"]["namespace"] == "shop"
    assert await shared.pods(shared.own) == {"one", "two"}
    record = shared.records()[-1]
    assert (record["decision"], record["namespace"]) == ("shadowed", "shop")
    assert record["before"]["metadata"]["namespace"] == "shop"
    await shared.mode("live")
    eviction = {"metadata": {"name": "one", "namespace": "shop"}}
    for name in ("one", "two"):
        body = {**eviction, "metadata": {"name": name, "namespace": "shop"}}
        await shared.client.create("pods", body, "shop", name=name, subresource="eviction")
    assert await shared.pods(shared.own) == set()
    assert await shared.pods(shared.other) == {"one", "two"}
    assert {record["namespace"] for record in shared.records()} == {"shop"}


@pytest.mark.parametrize("content_type", ["", STRATEGIC_PATCH, APPLY])
async def test_objects_that_a_client_writes_back_fit(shared: Shared, content_type: str) -> None:
    await shared.mode("live")
    before = await shared.client.get("deployments", "worker", "shop")
    host = "http://payments.shop.svc:8080"
    container = {"name": "worker", "image": "toil-lab", "env": [{"name": "URL", "value": host}]}
    change: dict[str, Any] = {"spec": {"template": {"spec": {"containers": [container]}}}}
    if content_type == APPLY:
        body = {"apiVersion": "apps/v1", "kind": "Deployment", **change}
        body["metadata"] = {"name": "worker", "namespace": "shop"}
        answer = await shared.client.request(
            "PATCH",
            "/apis/apps/v1/namespaces/shop/deployments/worker",
            body=yaml.safe_dump(body).encode(),
            query={"fieldManager": "test", "force": True},
            content_type=APPLY,
        )
    elif content_type:
        answer = await shared.client.patch("deployments", "worker", change, content_type=content_type)
    else:
        before["spec"]["template"]["spec"]["containers"][0]["env"] = container["env"]
        answer = await shared.client.update("deployments", before)
    stored = await shared.admin.get("deployments", "worker", shared.own.real("shop"))
    env = stored["spec"]["template"]["spec"]["containers"][0]["env"]
    assert env == [{"name": "URL", "value": f"http://{shared.own.host('payments', 'shop')}:8080"}]
    assert answer["spec"]["template"]["spec"]["containers"][0]["env"] == container["env"]
    assert answer["metadata"]["namespace"] == "shop"
    untouched = await shared.admin.get("deployments", "worker", shared.other.real("shop"))
    assert "env" not in untouched["spec"]["template"]["spec"]["containers"][0]


async def test_reviews_are_about_the_labs_own(shared: Shared) -> None:
    for namespace, allowed in (
        ("shop", True),
        (shared.own.real("shop"), True),
        (shared.other.real("shop"), False),
    ):
        attributes = {"namespace": namespace, "verb": "list", "resource": "pods"}
        spec = {"spec": {"resourceAttributes": attributes}}
        review = await shared.client.create("selfsubjectaccessreviews", spec)
        assert bool(review["status"].get("allowed")) is allowed, namespace


async def test_another_lab_is_out_of_reach(shared: Shared) -> None:
    for mode in ("shadow", "live"):
        await shared.mode(mode)
        await nothing_of_the_other_lab_is_reached(shared)


async def nothing_of_the_other_lab_is_reached(shared: Shared) -> None:
    before, there = await shared.pods(shared.other), shared.other.real("shop")
    for attempt in (
        lambda: shared.client.list("pods", there),
        lambda: shared.client.list("pods", ""),
        lambda: shared.client.delete("pods", "one", there),
        lambda: shared.client.get("configmaps", "automation-control", shared.other.real("lab-system")),
        lambda: shared.client.patch("deployments", "worker", {"spec": {"replicas": 3}}, there),
    ):
        with pytest.raises(StatusError) as refused:
            await attempt()
        assert refused.value.code == 403
        assert "team-a" not in refused.value.message
    assert await shared.pods(shared.other) == before


async def test_the_other_labs_wall_and_groups_are_its_own(shared: Shared) -> None:
    """What is bound to a group of one lab is nothing to the other's gateway, even with its credentials."""
    own = shared.gateway.upstream.connection
    async with KubeClient(own) as gateway:
        for lab, code in ((shared.own, 200), (shared.other, 403)):
            headers = {
                "Impersonate-User": f"system:serviceaccount:{shared.own.real('automation')}:automation",
                "Impersonate-Group": lab.group("toil-lab:live"),
            }
            try:
                await gateway.request(
                    "GET", f"/api/v1/namespaces/{shared.own.real('shop')}/pods", headers=headers
                )
                got = 200
            except StatusError as error:
                got = error.code
            assert got == code, lab


@pytest.mark.slow
async def test_kubectl_works_with_plain_names(shared: Shared) -> None:
    program = kubectl_program()
    await shared.mode("live")
    changed = json.dumps(any_cluster.worker(replicas=0) | {"kind": "Deployment", "apiVersion": "apps/v1"})

    async def kubectl(*arguments: str, stdin: str = "") -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            env={
                "KUBECONFIG": str(shared.folder / "client"),
                "PATH": os.environ["PATH"],
                "HOME": str(shared.folder),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate(stdin.encode())
        return process.returncode or 0, out.decode()

    for arguments, stdin, said in (
        (("get", "pods", "-n", "shop"), "", "one"),
        (("get", "pods", "-o", "jsonpath={.items[*].metadata.namespace}"), "", "shop shop"),
        (("apply", "-f", "-"), changed, "configured"),
        (("apply", "-f", "-"), changed, "unchanged"),
        (("apply", "--server-side", "--force-conflicts", "-f", "-"), changed, "serverside-applied"),
        (("auth", "can-i", "delete", "pods", "-n", "shop"), "", "yes"),
        (("delete", "pod", "one", "-n", "shop", "--wait=false"), "", "deleted"),
        (("rollout", "restart", "deployment/worker"), "", "restarted"),
        (("create", "configmap", "x", "-n", "shop", "--dry-run=client", "-o", "name"), "", "configmap/x"),
    ):
        code, out = await kubectl(*arguments, stdin=stdin)
        assert (code, said in out) == (0, True), f"{arguments}: {out}"
        assert "team-" not in out
    code, out = await kubectl("get", "secrets", "-n", "lab-system")
    assert code == 1
    assert 'cannot list resource "secrets" in API group "" in the namespace "lab-system"' in out


async def test_a_client_of_the_labs_own_says_plain_names_too(shared: Shared) -> None:
    async with KubeClient(shared.admin.connection, renaming=Renaming(shared.other)) as kube:
        assert {p["metadata"]["namespace"] for p in (await kube.list("pods", "shop"))["items"]} == {"shop"}
        made = await kube.create("configmaps", {"metadata": {"name": "x", "namespace": "shop"}})
        assert made["metadata"]["namespace"] == "shop"
        async with asyncio.timeout(20):
            watch = kube.watch("configmaps", "shop", field_selector="metadata.name=x")
            async for event in watch:
                assert event["object"]["metadata"]["namespace"] == "shop"
                break
            await watch.aclose()  # type: ignore[attr-defined]
    found = await shared.admin.get("configmaps", "x", shared.other.real("shop"))
    assert found["metadata"]["namespace"] == shared.other.real("shop")


async def test_protobuf_that_cannot_be_read_goes_as_it_is() -> None:
    renaming = Renaming(Namespaces("team-a"))
    for body in (b"k8s\x00\xff\xff", b"k8s\x00\x0a\x7fx", b"k8s\x00\x07"):
        assert real_body(renaming, body, "application/vnd.kubernetes.protobuf") == body
    metadata = b"\x0a\x04shop\x1a\x04shop"  # name, namespace
    pod = b"\x0a" + bytes([len(metadata)]) + metadata
    body = b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12" + bytes([len(pod)]) + pod
    made = real_body(renaming, body, "application/vnd.kubernetes.protobuf")
    assert made is not None
    assert made.count(b"team-a-shop") == 1
    assert b"\x0a\x04shop\x1a\x0bteam-a-shop" in made
