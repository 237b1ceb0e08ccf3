"""The manifests of pager, human and Prometheus: strictly valid, and as the contract says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from lab.core.places import data_root

FILES = ("pager", "oncall", "prometheus")


def documents(name: str) -> list[dict[str, Any]]:
    path: Path = data_root() / "clusters" / "base" / f"{name}.yaml"
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def one(name: str, kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents(name) if document["kind"] == kind]
    return found


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("version", ["1.31", "1.33"])
def test_manifests_are_strictly_valid(name: str, version: str) -> None:
    for document in documents(name):
        kubernetes_validate.validate(document, version, strict=True)
        assert (
            document["kind"] == "ClusterRole"
            or document["kind"] == "ClusterRoleBinding"
            or (document["metadata"]["namespace"] in ("lab-system", "shop", "automation"))
        )


@pytest.mark.parametrize(("name", "port"), [("pager", 8080), ("oncall", 8080), ("prometheus", 9090)])
def test_services_lead_to_their_pods(name: str, port: int) -> None:
    service, deployment = one(name, "Service"), one(name, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    ports = {p["name"]: p["containerPort"] for c in containers(deployment) for p in c["ports"]}
    first = service["spec"]["ports"][0]
    assert (first["port"], ports[first["targetPort"]]) == (port, port)


def containers(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    return list(deployment["spec"]["template"]["spec"]["containers"])


@pytest.mark.parametrize("name", FILES)
def test_every_container_has_probes_limits_and_its_address(name: str) -> None:
    for container in containers(one(name, "Deployment")):
        assert {"startupProbe", "readinessProbe", "livenessProbe", "resources"} <= container.keys()
        assert "initialDelaySeconds" not in container["livenessProbe"]
        environment = {variable["name"] for variable in container["env"]}
        assert "POD_IP" in environment


@pytest.mark.parametrize("name", ["pager", "oncall"])
def test_what_has_metrics_is_annotated(name: str) -> None:
    annotations = one(name, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}


def test_the_human_may_do_what_the_runbook_needs_and_no_more() -> None:
    roles = {
        document["metadata"]["namespace"]: document["rules"]
        for document in documents("oncall")
        if document["kind"] == "Role"
    }
    assert roles == {
        "shop": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "delete"]}],
        "lab-system": [
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": ["automation-control"],
                "verbs": ["get"],
            }
        ],
    }


def test_prometheus_renews_alerts_faster_than_their_lease_ends() -> None:
    prometheus = containers(one("prometheus", "Deployment"))[0]
    assert "--rules.alert.resend-delay=5s" in prometheus["args"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in prometheus["args"]
