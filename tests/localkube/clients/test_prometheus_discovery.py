"""A real Prometheus finds by kubernetes_sd, in every role, what comes, and forgets what goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from localkube_process import Served

from lab.core.places import cache_home
from lab.kube.client import KubeClient
from lab.kube.resources import builtin

ROLES = ("node", "pod", "service", "endpoints", "endpointslice", "ingress")
WAIT = 60.0
"""Seconds: far more than anything here takes, also on a loaded machine."""
Labels = Mapping[str, str]


def binary() -> str:
    """Prometheus as the lab finds it; skips the test without one."""
    named = [os.environ.get("LAB_PROMETHEUS"), shutil.which("prometheus")]
    for candidate in (*named, str(cache_home() / "prometheus" / "prometheus")):
        if candidate and os.access(candidate, os.X_OK):
            if b"prometheus/discovery/kubernetes" not in Path(candidate).read_bytes():
                pytest.skip("Prometheus is built without kubernetes_sd, as that of Debian 12 is")
            return candidate
    pytest.skip("Prometheus is not installed (LAB_PROMETHEUS, PATH or the lab's cache)")


def scrape_config(served: Served, namespace: str) -> str:
    """A job for each role, and one that scrapes the pods that ask for it."""
    found = {"kubeconfig_file": str(served.kubeconfig), "namespaces": {"names": [namespace]}}
    jobs: list[dict[str, Any]] = [
        {"job_name": role, "scrape_interval": "1h", "kubernetes_sd_configs": [found | {"role": role}]}
        for role in ROLES
    ]
    for job in jobs:
        if job["job_name"] == "pod":
            job["kubernetes_sd_configs"][0]["attach_metadata"] = {"node": True}
            job["kubernetes_sd_configs"][0]["selectors"] = [{"role": "pod", "label": "app=web"}]
    meta = "__meta_kubernetes_pod_"
    relabel = [
        {"source_labels": [f"{meta}annotation_prometheus_io_scrape"], "regex": "true", "action": "keep"},
        {
            "source_labels": [f"{meta}ip", f"{meta}annotation_prometheus_io_port"],
            "separator": ":",
            "target_label": "__address__",
        },
        {"source_labels": [f"{meta}name"], "target_label": "pod"},
    ]
    scraped = {"job_name": "scraped", "scrape_interval": "200ms", "scrape_timeout": "200ms"}
    scraped |= {"kubernetes_sd_configs": [found | {"role": "pod"}], "relabel_configs": relabel}
    return yaml.safe_dump({"scrape_configs": [*jobs, scraped]})


class Prometheus:
    """A running one, by its HTTP API."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    async def _get(self, path: str, **query: str) -> Any:
        url = f"{self._base}/api/v1/{path}?{urllib.parse.urlencode(query)}"

        def get() -> Any:
            with self._opener.open(url, timeout=5) as answer:
                return json.load(answer)["data"]

        return await asyncio.to_thread(get)

    async def series(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now."""
        return list((await self._get("query", query=expression))["result"])

    async def discovered(self, job: str) -> list[Labels]:
        """The labels of what a job has discovered, before relabelling."""
        targets = (await self._get("targets", state="active", scrapePool=job))["activeTargets"]
        return [each["discoveredLabels"] for each in targets if each["scrapePool"] == job]


@contextlib.asynccontextmanager
async def prometheus(folder: Path, config: str, env: Mapping[str, str]) -> AsyncIterator[Prometheus]:
    program = binary()
    (folder / "prometheus.yml").write_text(config)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
            env=os.environ | env,
        )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> Any:
    """The first answer that is not empty; a server that does not listen yet has none."""
    try:
        async with asyncio.timeout(WAIT):
            while True:
                with contextlib.suppress(OSError):
                    if value := await condition():
                        return value
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(what) from None


PROGRAM = """
import os, signal
from prometheus_client import Gauge, start_http_server

Gauge("probe_value", "Something to scrape.").set(42)
start_http_server(8080, addr=os.environ["IP"])
signal.sigwait({signal.SIGTERM})
"""
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
WEB: list[tuple[str, dict[str, Any]]] = [
    (
        "Pod",
        {
            "metadata": {
                "name": "web-0",
                "labels": {"app": "web"},
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            },
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "c",
                        "image": "python",
                        "command": ["python", "-c", PROGRAM],
                        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    }
                ],
            },
        },
    ),
    ("Service", {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}),
    (
        "Ingress",
        {
            "metadata": {"name": "web"},
            "spec": {
                "rules": [
                    {
                        "host": "a.example",
                        "http": {"paths": [{"path": "/x", "pathType": "Prefix", "backend": BACKEND}]},
                    }
                ]
            },
        },
    ),
]
WEB[1][1]["spec"]["ports"][0]["targetPort"] = 8080
POD = {"pod_name": "web-0", "pod_label_app": "web"}
EXPECTED: Mapping[str, Labels] = {
    "node": {"node_name": "local", "node_label_kubernetes_io_hostname": "local"},
    "pod": POD
    | {"pod_container_port_name": "http", "pod_container_name": "c", "pod_node_name": "local"}
    | {"pod_ready": "true", "pod_phase": "Running", "node_name": "local"},
    "service": {"service_name": "web", "service_port_number": "80", "service_type": "ClusterIP"},
    "endpoints": POD | {"endpoints_name": "web", "endpoint_ready": "true", "service_name": "web"},
    "endpointslice": POD
    | {
        "endpointslice_endpoint_conditions_ready": "true",
        "endpointslice_port": "8080",
        "service_name": "web",
    },
    "ingress": {"ingress_name": "web", "ingress_host": "a.example", "ingress_path": "/x"},
}


@pytest.mark.slow
@pytest.mark.conforms(client="Prometheus (kubernetes_sd)", verb="roles node, pod, service")
@pytest.mark.conforms(client="Prometheus (kubernetes_sd)", verb="roles endpoints, endpointslice, ingress")
@pytest.mark.conforms(client="Prometheus (kubernetes_sd)", verb="lists, and watches that begin with a list")
@pytest.mark.parametrize("watch_list", ["true", "false"])
async def test_what_comes_is_found_and_what_goes_is_forgotten(
    cluster: Served, kube: KubeClient, namespace: str, tmp_path: Path, watch_list: str
) -> None:
    env = {"KUBE_FEATURE_WatchListClient": watch_list}
    async with prometheus(tmp_path, scrape_config(cluster, namespace), env) as server:
        await until(lambda: server.discovered("node"), "no node was found")
        for kind, body in WEB:
            await kube.create(builtin(kind), body, namespace)
        for role, expected in EXPECTED.items():
            await until(_found(server, role, expected), f"{role}: {expected}")
        [sample] = await until(lambda: server.series("probe_value"), "the pod was never scraped")
        assert (sample["metric"]["pod"], sample["value"][1]) == ("web-0", "42")
        for kind, body in reversed(WEB):
            await kube.delete(builtin(kind), body["metadata"]["name"], namespace)

        async def forgotten() -> bool:
            seen = [await server.discovered(role) for role in ROLES if role != "node"]
            return not any(seen) and not await server.series("probe_value")

        await until(forgotten, "something was never forgotten")
    log = (tmp_path / "prometheus.log").read_text()
    assert "level=error" not in log.lower(), log
    assert "Failed to watch" not in log, log


def _found(server: Prometheus, role: str, expected: Labels) -> Callable[[], Awaitable[bool]]:
    wanted = {f"__meta_kubernetes_{name}": value for name, value in expected.items()}

    async def look() -> bool:
        return any(wanted.items() <= seen.items() for seen in await server.discovered(role))

    return look
