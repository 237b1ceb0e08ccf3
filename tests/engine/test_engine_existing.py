"""A cluster's own Prometheus: which one, why it would not do, and what the lab makes for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from localkube_process import Served, running
from operator_kinds import KINDS, definition, path_of

from lab.core.namespaces import NO_PREFIX, Namespaces
from lab.core.places import data_root
from lab.engine.bringup import bring_up, load_manifests
from lab.engine.existing import Existing, find_existing, stand_in
from lab.engine.kube import Kube
from lab.engine.renaming import renamed
from lab.engine.settings import LabSettings
from lab.errors import ProviderError, UsageError
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.status import StatusError
from lab.slo.operator import GROUP, operator_objects

CHOSEN = {"matchLabels": {"release": "stack"}}
GOOD = {
    "podMonitorSelector": CHOSEN,
    "podMonitorNamespaceSelector": {},
    "ruleSelector": {"matchLabels": {"role": "alerts"}},
    "ruleNamespaceSelector": {"matchLabels": {"app.kubernetes.io/part-of": "toil-lab"}},
    "alerting": {"alertmanagers": [{"name": "alertmanager-operated", "port": "web"}]},
}
ALERTMANAGER = {"alertmanagerConfigSelector": {}, "alertmanagerConfigNamespaceSelector": {}}
PREFIXED = Namespaces("guest")
WANTED = LabSettings("guest", prometheus="existing")


def requested(kubeconfig: Path, *requests: tuple[str, str, Any]) -> None:
    """Make requests; one for a kind that is not served yet is made again."""

    async def go() -> None:
        async with KubeClient(load_kubeconfig(kubeconfig)) as kube:
            for method, path, body in requests:
                for _ in range(600):
                    try:
                        await kube.request(method, path, body=body)
                        break
                    except StatusError as error:
                        if error.code != 404:
                            raise
                        await asyncio.sleep(0.05)

    asyncio.run(go())


def put(
    kind: str, spec: dict[str, Any], namespace: str = "monitoring", name: str = "main"
) -> tuple[str, str, Any]:
    version, *_ = KINDS[kind]
    metadata = {"name": name, "namespace": namespace}
    body = {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, "spec": spec}
    return "POST", path_of(kind, namespace), body


@pytest.fixture(scope="module")
def host() -> Iterator[Served]:
    """Somebody's cluster, with the operator's kinds."""
    with running("--api-only") as server:
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        requested(server.kubeconfig, *(("POST", crds, definition(kind)) for kind in KINDS))
        names = ("monitoring", "other", *PREFIXED.all)
        requested(
            server.kubeconfig, *(("POST", "/api/v1/namespaces", {"metadata": {"name": n}}) for n in names)
        )
        requested(server.kubeconfig, put("Alertmanager", ALERTMANAGER))
        yield server


@pytest.fixture
def kube(host: Served, tmp_path: Path) -> Iterator[Kube]:
    kubeconfig = tmp_path / "admin.kubeconfig"
    kubeconfig.write_text(host.kubeconfig.read_text())
    made = Kube(kubeconfig, PREFIXED)
    yield made
    made.close()
    for kind in ("Prometheus", "PodMonitor"):
        paths = [path_of(kind, namespace) for namespace in ("monitoring", "other", *PREFIXED.all)]
        requested(host.kubeconfig, *(("DELETE", path, None) for path in paths))


def test_what_it_chooses_by_is_taken_from_it(kube: Kube, host: Served) -> None:
    requested(host.kubeconfig, put("Prometheus", GOOD | {"routePrefix": "/prometheus"}))
    found = find_existing(kube, WANTED, PREFIXED)
    assert found == Existing(
        "monitoring/main",
        "http://prometheus-operated.monitoring.svc:9090/prometheus",
        {"release": "stack", "role": "alerts"},
        ("monitoring",),
    )


def test_the_cluster_takes_what_the_lab_makes_strictly(kube: Kube, host: Served) -> None:
    made = operator_objects(WANTED.scale, PREFIXED, {"release": "stack"})
    for each in made:
        real = renamed(each, PREFIXED)
        path = f"{path_of(real['kind'], namespace_of(real))}?fieldValidation=Strict"
        requested(host.kubeconfig, ("POST", path, real))
    assert len(kube.everywhere("PodMonitor", f"{GROUP}/v1")) == 3


def test_everything_that_stands_against_it_is_said_at_once(kube: Kube, host: Served) -> None:
    spec = {
        "podMonitorSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
        "podMonitorNamespaceSelector": {"matchLabels": {"watched": "yes"}},
        "ruleNamespaceSelector": {},
        "enforcedNamespaceLabel": "namespace",
    }
    monitor = put("PodMonitor", {"selector": {}, "podMetricsEndpoints": []}, "other", "toil-lab")
    monitor[2]["metadata"]["labels"] = {"toil-lab/lab": "neighbour"}
    requested(host.kubeconfig, put("Prometheus", spec), monitor)
    with pytest.raises(ProviderError) as refused:
        find_existing(kube, WANTED, PREFIXED)
    said = str(refused.value)
    for part in (
        "monitoring/main would not serve the lab",
        "podMonitorSelector does not match",
        "ruleSelector is not set",
        "podMonitorNamespaceSelector does not match",
        "sends alerts to no Alertmanager",
        "enforcedNamespaceLabel",
        "serves the lab 'neighbour' already",
    ):
        assert part in said


def test_which_one_has_to_be_clear(kube: Kube, host: Served) -> None:
    with pytest.raises(UsageError) as none:
        find_existing(kube, WANTED, PREFIXED)
    assert "there is: none" in none.value.hint
    requested(host.kubeconfig, put("Prometheus", GOOD), put("Prometheus", GOOD, "other", "k8s"))
    with pytest.raises(UsageError, match="which Prometheus is meant") as both:
        find_existing(kube, WANTED, PREFIXED)
    assert "monitoring/main, other/k8s" in both.value.hint
    named = LabSettings("guest", prometheus="monitoring/main")
    chosen = find_existing(kube, named, PREFIXED)
    assert chosen is not None
    assert chosen.name == "monitoring/main"
    with pytest.raises(UsageError, match="no object Prometheus 'monitoring/k8s'"):
        find_existing(kube, LabSettings("guest", prometheus="monitoring/k8s"), PREFIXED)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (LabSettings("g", prometheus="mine"), "own, existing or NAMESPACE/NAME, not 'mine'"),
        (LabSettings("g", prometheus="a/"), "not 'a/'"),
        (LabSettings("g", prometheus="existing", extras="alertmanager"), "with the lab's own Prometheus"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: LabSettings, says: str
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=says):
        bring_up(settings)
    assert list((tmp_path / "labs").iterdir()) == []


def test_without_an_operator_it_is_said_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    with pytest.raises(ProviderError, match=f"does not know Prometheus, .*AlertmanagerConfig of {GROUP}"):
        bring_up(LabSettings("g", prometheus="existing"))
    assert list((tmp_path / "labs").iterdir()) == []


def base_deployments() -> list[KubeObject]:
    return [m for m in load_manifests(data_root() / "clusters" / "base") if m["kind"] == "Deployment"]


@pytest.mark.parametrize("version", ["1.33"])
def test_what_is_left_of_the_labs_own_is_a_valid_pod_behind_the_same_service(version: str) -> None:
    deployments = base_deployments()
    existing = Existing("monitoring/main", "http://p:9090", {}, ("monitoring",))
    stand_in(deployments, existing)
    (deployment,) = [d for d in deployments if name_of(d) == "prometheus"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "toil-lab"
    assert {port["name"] for port in container["ports"]} == {"http", "discovery", "scrape-proxy"}
    assert {"name": "PROMETHEUS_UPSTREAM", "value": "http://p:9090"} in container["env"]
    for made in (deployment, *existing.openings()):
        kubernetes_validate.validate(made, version, strict=True)
    sources = [policy["spec"]["ingress"][0]["from"] for policy in existing.openings()]
    assert all("monitoring" in str(each) for each in sources)
    assert NO_PREFIX.real("monitoring") == PREFIXED.real("monitoring") == "monitoring"
