"""Grafana as an optional part: its manifest, its files, and who cannot run it."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest

from lab.core.places import data_root
from lab.engine.bringup import bring_up, load_manifests
from lab.engine.objects import made_objects
from lab.engine.parts import files_of, part_names, refuse_lacking
from lab.engine.settings import LabSettings
from lab.errors import UsageError
from lab.grafana.boards import BOARDS
from lab.providers.kubeconfig import KubeconfigProvider
from lab.providers.local import LocalProvider

CLUSTERS = data_root() / "clusters"
ADDRESSES = {"lab-system/gateway": "10.0.0.1"}


@pytest.mark.parametrize("version", ["1.31", "1.33"])
def test_the_manifest_is_strictly_valid(version: str) -> None:
    for document in load_manifests(CLUSTERS / "parts"):
        kubernetes_validate.validate(document, version, strict=True)


def test_pod_security_restricted_would_take_it() -> None:
    (deployment,) = [m for m in load_manifests(CLUSTERS / "parts") if m["metadata"]["name"] == "grafana"][-1:]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert written == {"/var/lib/grafana", "/tmp"}


def test_a_lab_loads_a_part_only_when_it_is_wanted() -> None:
    base = load_manifests(CLUSTERS / "base")
    assert "grafana" not in {m["metadata"]["name"] for m in base}
    assert "grafana" in part_names(CLUSTERS / "parts")
    wanted = load_manifests(CLUSTERS / "base", *files_of(frozenset({"grafana"}), CLUSTERS / "parts"))
    assert [m["kind"] for m in wanted if m["metadata"]["name"] == "grafana"] == [
        "ServiceAccount",
        "Service",
        "Deployment",
    ]


def test_the_dashboards_come_as_config_maps() -> None:
    made = {
        m["metadata"]["name"]: m
        for m in made_objects(LabSettings(extras="grafana"), "token", ADDRESSES)
        if m["kind"] == "ConfigMap"
    }
    assert made["grafana-dashboards"]["data"].keys() == {f"{board.name}.json" for board in BOARDS}
    assert made["grafana-provisioning"]["data"].keys() == {"datasources.yaml", "dashboards.yaml"}
    assert sum(len(text) for text in made["grafana-dashboards"]["data"].values()) < 1024 * 1024
    plain = made_objects(LabSettings(), "token", ADDRESSES)
    assert not any(m["metadata"]["name"].startswith("grafana") for m in plain)


def test_local_says_why_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="the part grafana needs a cluster that runs any image") as refused:
        bring_up(LabSettings("g", extras="grafana"))
    assert "docs/monitoring.md" in refused.value.hint
    assert list((tmp_path / "labs").iterdir()) == []


def test_a_cluster_can() -> None:
    wanted = load_manifests(CLUSTERS / "parts")
    refuse_lacking(wanted, KubeconfigProvider())
    with pytest.raises(UsageError):
        refuse_lacking(wanted, LocalProvider())


def test_an_unknown_part_is_named_with_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    with pytest.raises(UsageError) as refused:
        bring_up(LabSettings("g", extras="grafanna"))
    assert "grafana, logstore" in refused.value.hint
