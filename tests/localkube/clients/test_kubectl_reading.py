"""kubectl asks: what there is, what it means, and what it is like; nothing runs here."""

from __future__ import annotations

import json
import re

import pytest
from kubectl_manifests import WEB, WIDGET, WIDGETS
from kubectl_session import Kubectl, cells, conforms, every_minor, oldest_and_newest

pytestmark = pytest.mark.slow

CONFIGS = "".join(
    f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{tier: {tier}}}}}\n"
    f"data: {{rank: '{rank}'}}\n"
    for name, tier, rank in (("c1", "front", 3), ("c2", "front", 1), ("c3", "back", 2))
)


@conforms(verb="api-resources")
@conforms(verb="api-versions")
@oldest_and_newest
def test_what_is_served(kubectl: Kubectl) -> None:
    (head, *rows) = cells(kubectl("api-resources", "--api-group=apps", "-o", "wide"))
    assert head == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", "VERBS", "CATEGORIES"]
    (deployments,) = [row for row in rows if row[0] == "deployments"]
    verbs = "create,delete,deletecollection,get,list,patch,update,watch"
    assert deployments[1:] == ["deploy", "apps/v1", "true", "Deployment", verbs, "all"]
    cluster_wide = kubectl("api-resources", "--namespaced=false", "--verbs=list,create", "-o", "name").split()
    assert "namespaces" in cluster_wide
    assert "clusterroles.rbac.authorization.k8s.io" in cluster_wide
    assert not {"pods", "selfsubjectreviews.authentication.k8s.io"} & set(cluster_wide)
    everything = kubectl("api-resources", "--categories=all", "-o", "name").split()
    assert {"pods", "services", "jobs.batch"} <= set(everything)
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "autoscaling/v1", "autoscaling/v2"} <= set(versions)


@conforms(verb="explain")
@oldest_and_newest
def test_what_fields_mean(kubectl: Kubectl) -> None:
    (head, *_) = kubectl("explain", "deployment.spec.replicas").split("DESCRIPTION")
    assert re.sub(r"[ \t]+", " ", head).splitlines()[:4] == [
        *("GROUP: apps", "KIND: Deployment", "VERSION: v1", ""),
    ]
    assert "FIELD: replicas <integer>" in head
    tree = kubectl("explain", "pods.spec.containers.livenessProbe", "--recursive")
    assert re.search(r"^  httpGet\t<HTTPGetAction>$", tree, re.MULTILINE)
    assert re.search(r"^    httpHeaders\t<\[\]HTTPHeader>$", tree, re.MULTILINE)
    assert "VERSION:    v1\n" in kubectl("explain", "hpa", "--api-version=autoscaling/v1")
    assert kubectl.refused("explain", "pods.nosuch") == 'error: field "nosuch" does not exist\n'
    assert "the server doesn't have a resource type" in kubectl.refused("explain", "nosuch")


@conforms(
    verb="explain --output=plaintext-openapiv2",
    verdict="absent",
    reason="the old OpenAPI document is served as JSON, and kubectl wants protobuf",
)
def test_the_old_explanations(kubectl: Kubectl) -> None:
    kubectl.refused("explain", "cronjob.spec", "--output=plaintext-openapiv2")


@conforms(verb="explain (custom resources)")
@conforms(verb="get (custom resources)")
@oldest_and_newest
def test_custom_resources(kubectl: Kubectl) -> None:
    group = f"{kubectl.namespace}.example.com"
    definition, widget = (text.replace("NAMESPACE", kubectl.namespace) for text in (WIDGETS, WIDGET))
    kubectl("apply", "-f", "-", stdin=definition)
    try:
        kubectl("wait", "--for=condition=Established", f"crd/widgets.{group}", "--timeout=60s")
        kubectl.until("explain", f"widgets.{group}", shows=r"^  spec\t<Object>$")
        told = kubectl("explain", f"widgets.{group}", "--recursive")
        assert "DESCRIPTION:\n    A widget." in told
        assert re.search(r"^  spec\t<Object>\n    colour\t<string>$", told, re.MULTILINE)
        assert re.search(r"^    size\t<integer> -required-$", told, re.MULTILINE)
        common = kubectl("explain", f"widgets.{group}.metadata")
        assert "Standard object's metadata." in common
        kubectl("apply", "-f", "-", stdin=widget)
        assert cells(kubectl("get", f"widgets.{group}"))[0] == ["NAME", "SIZE", "AGE"]
        wide = cells(kubectl("get", f"widgets.{group}", "-o", "wide"))
        assert wide[0] == ["NAME", "SIZE", "COLOUR", "AGE"]
        assert wide[1][:3] == ["w", "3", "red"]
        assert kubectl("scale", f"widgets.{group}/w", "--replicas=5") == f"widget.{group}/w scaled\n"
        assert kubectl.field(f"widgets.{group}/w", ".spec.size") == "5"
        wrong = widget.replace("size: 3", "size: 0").replace("red", "blue")
        refusal = kubectl.refused("apply", "-f", "-", stdin=wrong)
        assert (
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1" in refusal
        )
        assert 'spec.colour: Unsupported value: "blue": supported values: "red", "green"' in refusal
    finally:
        kubectl("delete", "crd", f"widgets.{group}")


@conforms(verb="get")
@conforms(verb="get -o wide")
@conforms(verb="get all")
@every_minor
def test_tables(kubectl: Kubectl) -> None:
    assert kubectl.run("get", "pods").stderr == f"No resources found in {kubectl.namespace} namespace.\n"
    kubectl("apply", "-f", "-", stdin=WEB.replace("replicas: 2", "replicas: 0"))
    kubectl.until("get", "deploy", "web", shows=r"^web +0/0 ")
    head, row = cells(kubectl("get", "deploy", "-o", "wide"))
    assert head == [
        *("NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"),
    ]
    assert row[:4] == ["web", "0/0", "0", "0"]
    assert re.fullmatch(r"\d+s", row[4])
    assert row[5:] == ["web", "pause", "app=web"]
    head, row = cells(kubectl("get", "svc", "-o", "wide"))
    assert head == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]
    assert [row[0], row[1], row[3], row[4], row[6]] == ["web", "ClusterIP", "<none>", "80/TCP", "app=web"]
    kubectl.until("get", "rs", "-o", "name", shows="^replicaset.apps/web-")
    everything = kubectl("get", "all")
    assert re.findall(r"^(\S+)/\S+", everything, re.MULTILINE) == [
        *("service", "deployment.apps", "replicaset.apps"),
    ]
    assert kubectl.refused("get", "deploy", "x") == (
        'Error from server (NotFound): deployments.apps "x" not found\n'
    )
    assert kubectl.refused("get", "nosuch") == 'error: the server doesn\'t have a resource type "nosuch"\n'


@conforms(verb="get -l")
@conforms(verb="get -A")
@conforms(verb="get --field-selector")
@conforms(verb="get --sort-by")
@conforms(verb="get --chunk-size")
@conforms(verb="get --show-labels")
@oldest_and_newest
def test_choosing_and_ordering(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=CONFIGS)

    def names(*arguments: str) -> list[str]:
        return kubectl("get", "cm", "-o", "name", *arguments).replace("configmap/", "").split()

    assert names("-l", "tier=front") == ["c1", "c2"]
    assert names("-l", "tier in (back,other),!x") == ["c3"]
    assert names("-l", "tier!=front", "--field-selector=metadata.name!=kube-root-ca.crt") == ["c3"]
    assert names("--chunk-size=1") == ["c1", "c2", "c3", "kube-root-ca.crt"]
    assert names("-l", "tier", "--sort-by={.data.rank}") == ["c2", "c3", "c1"]
    head, *rows = cells(kubectl("get", "cm", "-l", "tier", "--show-labels"))
    assert head == ["NAME", "DATA", "AGE", "LABELS"]
    assert [row[3] for row in rows] == ["tier=front", "tier=front", "tier=back"]
    assert cells(kubectl("get", "cm", "c1", "-L", "tier"))[0][3] == "TIER"
    everywhere = cells(kubectl("get", "cm", "-A", "-l", "tier"))
    assert everywhere[0] == ["NAMESPACE", "NAME", "DATA", "AGE"]
    assert [row[1] for row in everywhere[1:] if row[0] == kubectl.namespace] == ["c1", "c2", "c3"]
    assert "field label not supported: spec.nosuch" in kubectl.refused(
        "get", "pods", "--field-selector=spec.nosuch=1"
    )
    assert "unable to parse requirement: found '' expected: '('" in kubectl.refused(
        "get", "pods", "-l", "app in"
    )


@conforms(verb="get -o json, yaml, name, jsonpath, custom-columns, go-template")
@conforms(verb="get --raw")
@oldest_and_newest
def test_forms_of_an_answer(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=CONFIGS)
    shown = json.loads(kubectl("get", "cm", "c1", "-o", "json"))
    assert (shown["apiVersion"], shown["kind"], shown["data"]) == ("v1", "ConfigMap", {"rank": "3"})
    assert "managedFields" not in shown["metadata"]
    kept = json.loads(kubectl("get", "cm", "c1", "-o", "json", "--show-managed-fields"))
    assert kept["metadata"]["managedFields"][0]["manager"] == "kubectl-client-side-apply"
    listed = kubectl("get", "cm", "-l", "tier", "-o", "yaml")
    assert listed.startswith("apiVersion: v1\nitems:\n- apiVersion: v1\n  data:\n    rank: ")
    assert listed.endswith('kind: List\nmetadata:\n  resourceVersion: ""\n')
    assert kubectl("get", "cm", "-l", "tier", "-o", "jsonpath={.items[*].data.rank}") == "3 1 2"
    columns = kubectl("get", "cm", "-l", "tier=back", "-o", "custom-columns=N:.metadata.name,X:.nothing")
    assert columns.split() == ["N", "X", "c3", "<none>"]
    assert kubectl("get", "cm", "-l", "tier", "-o", "go-template={{len .items}}") == "3"
    assert json.loads(kubectl("get", "--raw", "/version"))["gitVersion"].startswith("v1.32.")
    assert kubectl("get", "--raw", "/readyz") == "ok"
    refusal = kubectl.refused("get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}/pods/x")
    assert refusal == 'Error from server (NotFound): pods "x" not found\n'


@conforms(verb="get -w")
@conforms(verb="get --watch-only")
@oldest_and_newest
def test_watching(kubectl: Kubectl) -> None:
    kubectl("create", "cm", "before")
    with kubectl.running("get", "cm", "-w", "--output-watch-events", "--no-headers") as seen:
        assert seen.stdout is not None
        first = [cells(seen.stdout.readline())[0][:2] for _ in range(2)]
        assert sorted(first) == [["ADDED", "before"], ["ADDED", "kube-root-ca.crt"]]
        kubectl("create", "cm", "made")
        assert cells(seen.stdout.readline())[0][:3] == ["ADDED", "made", "0"]
        kubectl("patch", "cm", "made", "-p", '{"data":{"a":"b"}}')
        assert cells(seen.stdout.readline())[0][:3] == ["MODIFIED", "made", "1"]
        kubectl("delete", "cm", "made")
        assert cells(seen.stdout.readline())[0][:3] == ["DELETED", "made", "1"]
    with kubectl.running("get", "cm", "before", "--watch-only", "--no-headers") as changes:
        line = kubectl.first_line(changes, "annotate", "cm", "before", "--overwrite", "at={}")
    assert cells(line)[0][:2] == ["before", "0"]


@conforms(verb="describe")
@oldest_and_newest
def test_descriptions(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB.replace("replicas: 2", "replicas: 0"))
    kubectl.until("get", "deploy", "web", shows=r"^web +0/0 ")
    kubectl("scale", "deploy/web", "--replicas=1")
    kubectl.until("get", "events", shows="ScalingReplicaSet")
    told = kubectl("describe", "deploy", "web")
    assert re.search(r"^Selector: +app=web$", told, re.MULTILINE)
    assert re.search(r"^StrategyType: +RollingUpdate$", told, re.MULTILINE)
    assert re.search(r"^RollingUpdateStrategy: +25% max unavailable, 25% max surge$", told, re.MULTILINE)
    event = (
        r"Normal +ScalingReplicaSet +\S+ +deployment-controller +Scaled up replica set web-\w+ from 0 to 1"
    )
    assert re.search(event, told)
    service = kubectl("describe", "svc", "web")
    assert re.search(r"^TargetPort: +8080/TCP$", service, re.MULTILINE)
    assert re.search(r"^Session Affinity: +None$", service, re.MULTILINE)
    kubectl("create", "quota", "q", "--hard=pods=7")
    kubectl.until("describe", "quota", "q", shows=r"^pods +\d+ +7$")
    kubectl("create", "pdb", "p", "--selector=app=web", "--min-available=1")
    budget = kubectl.until("describe", "pdb", "p", shows=r"Total: +1")
    assert re.search(r"^Min available: +1$", budget, re.MULTILINE)
    kubectl("autoscale", "deploy", "web", "--max=3", "--cpu-percent=50")
    autoscaler = kubectl("describe", "hpa", "web")
    assert re.search(
        r"resource cpu on pods +\(as a percentage of request\): +\S+( \(\S+\))? / 50%", autoscaler
    )
    assert re.search(r"^Status: +Active$", kubectl("describe", "ns", kubectl.namespace), re.MULTILINE)
    assert kubectl.refused("describe", "pod", "x") == 'Error from server (NotFound): pods "x" not found\n'


@conforms(verb="events")
@conforms(verb="events --for")
@conforms(verb="events --watch")
@oldest_and_newest
def test_events(kubectl: Kubectl) -> None:
    kubectl("create", "deploy", "web", "--image=pause", "--replicas=0")
    kubectl("scale", "deploy/web", "--replicas=1")
    told = kubectl.until("events", "--for=deploy/web", shows="ScalingReplicaSet")
    head, *rows = cells(told)
    assert head == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert {row[3] for row in rows} == {"Deployment/web"}
    assert kubectl("events", "--for=deploy/web", "--types=Warning") == ""
    with kubectl.running("events", "--watch", "--for=deploy/web", "--no-headers") as events:
        assert events.stdout is not None
        assert "ScalingReplicaSet" in events.stdout.readline()
        kubectl("scale", "deploy/web", "--replicas=0")
        assert "Scaled down replica set" in events.stdout.readline()


@conforms(verb="version")
@conforms(verb="cluster-info")
@every_minor
def test_who_is_there(kubectl: Kubectl) -> None:
    assert re.search(r"^Server Version: v1\.32\.", kubectl("version"), re.MULTILINE)
    told = re.sub(r"\x1b\[[\d;]*m", "", kubectl("cluster-info"))
    assert re.match(r"Kubernetes control plane is running at https://127\.\d+\.0\.1:6443\n", told)
