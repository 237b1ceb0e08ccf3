"""The lab's scrapes as PodMonitors: a real Prometheus gives their series the labels of the lab's own."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from operator_kinds import alertmanager_yaml, pod_targets, scrape_configs
from promtool import run_promtool

from lab.core.clock import TimeScale
from lab.core.namespaces import NO_PREFIX, Namespaces
from lab.core.places import data_root
from lab.engine.bringup import load_manifests
from lab.engine.renaming import renamed
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.localkube.images.launch import StartError
from lab.localkube.images.prometheus import find_prometheus
from lab.slo.discovery import target_group
from lab.slo.operator import operator_objects
from lab.slo.prometheus import RULES_FILE, prometheus_config
from lab.slo.query_proxy import QueryProxy
from lab.slo.rules import rule_files

SCALE = TimeScale(60.0)
BLOCK = f"127.5.{os.getpid() % 250}"
PROMETHEUS_IP, UPSTREAM_IP, PROXY_IP = (f"{BLOCK}.{last}" for last in (1, 2, 3))
PREFIXED = Namespaces("team-a")


def objects(kind: str, namespaces: Namespaces = NO_PREFIX) -> list[KubeObject]:
    made = operator_objects(SCALE, namespaces, {"release": "stack"})
    return [renamed(each, namespaces) for each in made if each["kind"] == kind]


@functools.cache
def pods() -> list[KubeObject]:
    """A pod of every workload of the lab, and one that nobody scrapes."""
    deployments = [m for m in load_manifests(data_root() / "clusters" / "base") if m["kind"] == "Deployment"]
    made = []
    for number, deployment in enumerate(deployments):
        template = deployment["spec"]["template"]
        made.append(
            {
                "metadata": template["metadata"]
                | {
                    "name": f"{name_of(deployment)}-1",
                    "namespace": namespace_of(deployment),
                    "uid": str(number),
                },
                "spec": template["spec"],
                "status": {"podIP": f"127.0.1.{number}", "phase": "Running"},
            }
        )
    return made


def test_the_rules_are_the_same_but_for_the_namespace_of_their_route() -> None:
    (rule,) = objects("PrometheusRule", PREFIXED)
    own = yaml.safe_load(rule_files(SCALE)[RULES_FILE])["groups"]
    alerts = 0
    for group in rule["spec"]["groups"]:
        for each in group["rules"]:
            if "alert" in each:
                alerts += 1
                assert each["labels"].pop("namespace") == "team-a-lab-system"
    assert alerts >= 8
    assert rule["spec"]["groups"] == own
    assert rule["metadata"]["namespace"] == "team-a-lab-system"


def test_every_namespace_has_a_monitor_that_selects_by_the_labels_asked_for() -> None:
    monitors = objects("PodMonitor", PREFIXED)
    assert {namespace_of(each) for each in monitors} == set(PREFIXED.all)
    assert all(each["metadata"]["labels"] == {"release": "stack"} for each in monitors)
    (endpoint,) = monitors[0]["spec"]["podMetricsEndpoints"]
    assert endpoint["proxyUrl"] == "http://prometheus.team-a-lab-system.svc:9092"


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    (rule,) = objects("PrometheusRule")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    done = run_promtool("check", "rules", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_route_is_for_the_alerts_of_the_lab_and_leads_to_its_pager() -> None:
    (config,) = objects("AlertmanagerConfig", PREFIXED)
    made = alertmanager_yaml(config)
    (route,) = made["route"]["routes"]
    assert route["matchers"] == ['namespace="team-a-lab-system"']
    (webhook,) = made["receivers"][1]["webhook_configs"]
    assert webhook["url"] == "http://pager.team-a-lab-system.svc:8080/api/v1/alertmanager"


@asynccontextmanager
async def discovering() -> AsyncIterator[str]:
    """The lab's discovery, and what kubernetes_sd would say of one namespace; the latter's URL."""

    async def own(_: web.Request) -> web.Response:
        return web.json_response([target_group(pod) for pod in pods()])

    async def of_namespace(request: web.Request) -> web.Response:
        wanted = request.query["namespace"]
        found = [
            pod | {"metadata": pod["metadata"] | {"namespace": wanted}}  # as the cluster calls it
            for pod in pods()
            if namespace_of(pod) == wanted.removeprefix("team-a-")
        ]
        return web.json_response([target for pod in found for target in pod_targets(pod)])

    app = web.Application()
    app.router.add_get("/targets", own)
    app.router.add_get("/kubernetes", of_namespace)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, PROMETHEUS_IP, 9091).start()
        yield f"http://{PROMETHEUS_IP}:9091/kubernetes"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def prometheus(folder: Path, config: dict[str, Any]) -> AsyncIterator[str]:
    try:
        binary = find_prometheus()
    except StartError as error:
        pytest.skip(str(error))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        str(binary),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={UPSTREAM_IP}:9090",
        "--scrape.discovery-reload-interval=1s",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://{UPSTREAM_IP}:9090"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.slow
async def test_a_real_prometheus_gives_the_same_labels(tmp_path: Path) -> None:
    own = yaml.safe_load(prometheus_config(SCALE, addresses={"lab-system/prometheus": PROMETHEUS_IP}))
    (tmp_path / "rules.yml").write_text(rule_files(SCALE)[RULES_FILE])
    async with discovering() as url, aiohttp.ClientSession() as session:
        for monitor in objects("PodMonitor", PREFIXED):
            own["scrape_configs"] += scrape_configs(monitor, url)
        own["alerting"] = {}
        async with prometheus(tmp_path, own) as address:
            proxy = QueryProxy(address)
            runner = web.ServerRunner(web.Server(proxy.handle))
            await runner.setup()
            await web.TCPSite(runner, PROXY_IP, 9090).start()
            try:
                await _compare(session)
                await _ask(session)
            finally:
                await runner.cleanup()
                await proxy.close()


async def _compare(session: aiohttp.ClientSession) -> None:
    """Through the query proxy, where every part of the lab asks."""
    wanted = {name_of(pod) for pod in pods() if "prometheus.io/scrape" in _annotations(pod)}
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        found: dict[bool, set[frozenset[tuple[str, str]]]] = {True: set(), False: set()}
        async with session.get(f"http://{PROXY_IP}:9090/api/v1/targets?state=active") as answer:
            targets = (await answer.json())["data"]["activeTargets"] if answer.status == 200 else []
        for target in targets:
            assert "labels" in target, target
            found[target["scrapePool"] == "pods"].add(frozenset(target["labels"].items()))
        if found[True] == found[False] and {dict(labels)["pod"] for labels in found[True]} == wanted:
            break
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(0.2)
    assert {name for labels in found[True] for name, _ in labels} == {
        "app",
        "instance",
        "job",
        "namespace",
        "pod",
    }
    assert {dict(labels)["namespace"] for labels in found[False]} >= {"shop", "lab-system"}


def _annotations(pod: KubeObject) -> dict[str, str]:
    return pod["metadata"].get("annotations") or {}


async def _ask(session: aiohttp.ClientSession) -> None:
    """Questions are passed on as they are, and nothing else is."""
    base = f"http://{PROXY_IP}:9090"
    long = " or ".join(f'absent(a_{number}{{b="c d+e"}})' for number in range(300))
    short = 'vector(1) + 1 == 2 and on() absent(x{y="a&b=c+d"})'
    for method, given in (("GET", {"params": {"query": short}}), ("POST", {"data": {"query": long}})):
        async with session.request(method, f"{base}/api/v1/query", **given) as answer:
            assert answer.status == 200, await answer.text()
            (first, *_) = (await answer.json())["data"]["result"]
            assert first["metric"] in ({}, {"b": "c d+e"})
    async with session.get(f"{base}/api/v1/query", params={"query": "("}) as answer:
        assert answer.status == 400
    for method, path in (
        ("POST", "/-/reload"),
        ("PUT", "/-/quit"),
        ("POST", "/api/v1/admin/tsdb/delete_series"),
        ("GET", "/api/v1/admin/x"),
        ("GET", "/graph"),
        ("DELETE", "/api/v1/series"),
    ):
        async with session.request(method, base + path) as answer:
            assert answer.status == 403, (method, path)


async def test_a_prometheus_that_is_away_is_said(unused_tcp_port: int) -> None:
    proxy = QueryProxy(f"http://127.0.0.1:{unused_tcp_port}")
    try:
        assert not await proxy.is_ready()
    finally:
        await proxy.close()
