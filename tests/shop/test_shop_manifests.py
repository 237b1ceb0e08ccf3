"""The manifests of the shop and the fault injector: strictly valid, and as the contracts say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from lab.core.places import data_root

BASE = data_root() / "clusters" / "base"
FILES = [*sorted((BASE / "shop").glob("*.yaml")), BASE / "faults.yaml"]


def objects() -> Iterator[dict[str, Any]]:
    for file in FILES:
        yield from (document for document in yaml.safe_load_all(file.read_text()) if document)


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in objects() if found["kind"] == kind}


@pytest.mark.parametrize(
    "manifest", list(objects()), ids=lambda found: f"{found['kind']}-{found['metadata']['name']}"
)
def test_every_object_is_strictly_valid(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.32", strict=True)


@pytest.mark.parametrize("name", ["payments", "api", "worker", "load", "faults"])
def test_every_pod_is_probed_scraped_and_bounded(name: str) -> None:
    template = of_kind("Deployment")[name]["spec"]["template"]
    [container] = template["spec"]["containers"]
    assert template["metadata"]["labels"]["app"] == name
    assert template["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
    }
    assert template["spec"]["serviceAccountName"] == name
    assert template["spec"]["terminationGracePeriodSeconds"] <= 5
    assert container["image"] == "toil-lab"
    assert container["readinessProbe"]["periodSeconds"] == 1
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert "initialDelaySeconds" not in container["livenessProbe"]
    assert container["startupProbe"]["httpGet"] == container["livenessProbe"]["httpGet"]
    assert container["startupProbe"]["periodSeconds"] == 1
    assert container["startupProbe"]["failureThreshold"] >= 60
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert {"name": "lab-settings"} in [source["configMapRef"] for source in container["envFrom"]]
    names = {variable["name"] for variable in container["env"]}
    assert {"POD_IP", "POD_NAME", "POD_NAMESPACE"} <= names
    assert ("DATABASE_URL" in names) == (name in ("api", "payments", "worker", "faults"))


def test_there_is_a_worker_for_each_partition_and_six_must_stay() -> None:
    worker = of_kind("Deployment")["worker"]
    budget = of_kind("PodDisruptionBudget")["worker"]
    assert worker["spec"]["replicas"] == 8
    assert budget["spec"]["minAvailable"] == 6
    assert budget["spec"]["selector"]["matchLabels"] == worker["spec"]["selector"]["matchLabels"]


def test_services_reach_their_pods() -> None:
    deployments = of_kind("Deployment")
    for name, service in of_kind("Service").items():
        template = deployments[name]["spec"]["template"]
        assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
