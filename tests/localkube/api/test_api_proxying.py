"""The proxy subresources: HTTP through the API server to a pod, to a service and to a node's port."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from kubectls import Kubectl, kubectl_program
from localkube_process import Served

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.localkube.api.proxying import rewritten

PREFIX = "/api/v1/namespaces/n/services/s/proxy"


@dataclass
class Backend:
    """A web server that a pod stands for, and what it was asked."""

    address: str
    port: int = 0
    asked: list[web.Request] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": f"http://{self.address}:{self.port}/there/"})
        body = {"method": request.method, "path": request.raw_path, "body": (await request.read()).decode()}
        return web.json_response(body, status=418 if request.path == "/teapot" else 200)


@pytest.fixture
async def backend(served: Served) -> AsyncIterator[Backend]:
    """Listens where a pod of this cluster could."""
    found = Backend(f"127.{served.block}.0.77")
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, found.address, 0)
    await site.start()
    found.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    yield found
    await runner.cleanup()


@pytest.fixture
async def pod(kube: KubeClient, namespace: str, backend: Backend) -> str:
    """A pod at the backend's address, and the service s in front of it."""
    containers = [{"name": "c", "image": "i", "ports": [{"containerPort": backend.port}]}]
    pod = {"metadata": {"name": "p"}, "spec": {"schedulerName": "nobody", "containers": containers}}
    await kube.create("pods", pod, namespace)
    status = {"status": {"phase": "Running", "podIP": backend.address, "podIPs": [{"ip": backend.address}]}}
    await kube.request(
        "PATCH",
        f"/api/v1/namespaces/{namespace}/pods/p/status",
        body=status,
        content_type="application/merge-patch+json",
    )
    ports = [{"name": "web", "port": 80}]
    await kube.create("services", {"metadata": {"name": "s"}, "spec": {"ports": ports}}, namespace)
    reference = {"kind": "Pod", "name": "p", "namespace": namespace}
    stranger = {"ip": f"{backend.address}8"}
    addresses = [stranger, {"ip": backend.address, "targetRef": reference}]
    subset = {"addresses": addresses, "ports": [{"name": "web", "port": backend.port}]}
    await kube.create("endpoints", {"metadata": {"name": "s"}, "subsets": [subset]}, namespace)
    return f"/api/v1/namespaces/{namespace}"


async def test_paths_methods_and_bodies_go_through(kube: KubeClient, pod: str, backend: Backend) -> None:
    for through in ("pods/p", f"pods/p:{backend.port}", "services/s:web", "services/http:s:80"):
        seen = await kube.request("GET", f"{pod}/{through}/proxy/a%2Fb/?x=1&y=%20")
        assert seen == {"method": "GET", "path": "/a%2Fb/?x=1&y=%20", "body": ""}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        seen = await kube.request(
            method, f"{pod}/pods/p/proxy/things", body=b"hello", content_type="text/plain"
        )
        assert seen == {"method": method, "path": "/things", "body": "hello"}
    asked = backend.asked[-1]
    assert asked.headers["X-Forwarded-Uri"] == f"{pod}/pods/p/proxy/things"
    assert asked.headers["Host"] == kube.connection.server.removeprefix("https://")


async def test_credentials_stay_with_the_api_server(served: Served, pod: str, backend: Backend) -> None:
    connection = load_kubeconfig(served.kubeconfig)
    headers = {
        "Authorization": f"Bearer {connection.bearer()}",
        "Impersonate-User": "kubernetes-admin",
        "Impersonate-Group": "system:masters",
        "Connection": "X-Hop",
        "X-Hop": "1",
        "X-Kept": "2",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{connection.server}{pod}/pods/p/proxy/teapot", headers=headers, ssl=connection.ssl_context()
        ) as answer,
    ):
        assert (answer.status, (await answer.json())["path"]) == (418, "/teapot")
    seen = {name.lower() for name in backend.asked[-1].headers}
    assert "x-kept" in seen
    assert seen.isdisjoint({"authorization", "impersonate-user", "impersonate-group", "x-hop"})


async def test_redirects_stay_behind_the_proxy(served: Served, pod: str, backend: Backend) -> None:
    connection = load_kubeconfig(served.kubeconfig)
    bearer = {"Authorization": f"Bearer {connection.bearer()}"}
    wanted = {"": f"{pod}/services/s:80/proxy/", "/moved": f"{pod}/services/s:80/proxy/there/"}
    async with aiohttp.ClientSession(headers=bearer) as session:
        for path, location in wanted.items():
            async with session.get(
                f"{connection.server}{pod}/services/s:80/proxy{path}",
                ssl=connection.ssl_context(),
                allow_redirects=False,
            ) as answer:
                assert answer.headers["Location"] == location
                assert answer.status == (302 if path else 301)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/a", f"{PREFIX}/a"),
        ("/a/../b/?x=1#y", f"{PREFIX}/b/?x=1#y"),
        (f"{PREFIX}/a", f"{PREFIX}/a"),
        ("a/b", "a/b"),
        ("http://127.0.0.9:8080/a", f"{PREFIX}/a"),
        ("https://api:6443/a", f"https://api:6443{PREFIX}/a"),
        ("http://elsewhere/a", "http://elsewhere/a"),
    ],
)
def test_where_a_location_leads(location: str, leads_to: str) -> None:
    assert rewritten(location, PREFIX, "127.0.0.9:8080", "api:6443") == leads_to


async def test_a_port_of_a_node(kube: KubeClient, namespace: str, backend: Backend) -> None:
    addresses = [{"type": "InternalIP", "address": backend.address}]
    node = {"metadata": {"name": f"n-{namespace}"}, "status": {"addresses": addresses}}
    await kube.create("nodes", node)
    seen = await kube.request("GET", f"/api/v1/nodes/n-{namespace}:{backend.port}/proxy/x")
    assert seen["path"] == "/x"
    await kube.delete("nodes", f"n-{namespace}")


async def test_kubectl_reads_through_it(
    kubectl_of: Callable[..., Kubectl], pod: str, backend: Backend
) -> None:
    seen = await asyncio.to_thread(kubectl_of(), "get", "--raw", f"{pod}/services/s:web/proxy/x?y=z")
    assert json.loads(seen)["path"] == "/x?y=z"


async def test_kubectl_proxy(served: Served, pod: str, backend: Backend, tmp_path: Path) -> None:
    environment = {"KUBECONFIG": str(served.kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    proxy = await asyncio.create_subprocess_exec(
        kubectl_program(), "proxy", "--port=0", stdout=asyncio.subprocess.PIPE, env=environment
    )
    try:
        assert proxy.stdout is not None
        server = (await proxy.stdout.readline()).decode().split()[-1]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{server}{pod}/services/s:web/proxy/moved") as answer,
        ):
            assert str(answer.url) == f"http://{server}{pod}/services/s:web/proxy/there/"
            assert (await answer.json())["path"] == "/there/"
    finally:
        proxy.terminate()
        await proxy.wait()
