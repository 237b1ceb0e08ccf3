"""What people type, with the kubectl releases that they have."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from kubectls import Kubectl

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: example/web:1
        ports: [{containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""

Make = Callable[..., Kubectl]
minors = pytest.mark.parametrize("minor", ["1.30", "1.31", "1.32", "1.33"])
oldest_and_newest = pytest.mark.parametrize("minor", ["1.30", "1.33"])


@minors
def test_everyday_commands(kubectl_of: Make, minor: str) -> None:
    kubectl = kubectl_of(minor)
    assert "deployment.apps/web created" in kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "deployment.apps/web unchanged" in kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    changed = DEPLOYMENT.replace("example/web:1", "example/web:2").replace("replicas: 2", "replicas: 3")
    assert "deployment.apps/web configured" in kubectl("apply", "-f", "-", stdin=changed)
    wide = kubectl("get", "deploy", "web", "-o", "wide").splitlines()
    assert wide[0].split() == [
        *("NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"),
    ]
    assert wide[1].split()[5:] == ["web", "example/web:2", "app=web"]
    assert "scaled" in kubectl("scale", "deploy/web", "--replicas=1")
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "1"
    assert "restarted" in kubectl("rollout", "restart", "deploy/web")
    kubectl("patch", "deploy", "web", "-p", '{"metadata":{"annotations":{"a":"b"}}}')
    assert "Annotations:" in kubectl("describe", "deploy", "web")
    assert "label" in kubectl("label", "deploy", "web", "tier=front")
    assert (
        kubectl("get", "all", "-l", "app=web", "-o", "name")
        .splitlines()[0]
        .startswith(("pod/", "deployment.apps/"))
    )
    assert "deleted" in kubectl("delete", "deploy,svc", "web")
    assert "not found" in kubectl("get", "deploy", "web", fails=True)


@pytest.mark.parametrize("minor", ["1.31", "1.32", "1.33"])
def test_generators(kubectl_of: Make, minor: str) -> None:
    """Since 1.32 these bodies are protobuf."""
    kubectl = kubectl_of(minor)
    kubectl("create", "configmap", "settings", "--from-literal=a=b", "--from-literal=empty=")
    assert json.loads(kubectl("get", "cm", "settings", "-o", "json"))["data"] == {"a": "b", "empty": ""}
    kubectl("create", "secret", "generic", "keys", "--from-literal=k=v")
    assert kubectl("get", "secret", "keys", "-o", "jsonpath={.data.k}") == "dg=="
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps")
    kubectl("create", "rolebinding", "reads", "--role=reader", "--serviceaccount=default:robot")
    kubectl("create", "deployment", "d", "--image=i", "--replicas=0")
    assert kubectl("get", "deploy", "d", "-o", "jsonpath={.spec.replicas}") == "0"
    kubectl("create", "job", "j", "--image=i", "--", "true", "--flag")
    job = json.loads(kubectl("get", "job", "j", "-o", "json"))
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["true", "--flag"]
    kubectl("create", "cronjob", "c", "--image=i", "--schedule=*/5 * * * *")
    kubectl("create", "service", "clusterip", "s", "--tcp=80:8080")
    kubectl("create", "quota", "q", "--hard=pods=3")
    kubectl("create", "poddisruptionbudget", "p", "--selector=app=d", "--min-available=50%")
    assert kubectl("get", "pdb", "p", "-o", "jsonpath={.spec.minAvailable}") == "50%"
    kubectl("create", "ingress", "i", "--rule=a.example/=s:80")
    assert kubectl("create", "token", "robot").count(".") == 2
    assert "already exists" in kubectl("create", "serviceaccount", "robot", fails=True)


@oldest_and_newest
def test_questions(kubectl_of: Make, minor: str) -> None:
    kubectl = kubectl_of(minor)
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    kubectl("auth", "can-i", "create", "pods", "--as=nobody", fails=True)
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    assert "*.*" in kubectl("auth", "can-i", "--list")
    assert "FIELD: replicas <integer>" in kubectl("explain", "deployment.spec.replicas")
    names = kubectl("api-resources", "-o", "name").split()
    assert {"pods", "deployments.apps", "events.events.k8s.io"} <= set(names)
    assert "apps/v1" in kubectl("api-versions").split()
    assert "v1.32" in kubectl("version")
    assert "is running at" in kubectl("cluster-info")


@oldest_and_newest
def test_validation_and_dry_run(kubectl_of: Make, minor: str) -> None:
    kubectl = kubectl_of(minor)
    wrong = DEPLOYMENT.replace("replicas: 2", "replicass: 2")
    assert 'unknown field "spec.replicass"' in kubectl("apply", "-f", "-", stdin=wrong, fails=True)
    assert "created (server dry run)" in kubectl(
        "create", "cm", "not-kept", "--from-literal=a=b", "--dry-run=server"
    )
    assert "not found" in kubectl("get", "cm", "not-kept", fails=True)


@oldest_and_newest
def test_server_side_apply(kubectl_of: Make, minor: str) -> None:
    kubectl = kubectl_of(minor)
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
    changed = DEPLOYMENT.replace("replicas: 2", "replicas: 5")
    conflict = kubectl(
        *("apply", "--server-side", "--field-manager=other", "-f", "-"), stdin=changed, fails=True
    )
    assert 'conflict with "kubectl"' in conflict


def test_wait_watch_and_replace(kubectl_of: Make) -> None:
    kubectl = kubectl_of()
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "condition met" in kubectl(
        "wait", "deploy/web", "--for=jsonpath={.spec.replicas}=2", "--timeout=5s"
    )
    kubectl("delete", "deploy", "web", "--wait=false")
    kubectl("wait", "deploy/web", "--for=delete", "--timeout=5s")
    kubectl("create", "cm", "x", "--from-literal=a=1")
    body = kubectl("create", "cm", "x", "--from-literal=a=2", "--dry-run=client", "-o", "yaml")
    assert "replaced" in kubectl("replace", "-f", "-", stdin=body)
    assert kubectl("get", "cm", "x", "-o", "jsonpath={.data.a}") == "2"
    assert kubectl("get", "events").startswith("LAST SEEN")
