"""kubectl rolls workloads out: scale, autoscale, set, rollout and wait, with pods that run."""

from __future__ import annotations

import re

import pytest
from kubectl_manifests import WEB
from kubectl_session import Kubectl, cells, conforms, oldest_and_newest

pytestmark = pytest.mark.slow


@conforms(verb="rollout status")
@conforms(verb="rollout history")
@conforms(verb="rollout undo --to-revision")
@conforms(verb="rollout restart")
@conforms(verb="rollout pause, resume")
@conforms(verb="set image")
@oldest_and_newest
def test_rollouts(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    status = ("rollout", "status", "deploy/web", "--timeout=90s")
    assert kubectl(*status).endswith('deployment "web" successfully rolled out\n')
    assert kubectl("set", "image", "deploy/web", "web=pause:2") == "deployment.apps/web image updated\n"
    assert kubectl(*status).endswith('deployment "web" successfully rolled out\n')
    kubectl("annotate", "deploy", "web", "kubernetes.io/change-cause=second")
    kubectl.until("rollout", "history", "deploy/web", shows=r"^2 +second$")
    history = cells(kubectl("rollout", "history", "deploy/web"))
    assert history[:3] == [["deployment.apps/web"], ["REVISION", "CHANGE-CAUSE"], ["1", "<none>"]]
    template = kubectl("rollout", "history", "deploy/web", "--revision=1")
    assert re.search(r"^ +Image:\s+pause$", template, re.MULTILINE)
    undone = kubectl("rollout", "undo", "deploy/web", "--to-revision=1")
    assert undone == "deployment.apps/web rolled back\n"
    assert kubectl.field("deploy/web", ".spec.template.spec.containers[0].image") == "pause"
    kubectl.until("rollout", "history", "deploy/web", shows=r"^3 +")
    assert not re.search(r"^1 ", kubectl("rollout", "history", "deploy/web"), re.MULTILINE)
    refusal = kubectl.refused("rollout", "undo", "deploy/web", "--to-revision=77")
    assert "unable to find specified revision 77 in history" in refusal
    assert kubectl("rollout", "pause", "deploy/web") == "deployment.apps/web paused\n"
    assert "is already paused" in kubectl.refused("rollout", "pause", "deploy/web")
    assert "can't restart paused deployment" in kubectl.refused("rollout", "restart", "deploy/web")
    assert kubectl("rollout", "resume", "deploy/web") == "deployment.apps/web resumed\n"
    assert kubectl("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    assert kubectl(*status).endswith('deployment "web" successfully rolled out\n')
    pods = kubectl("get", "pods", "-l", "app=web", "--field-selector=status.phase=Running", "-o", "name")
    assert len(pods.split()) >= 2


@conforms(verb="rollout (StatefulSet, DaemonSet)")
def test_rollouts_of_sets(kubectl: Kubectl) -> None:
    for kind, more in (("StatefulSet", "serviceName: s, "), ("DaemonSet", "")):
        spec = f"{{{more}selector: {{matchLabels: {{app: {kind}}}}}, template: TEMPLATE}}"
        pod = "{terminationGracePeriodSeconds: 0, containers: [{name: c, image: pause}]}"
        spec = spec.replace("TEMPLATE", f"{{metadata: {{labels: {{app: {kind}}}}}, spec: {pod}}}")
        head = f"apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: s}}\n"
        kubectl("apply", "-f", "-", stdin=f"{head}spec: {spec}\n")
    for kind in ("statefulset", "daemonset"):
        kubectl("rollout", "status", f"{kind}/s", "--timeout=90s")
        kubectl("set", "image", f"{kind}/s", "c=pause:2")
        kubectl("rollout", "status", f"{kind}/s", "--timeout=90s")
        kubectl.until("rollout", "history", f"{kind}/s", shows=r"^2 +")
        assert kubectl("rollout", "undo", f"{kind}/s") == f"{kind}.apps/s rolled back\n"
        kubectl("rollout", "status", f"{kind}/s", "--timeout=90s")
        assert kubectl.field(f"{kind}/s", ".spec.template.spec.containers[0].image") == "pause"


@conforms(verb="scale")
@conforms(verb="scale --current-replicas")
@conforms(verb="autoscale")
@oldest_and_newest
def test_scaling(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB.replace("replicas: 2", "replicas: 0"))
    assert kubectl("scale", "deploy/web", "--replicas=1") == "deployment.apps/web scaled\n"
    kubectl("wait", "deploy/web", "--for=jsonpath={.status.readyReplicas}=1", "--timeout=90s")
    assert kubectl.refused("scale", "deploy/web", "--current-replicas=9", "--replicas=4") == (
        "error: Expected replicas to be 9, was 1\n"
    )
    assert kubectl("scale", "deploy/web", "--current-replicas=1", "--replicas=0").endswith("scaled\n")
    made = kubectl("autoscale", "deploy", "web", "--min=1", "--max=3", "--cpu-percent=50")
    assert made == "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    head, row = cells(kubectl("get", "hpa"))
    assert head == ["NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"]
    assert row[:3] == ["web", "Deployment/web", "cpu: <unknown>/50%"]
    assert row[3:5] == ["1", "3"]
    missing = kubectl.refused("scale", "deploy/x", "--replicas=1")
    assert "no objects passed to scale" in missing


@conforms(verb="set env")
@conforms(verb="set resources")
@conforms(verb="set selector")
@conforms(verb="set serviceaccount")
@conforms(verb="set subject")
@oldest_and_newest
def test_set(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB.replace("replicas: 2", "replicas: 0"))
    kubectl("create", "cm", "settings", "--from-literal=K=v")
    assert kubectl("set", "env", "deploy/web", "A=b") == "deployment.apps/web env updated\n"
    kubectl("set", "env", "deploy/web", "--from=configmap/settings")
    assert "A=b\n" in kubectl("set", "env", "deploy/web", "--list")
    container = ".spec.template.spec.containers[0]"
    assert kubectl.field("deploy/web", f"{container}.env[1].valueFrom.configMapKeyRef.name") == "settings"
    limits = ("set", "resources", "deploy/web", "--limits=cpu=200m,memory=64Mi", "--requests=cpu=100m")
    assert kubectl(*limits) == "deployment.apps/web resource requirements updated\n"
    assert kubectl.field("deploy/web", f"{container}.resources.limits.memory") == "64Mi"
    assert kubectl("set", "selector", "svc", "web", "app=other") == "service/web selector updated\n"
    assert kubectl.field("svc/web", ".spec.selector.app") == "other"
    kubectl("create", "serviceaccount", "robot")
    kubectl("set", "serviceaccount", "deploy/web", "robot")
    assert kubectl.field("deploy/web", ".spec.template.spec.serviceAccountName") == "robot"
    kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "r", "--role=r", "--user=u")
    assert kubectl("set", "subject", "rolebinding", "r", "--user=w").endswith("subjects updated\n")
    wrong = kubectl.refused("set", "image", "deploy/web", "nosuch=x")
    assert 'error: unable to find container named "nosuch"\n' in wrong


@conforms(verb="wait --for=condition, jsonpath, delete")
@oldest_and_newest
def test_wait(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    assert kubectl("wait", "--for=condition=Available", "deploy/web", "--timeout=90s") == (
        "deployment.apps/web condition met\n"
    )
    assert kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=90s").count("met") == 2
    kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deploy/web", "--timeout=90s")
    late = kubectl.refused("wait", "--for=jsonpath={.spec.replicas}=9", "deploy/web", "--timeout=1s")
    assert late == "error: timed out waiting for the condition on deployments/web\n"
    with kubectl.running("wait", "--for=delete", "deploy/web", "--timeout=90s") as wait:
        kubectl("delete", "deploy", "web")
        assert wait.wait(90) == 0


@conforms(verb="wait --for=create")
@pytest.mark.parametrize("kubectl", ["1.31", "1.33"], indirect=True)
def test_wait_for_what_is_not_there_yet(kubectl: Kubectl) -> None:
    with kubectl.running("wait", "--for=create", "cm/late", "--timeout=90s") as wait:
        kubectl("create", "cm", "late")
        assert wait.wait(90) == 0
