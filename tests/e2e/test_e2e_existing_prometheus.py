"""A guest that a cluster's own Prometheus serves: the operator's part is played by this test."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from e2e_bench import Bench, answered, until
from kubernetes import client, config
from localkube_process import Served, running
from operator_kinds import KINDS, alertmanager_yaml, definition, path_of, pod_targets, scrape_configs

from lab.engine.existing import SCRAPED_SECONDS
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError
from lab.localkube.images.alertmanager import find_alertmanager
from lab.localkube.images.launch import StartError
from lab.providers.kubeconfig import KubeconfigProvider
from lab.slo.operator import GROUP

pytestmark = pytest.mark.slow

MONITORING = "monitoring"
LABELS = {"release": "stack"}
PATIENCE = KubeconfigProvider.ready_seconds + SCRAPED_SECONDS
"""How long `lab up` may take by its own bounds; it says what is missing then."""


class Cluster:
    """Somebody's cluster with a Prometheus Operator: kinds, one Prometheus, one Alertmanager."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._api = config.new_client_from_config(str(kubeconfig))
        self.core = client.CoreV1Api(self._api)
        self.discovery = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._operate)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """A request by path; the answer's JSON. Raises StatusError."""

        async def go() -> Any:
            async with KubeClient(load_kubeconfig(self._kubeconfig)) as kube:
                return await kube.request(method, path, body=body)

        return asyncio.run(go())

    def prepare(self) -> None:
        """What is there before any lab comes."""
        for kind in KINDS:
            self.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(kind))
        self.core.create_namespace({"metadata": {"name": MONITORING}})
        for name, port in (("prometheus-operated", 9090), ("alertmanager-operated", 9093)):
            ports = [{"name": "web", "port": port}]
            spec = {"selector": {"app": name.removesuffix("-operated")}, "ports": ports}
            self.core.create_namespaced_service(MONITORING, {"metadata": {"name": name}, "spec": spec})
        everywhere: dict[str, Any] = {}
        chosen = {"matchLabels": LABELS}
        self._create(
            "Prometheus",
            {
                "podMonitorSelector": chosen,
                "podMonitorNamespaceSelector": everywhere,
                "ruleSelector": chosen,
                "ruleNamespaceSelector": everywhere,
                "alerting": {"alertmanagers": [{"name": "alertmanager-operated", "port": "web"}]},
            },
        )
        self._create(
            "Alertmanager",
            {
                "alertmanagerConfigSelector": chosen,
                "alertmanagerConfigNamespaceSelector": everywhere,
            },
        )

    def _create(self, kind: str, spec: dict[str, Any]) -> None:
        body = {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": "main"}, "spec": spec}
        until(lambda: self._served(kind), 30)
        self.request("POST", path_of(kind, MONITORING), body)

    def _served(self, kind: str) -> bool:
        try:
            self.request("GET", path_of(kind))
        except StatusError:  # the kind is not served yet
            return False
        return True

    def found(self, kind: str) -> list[KubeObject]:
        items = self.request("GET", path_of(kind))["items"]
        return [each for each in items if each["metadata"].get("labels", {}).items() >= LABELS.items()]

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(30)
        self._api.close()

    def _operate(self) -> None:
        """Once a lab has come: hand its objects to a Prometheus and an Alertmanager."""
        while not self._has_come():
            if self._ended.wait(0.2):
                return
        services = {
            s.metadata.name: s.spec.cluster_ip for s in self.core.list_namespaced_service(MONITORING).items
        }
        (rule,), (route,) = self.found("PrometheusRule"), self.found("AlertmanagerConfig")
        alertmanager = f"{services['alertmanager-operated']}:9093"
        prometheus = {
            "global": {"evaluation_interval": "1s", "external_labels": {"prometheus": f"{MONITORING}/main"}},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
            "scrape_configs": [
                made
                for monitor in self.found("PodMonitor")
                for made in scrape_configs(monitor, self.discovery)
            ],
        }
        self._run(
            "prometheus",
            {"prometheus.yml": yaml.safe_dump(prometheus), "rules.yml": yaml.safe_dump(rule["spec"])},
            ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data",
             "--web.listen-address=$(POD_IP):9090", "--rules.alert.resend-delay=5s"],
        )  # fmt: skip
        text = json.dumps(alertmanager_yaml(route))
        host = f"pager.{route['metadata']['namespace']}.svc"
        pager = self.core.read_namespaced_service("pager", route["metadata"]["namespace"]).spec.cluster_ip
        self._run(
            "alertmanager",
            {"alertmanager.yml": text.replace(host, pager)},  # there is no DNS here
            ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/data",
             "--web.listen-address=$(POD_IP):9093", "--cluster.listen-address="],
        )  # fmt: skip

    def _has_come(self) -> bool:
        """Whether a lab has; a busy API server may not say, and is asked again."""
        try:
            return len(self.found("PodMonitor")) == 3 and bool(self.found("AlertmanagerConfig"))
        except (ConnectionError, TimeoutError):
            return False

    def _run(self, name: str, files: dict[str, str], args: list[str]) -> None:
        self.core.create_namespaced_config_map(MONITORING, {"metadata": {"name": name}, "data": files})
        address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        container = {
            "name": name,
            "image": f"prom/{name}",
            "args": args,
            "env": [address],
            "volumeMounts": [
                {"name": "config", "mountPath": f"/etc/{name}"},
                {"name": "data", "mountPath": "/data"},
            ],
        }
        volumes = [{"name": "config", "configMap": {"name": name}}, {"name": "data", "emptyDir": {}}]
        body = {
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"containers": [container], "volumes": volumes},
        }
        self.core.create_namespaced_pod(MONITORING, body)


@pytest.fixture(scope="module")
def host() -> Iterator[Served]:
    """Somebody's cluster, in which pods run."""
    try:
        find_alertmanager()
    except StartError as error:
        pytest.skip(str(error))
    with running() as server:
        yield server


@pytest.fixture
def cluster(host: Served) -> Iterator[Cluster]:
    made = Cluster(host.kubeconfig)
    made.prepare()

    class Discovery(BaseHTTPRequestHandler):
        """Pods as kubernetes_sd has them: the Prometheus of Debian is built without it."""

        def do_GET(self) -> None:
            namespace = parse_qs(urlsplit(self.path).query)["namespace"][0]
            listed = made.core.list_namespaced_pod(namespace, _preload_content=False)
            pods = json.loads(listed.data)["items"]
            running = [pod for pod in pods if (pod.get("status") or {}).get("podIP")]
            body = json.dumps([target for pod in running for target in pod_targets(pod)]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # it may have been ended meanwhile
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing is said of it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Discovery)
    made.discovery = f"http://127.0.0.1:{server.server_port}/targets"
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    made.start()
    yield made
    made.end()
    server.shutdown()
    serving.join()
    server.server_close()


def test_a_guest_is_watched_by_the_clusters_own_prometheus(
    host: Served, bench: Bench, cluster: Cluster
) -> None:
    bench.seconds = PATIENCE
    where = ("--provider", "kubeconfig", "--kubeconfig", str(host.kubeconfig), "--starts", "cheap")
    bench.done("up", "--name", "guest", "--toil", "off", *where, "--prometheus", "existing")

    images = {
        container.image
        for pod in cluster.core.list_namespaced_pod("guest-lab-system").items
        for container in pod.spec.containers
    }
    assert images == {"toil-lab"}
    variables = bench.done("env", "--name", "guest", "--json").data
    found = until(lambda: answered(f"{variables['PROMETHEUS_URL']}/api/v1/query", query="up"))
    series = [each["metric"] for each in found["data"]["result"]]
    assert {name for labels in series for name in labels} == {
        *("__name__", "app", "instance", "job", "namespace", "pod")
    }
    assert {labels["namespace"] for labels in series} == {"shop", "lab-system"}

    second = bench.lab("up", "--name", "second", *where, "--prometheus", f"{MONITORING}/main")
    assert second.code != 0
    assert "it serves the lab 'guest' already" in second.err

    def pages() -> list[dict[str, Any]]:
        """Of the partitions that wait; on a busy machine another one may wait too."""
        found = answered(f"{variables['PAGER_URL']}/api/v1/incidents", status="all") or {"incidents": []}
        return [each for each in found["incidents"] if each["alertname"] == "OrdersWaitingTooLong"]

    bench.done("break", "hung-workers", "--name", "guest")
    page = until(pages, 90)[0]
    assert page["labels"]["namespace"] == "guest-lab-system"
    assert page["labels"]["partition"]
    until(lambda: any(each["resolvedBy"] == "alert" for each in pages()), 90)
    bench.done("down", "--name", "guest")
    assert cluster.found("PodMonitor") == []
