"""The official Python client's Watch: it goes on where it was cut, and is told when it is too late."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException
from localkube_process import Served

from lab.kube.client import KubeClient

CLIENT = "python (watch)"
MORE_THAN_KEPT = 6_200
"""Writes after which the server has forgotten the first of them."""


class Cable:
    """A connection to the server that can be cut: a relay of bytes."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._carry, args=(source, sink)))
                self._threads[-1].start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Drop every connection; new ones may come."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()


@contextmanager
def through_a_cable(served: Served) -> Iterator[tuple[client.CoreV1Api, Cable]]:
    target = urlsplit(served.server)
    cable = Cable(target.hostname or "", target.port or 0)
    settings = client.Configuration()
    config.load_kube_config(str(served.kubeconfig), client_configuration=settings)
    settings.host, settings.assert_hostname = f"https://127.0.0.1:{cable.port}", False
    try:
        with client.ApiClient(settings) as api:
            yield client.CoreV1Api(api), cable
    finally:
        cable.close()


@pytest.fixture
def core(cluster: Served) -> Iterator[client.CoreV1Api]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as api:
        yield client.CoreV1Api(api)


def made(core: client.CoreV1Api, namespace: str, name: str) -> str:
    body = client.V1Secret(metadata=client.V1ObjectMeta(name=name))
    return str(core.create_namespaced_secret(namespace, body).metadata.resource_version)


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="stream, resumed after a lost connection, stop")
def test_a_watch_that_is_cut_goes_on_where_it_was(
    cluster: Served, core: client.CoreV1Api, namespace: str
) -> None:
    with through_a_cable(cluster) as (cut_off, cable):
        watcher, seen = watch.Watch(), []
        start = core.list_namespaced_secret(namespace).metadata.resource_version
        made(core, namespace, "a")
        for event in watcher.stream(cut_off.list_namespaced_secret, namespace, resource_version=start):
            seen.append((event["type"], event["object"].metadata.name))
            if seen[-1] == ("ADDED", "a"):
                made(core, namespace, "b")
            elif seen[-1] == ("ADDED", "b"):
                cable.cut()
                made(core, namespace, "c")
                core.delete_namespaced_secret("a", namespace)
            elif seen[-1][0] == "DELETED":
                watcher.stop()
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("DELETED", "a")]


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="bookmarks, timeout, selectors")
def test_bookmarks_selectors_and_time(core: client.CoreV1Api, namespace: str) -> None:
    for name in "ab":
        made(core, namespace, name)
    stream = watch.Watch().stream(
        core.list_namespaced_secret,
        namespace,
        field_selector="metadata.name=b",
        send_initial_events=True,
        resource_version_match="NotOlderThan",
        allow_watch_bookmarks=True,
        timeout_seconds=1,
    )
    seen = [(event["type"], event["raw_object"]["metadata"]) for event in stream]
    assert [kind for kind, _ in seen] == ["ADDED", "BOOKMARK"]
    assert seen[0][1]["name"] == "b"
    assert seen[1][1]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="410 Gone, and list and watch anew")
async def test_who_comes_too_late_is_told_so(
    kube: KubeClient, core: client.CoreV1Api, namespace: str
) -> None:
    old = await asyncio.to_thread(made, core, namespace, "a")

    async def churn(name: str) -> None:
        await kube.create("configmaps", {"metadata": {"name": name}}, namespace)
        for number in range(MORE_THAN_KEPT // 8):
            await kube.patch("configmaps", name, {"data": {"n": str(number)}}, namespace)

    await asyncio.gather(*(churn(f"churn-{number}") for number in range(8)))

    def late(**more: Any) -> ApiException:
        with pytest.raises(ApiException) as gone:
            next(watch.Watch().stream(core.list_namespaced_secret, namespace, resource_version=old, **more))
        return gone.value

    def anew() -> list[str]:
        listed = core.list_namespaced_secret(namespace)
        made(core, namespace, "b")
        stream = watch.Watch().stream(
            core.list_namespaced_secret,
            namespace,
            resource_version=listed.metadata.resource_version,
            timeout_seconds=1,
        )
        return [event["object"].metadata.name for event in stream]

    for more in ({"timeout_seconds": 20}, {}):
        refused = await asyncio.to_thread(late, **more)
        assert refused.status == 410
        assert refused.reason.startswith("Expired: too old resource version")
    assert await asyncio.to_thread(anew) == ["b"]
