"""Names and paths that mean to lead elsewhere lead nowhere."""

from __future__ import annotations

import json

import pytest
from security_wire import CONFIG_MAPS, Wire

ELSEWHERE = [
    "/api/v1/namespaces/default/configmaps/a%2Fb",
    "/api/v1/namespaces/default/configmaps/..",
    "/api/v1/namespaces/default/configmaps/%2e%2e%2f%2e%2e%2fsecrets",
    "/api/v1/namespaces/default/configmaps/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/api/v1/namespaces/default/configmaps/a%00b",
    "/api/v1/namespaces/default/configmaps/%ff%fe",
    "/api/v1/namespaces/default/configmaps/a%zz",
    "/api/v1/namespaces/default/configmaps/" + "a" * 5_000,
    "/api/v1/namespaces/..%2fkube-system/configmaps/kube-root-ca.crt",
    "/api/v1/namespaces/default/../kube-system/configmaps/kube-root-ca.crt",
    "/apis/../api/v1/nodes/x",
    "/openapi/v3/../../etc/passwd",
    "/openapi/v3/apis%2f..%2f..",
    "/healthz/../../etc/passwd",
    "/static/../../../etc/passwd",
    "/api/v1/namespaces/default/pods/x/log/../../../secrets",
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_a_path_leads_nowhere(wire: Wire, path: str) -> None:
    answer = wire.ask("GET", path)
    assert answer.code in (400, 404), answer.body
    assert b"root:" not in answer.body
    assert b"BEGIN CERTIFICATE" not in answer.body


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".", "../../x", "a%2fb", "a\x00b", "a b", "A", "-a", "a" * 254]
)
@pytest.mark.parametrize("kind", ["configmaps", "namespaces", "pods", "secrets"])
def test_a_name_is_refused(wire: Wire, kind: str, name: str) -> None:
    path = "/api/v1/namespaces" if kind == "namespaces" else f"/api/v1/namespaces/default/{kind}"
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    if kind != "pods":
        del body["spec"]
    answer = wire.ask("POST", f"{path}?dryRun=All", json.dumps(body))
    assert answer.code == 422
    assert answer.status["details"]["causes"][0]["field"] == "metadata.name"


@pytest.mark.parametrize("name", [".", "..", "a/b", "a%b"])
def test_a_role_may_have_any_name_that_is_one_part_of_a_path(wire: Wire, name: str) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles?dryRun=All"
    assert wire.ask("POST", path, json.dumps({"metadata": {"name": name}})).code == 422
    assert wire.ask("POST", path, json.dumps({"metadata": {"name": "system:a:B"}})).code == 201


@pytest.mark.parametrize("field", ["name", "namespace", "generateName", "uid", "resourceVersion"])
@pytest.mark.parametrize("value", ["../x", "\x00", "a" * 10_000, "\u202e", "é"])
def test_metadata_of_a_body(wire: Wire, field: str, value: str) -> None:
    answer = wire.ask(
        "POST", f"{CONFIG_MAPS}?dryRun=All", json.dumps({"metadata": {"name": "x", field: value}})
    )
    assert answer.code in (201, 400, 422) or (field == "resourceVersion" and answer.code == 500)
    if answer.code == 201:
        assert answer.status["metadata"]["name"] == "x"
        assert answer.status["metadata"]["namespace"] == "default"
        assert field in ("uid", "generateName")
        assert answer.status["metadata"]["uid"] != value
