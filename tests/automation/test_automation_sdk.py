"""The SDK: metrics that the runner accepts, headers that the gateway reads, and clear words when unset."""

from pathlib import Path

import pytest

from lab.automation import sdk
from lab.automation.textfile import merge

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: lab
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: automation, user: {token: secret}}]
contexts: [{name: lab, context: {cluster: lab, user: automation}}]
"""


def test_metrics_are_what_the_runner_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTFILE_DIR", str(tmp_path))
    types = {"toil_auto_success_rate": "gauge", "toil_remediations_total": "counter"}
    samples = {"toil_auto_success_rate": 0.5, 'toil_remediations_total{result="success"}': 1}
    for _ in range(2):
        sdk.write_metrics("remediation.prom", samples, types)
    merged = merge(tmp_path)
    assert merged.errors == {}
    assert "toil_auto_success_rate 0.5" in merged.text()
    assert [path.name for path in tmp_path.iterdir()] == ["remediation.prom"]


def test_requests_name_incident_and_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(path))
    api = sdk.kube_client("inc-1", "hung for 5 lab minutes – really")
    assert api.default_headers["X-Lab-Incident"] == "inc-1"
    assert api.default_headers["X-Lab-Reason"] == "hung for 5 lab minutes ? really"
    api.close()


def test_lab_minutes_follow_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOUR_SECONDS", "120")
    assert sdk.lab_minutes(5) == 10


def test_missing_environment_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAGER_URL", raising=False)
    with pytest.raises(RuntimeError, match="PAGER_URL is not set"):
        sdk.Pager("me")
