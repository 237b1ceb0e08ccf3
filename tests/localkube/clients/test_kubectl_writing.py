"""kubectl makes and changes objects: create, apply, patch, edit, replace, label, delete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kubectl_manifests import WEB
from kubectl_session import Kubectl, conforms, every_minor, oldest_and_newest

pytestmark = pytest.mark.slow

IDLE = WEB.replace("replicas: 2", "replicas: 0")


@conforms(verb="create (every generator)")
@pytest.mark.parametrize("kubectl", ["1.31", "1.32"], indirect=True)
def test_generators(kubectl: Kubectl, tmp_path: Path) -> None:
    """From 1.32 on these bodies are protobuf."""
    place, own = kubectl.namespace, f"x-{kubectl.namespace}"
    made = [
        ("configmap", "c", "--from-literal=a=b", "--from-literal=empty="),
        ("secret", "generic", "s", "--from-literal=k=v"),
        ("secret", "docker-registry", "d", "--docker-username=u", "--docker-password=p"),
        ("serviceaccount", "robot"),
        ("role", "reader", "--verb=get,list", "--resource=pods,deployments.apps,pods/log"),
        ("rolebinding", "reads", "--role=reader", f"--serviceaccount={place}:robot", "--user=u"),
        ("clusterrole", own, "--verb=get", "--resource=nodes"),
        ("clusterrolebinding", own, f"--clusterrole={own}", "--group=g"),
        ("deployment", "web", "--image=pause", "--replicas=0", "--port=80"),
        ("job", "once", "--image=busybox", "--", "true", "--flag"),
        ("cronjob", "daily", "--image=busybox", "--schedule=0 3 * * *", "--", "true"),
        ("job", "early", "--from=cronjob/daily"),
        ("service", "clusterip", "in", "--tcp=80:8080"),
        ("service", "clusterip", "headless", "--clusterip=None"),
        ("service", "nodeport", "np", "--tcp=80"),
        ("service", "loadbalancer", "lb", "--tcp=80"),
        ("service", "externalname", "out", "--external-name=a.example"),
        ("quota", "q", "--hard=configmaps=50,pods=9"),
        ("poddisruptionbudget", "p", "--selector=app=web", "--min-available=50%"),
        ("ingress", "i", "--rule=a.example/=in:80,tls=cert"),
        ("priorityclass", own, "--value=7", "--preemption-policy=Never"),
        ("namespace", own),
    ]
    try:
        for arguments in made:
            assert kubectl("create", *arguments).endswith(" created\n"), arguments
        assert kubectl.field("cm/c", ".data") == '{"a":"b","empty":""}'
        assert kubectl.field("secret/s", ".data.k") == "dg=="
        assert kubectl.field("secret/d", ".type") == "kubernetes.io/dockerconfigjson"
        assert kubectl.field("role/reader", ".rules[1].apiGroups[0]") == "apps"
        assert kubectl.field("rolebinding/reads", ".subjects[*].kind") == "User ServiceAccount"
        assert kubectl.field("deploy/web", ".spec.replicas") == "0"
        assert kubectl.field("job/once", ".spec.template.spec.containers[0].command") == '["true","--flag"]'
        assert kubectl.field("job/early", ".metadata.ownerReferences[0].name") == "daily"
        assert kubectl.field("svc/headless", ".spec.clusterIP") == "None"
        assert kubectl.field("svc/np", ".spec.ports[0].nodePort").startswith("3")
        assert kubectl.field("quota/q", ".spec.hard.pods") == "9"
        assert kubectl.field("pdb/p", ".spec.minAvailable") == "50%"
        assert kubectl.field("ingress/i", ".spec.tls[0].secretName") == "cert"
        assert kubectl.field(f"priorityclass/{own}", ".preemptionPolicy") == "Never"
    finally:
        for kind in ("clusterrole", "clusterrolebinding", "priorityclass", "namespace"):
            kubectl("delete", kind, own, "--ignore-not-found", "--wait=false")
    refusal = kubectl.refused("create", "cm", "c")
    assert refusal == 'error: failed to create configmap: configmaps "c" already exists\n'


@conforms(verb="run")
@conforms(verb="expose")
@oldest_and_newest
def test_run_and_expose(kubectl: Kubectl) -> None:
    plain = ("--image=pause", "--port=80", "--labels=a=b", "--env=X=y")
    assert kubectl("run", "p", *plain) == "pod/p created\n"
    assert kubectl.field("pod/p", ".spec.containers[0].env[0].value") == "y"
    assert kubectl("expose", "pod", "p") == "service/p exposed\n"
    assert kubectl.field("svc/p", ".spec.selector") == '{"a":"b"}'
    assert kubectl.refused("expose", "pod", "p") == (
        'Error from server (AlreadyExists): services "p" already exists\n'
    )
    assert "metadata.name: Invalid value" in kubectl.refused("run", "BAD", "--image=pause")


@conforms(verb="apply")
@conforms(verb="apply --dry-run=server, client")
@conforms(verb="diff")
@oldest_and_newest
def test_apply_and_diff(kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(IDLE)
    assert kubectl("apply", "-f", str(file), "--dry-run=server") == (
        "deployment.apps/web created (server dry run)\nservice/web created (server dry run)\n"
    )
    assert kubectl("apply", "-f", str(file), "--dry-run=client").count("(dry run)") == 2
    assert kubectl("get", "deploy", "-o", "name") == ""
    assert kubectl("apply", "-f", str(file)) == "deployment.apps/web created\nservice/web created\n"
    assert kubectl("apply", "-f", str(file)) == "deployment.apps/web unchanged\nservice/web unchanged\n"
    assert kubectl.run("diff", "-f", str(file)).returncode == 0
    file.write_text(IDLE.replace("image: pause", "image: pause:2").replace("port: 80,", "port: 81,"))
    shown = kubectl.run("diff", "-f", str(file))
    assert shown.returncode == 1
    lines = [line.strip() for line in shown.stdout.splitlines() if line[:1] in "+-"]
    assert "-      - image: pause" in lines
    assert "+      - image: pause:2" in lines
    assert kubectl("apply", "-f", str(file)) == "deployment.apps/web configured\nservice/web configured\n"
    assert kubectl.field("svc/web", ".spec.ports[*].port") == "81"
    file.write_text(IDLE.replace("image: pause", "image: pause\n        imagee: pause"))
    unknown = kubectl.refused("apply", "-f", str(file))
    assert 'unknown field "spec.template.spec.containers[0].imagee"' in unknown
    warned = kubectl.run("apply", "-f", str(file), "--validate=warn")
    assert 'Warning: unknown field "spec.template.spec.containers[0].imagee"' in warned.stderr


@conforms(verb="apply --prune")
@conforms(verb="apply -k")
@conforms(verb="delete -k")
def test_prune_and_kustomize(kubectl: Kubectl, tmp_path: Path) -> None:
    for name in ("a", "b"):
        head = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{set: x}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(head)
    allowed = ("--prune", "-l", "set=x", "--prune-allowlist=core/v1/ConfigMap")
    kubectl("apply", "-f", str(tmp_path), *allowed)
    assert kubectl("apply", "-f", str(tmp_path / "a.yaml"), *allowed) == (
        "configmap/a unchanged\nconfigmap/b pruned\n"
    )
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "web.yaml").write_text(IDLE)
    generator = "configMapGenerator: [{name: c, literals: [a=b]}]"
    (tree / "kustomization.yaml").write_text(f"resources: [web.yaml]\nnamePrefix: k-\n{generator}\n")
    made = kubectl("apply", "-k", str(tree)).splitlines()
    assert len(made) == 3
    assert "deployment.apps/k-web created" in made
    assert kubectl("delete", "-k", str(tree)).count("deleted") == 3


@conforms(verb="apply --server-side")
@conforms(verb="apply --server-side --force-conflicts")
@every_minor
def test_server_side_apply(kubectl: Kubectl) -> None:
    made = kubectl("apply", "--server-side", "-f", "-", stdin=IDLE)
    assert made == "deployment.apps/web serverside-applied\nservice/web serverside-applied\n"
    changed = IDLE.replace("replicas: 0", "replicas: 1")
    other = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    refusal = kubectl.refused(*other, stdin=changed)
    assert refusal.startswith(
        'error: Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas\n'
    )
    assert "* If you intend to manage all of these fields, please re-run the apply" in refusal
    assert "serverside-applied" in kubectl(*other, "--force-conflicts", stdin=changed)
    assert kubectl.field("deploy/web", ".spec.replicas") == "1"
    again = kubectl.refused("apply", "--server-side", "-f", "-", stdin=IDLE)
    assert 'conflict with "other": .spec.replicas' in again


@conforms(verb="apply view-last-applied, set-last-applied, edit-last-applied")
def test_the_last_applied(kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: EDITME}\n")
    kubectl("apply", "-f", str(file))
    assert "a: EDITME\n" in kubectl("apply", "view-last-applied", "cm", "c")
    assert kubectl("apply", "edit-last-applied", "cm", "c", editor="sed -i s/EDITME/edited/").endswith(
        "edited\n"
    )
    assert "a: edited\n" in kubectl("apply", "view-last-applied", "cm", "c")
    assert kubectl("apply", "set-last-applied", "-f", str(file)) == "configmap/c configured\n"
    assert kubectl.field("cm/c", ".data.a") == "EDITME"


@conforms(verb="edit")
@oldest_and_newest
def test_edit(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=IDLE)
    assert kubectl("edit", "deploy", "web", editor="sed -i 's/replicas: 0/replicas: 1/'") == (
        "deployment.apps/web edited\n"
    )
    assert kubectl.field("deploy/web", ".spec.replicas") == "1"
    unchanged = kubectl.run("edit", "svc", "web", editor="true")
    assert "Edit cancelled, no changes made." in unchanged.stdout + unchanged.stderr
    bad = kubectl.refused("edit", "deploy", "web", editor="sed -i 's/replicas: 1/replicas: -1/'")
    assert 'error: deployments.apps "web" is invalid\n' in bad
    assert "error: Edit cancelled, no valid changes were saved.\n" in bad


@conforms(verb="replace")
@conforms(verb="replace --force")
@oldest_and_newest
def test_replace(kubectl: Kubectl) -> None:
    kubectl("create", "cm", "c", "--from-literal=a=1")
    body = kubectl("create", "cm", "c", "--from-literal=a=2", "--dry-run=client", "-o", "yaml")
    before = kubectl.field("cm/c", ".metadata.uid")
    assert kubectl("replace", "-f", "-", stdin=body) == "configmap/c replaced\n"
    assert kubectl.field("cm/c", ".metadata.uid") == before
    assert kubectl.field("cm/c", ".data.a") == "2"
    assert kubectl("replace", "--force", "-f", "-", stdin=body) == (
        'configmap "c" deleted\nconfigmap/c replaced\n'
    )
    assert kubectl.field("cm/c", ".metadata.uid") != before
    stale = json.loads(kubectl("get", "cm", "c", "-o", "json"))
    kubectl("label", "cm", "c", "x=y")
    refusal = kubectl.refused("replace", "-f", "-", stdin=json.dumps(stale))
    assert "the object has been modified; please apply your changes to the latest version" in refusal
    missing = kubectl.refused("replace", "-f", "-", stdin=body.replace("name: c", "name: d"))
    assert missing == 'Error from server (NotFound): error when replacing "STDIN": configmaps "d" not found\n'


@conforms(verb="patch (strategic, merge, json)")
@conforms(verb="patch --subresource")
@oldest_and_newest
def test_patches(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=IDLE)
    side = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s"}]}}}}
    assert kubectl("patch", "deploy", "web", "-p", json.dumps(side)) == "deployment.apps/web patched\n"
    assert kubectl.field("deploy/web", ".spec.template.spec.containers[*].name") == "side web"
    assert kubectl("patch", "deploy", "web", "-p", json.dumps(side)) == (
        "deployment.apps/web patched (no change)\n"
    )
    merge = {"metadata": {"labels": {"app": None, "b": "c"}}}
    kubectl("patch", "deploy", "web", "--type=merge", "-p", json.dumps(merge))
    assert kubectl.field("deploy/web", ".metadata.labels") == '{"b":"c"}'
    step = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "t"}
    kubectl("patch", "deploy", "web", "--type=json", "-p", json.dumps([step]))
    assert kubectl.field("deploy/web", ".spec.template.spec.containers[*].image") == "t pause"
    guard = {"op": "test", "path": "/spec/replicas", "value": 9}
    refusal = kubectl.refused("patch", "deploy", "web", "--type=json", "-p", json.dumps([guard]))
    assert (
        refusal == "The request is invalid: the server rejected our request due to an error in our request\n"
    )
    scale = ("--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":1}}')
    assert kubectl("patch", "deploy", "web", *scale) == "scale.autoscaling/web patched\n"
    assert kubectl.field("deploy/web", ".spec.replicas") == "1"
    fixed = kubectl.refused("patch", "deploy", "web", "-p", '{"spec":{"selector":{"matchLabels":{"b":"c"}}}}')
    assert "field is immutable" in fixed


@conforms(verb="label")
@conforms(verb="annotate")
@oldest_and_newest
def test_labels_and_annotations(kubectl: Kubectl) -> None:
    kubectl("create", "cm", "c")
    assert kubectl("label", "cm", "c", "a=b") == "configmap/c labeled\n"
    assert "'a' already has a value (b), and --overwrite is false" in kubectl.refused(
        "label", "cm", "c", "a=c"
    )
    assert kubectl("label", "cm", "c", "a=c", "--overwrite") == "configmap/c labeled\n"
    assert kubectl("label", "cm", "c", "a=c") == "configmap/c not labeled\n"
    assert kubectl("label", "cm", "c", "a-") == "configmap/c unlabeled\n"
    assert kubectl("annotate", "cm", "--all", "n=v").endswith("annotated\n")
    assert kubectl.field("cm/c", ".metadata.annotations.n") == "v"
    assert kubectl("annotate", "cm", "c", "n-") == "configmap/c annotated\n"
    assert kubectl("label", "cm", "c", "--list") == ""
    assert "a valid label must be" in kubectl.refused("label", "cm", "c", "a=-bad-")


@conforms(verb="delete (background, foreground, orphan)")
@conforms(verb="delete -l, --all")
@conforms(verb="delete --force")
@conforms(verb="delete --dry-run=server")
@oldest_and_newest
def test_delete(kubectl: Kubectl) -> None:
    def web() -> None:
        kubectl("apply", "-f", "-", stdin=IDLE)
        kubectl.until("get", "rs", "-l", "app=web", "-o", "name", shows="replicaset")

    web()
    assert "(server dry run)" in kubectl("delete", "deploy", "web", "--dry-run=server")
    kubectl("delete", "deploy", "web", "--cascade=orphan")
    assert kubectl("get", "rs", "-o", "jsonpath={.items[*].metadata.ownerReferences}") == ""
    assert kubectl("get", "rs", "-o", "name").startswith("replicaset.apps/web-")
    kubectl("delete", "rs", "--all")
    web()
    kubectl("delete", "deploy", "web", "--cascade=foreground")
    assert kubectl("get", "rs", "-o", "name") == ""
    web()
    assert kubectl("delete", "deploy", "-l", "app=web", "--cascade=background").startswith("deployment.apps")
    kubectl("wait", "--for=delete", "rs", "--all", "--timeout=60s")
    kubectl("run", "p", "--image=pause")
    forced = kubectl.run("delete", "pod", "p", "--force", "--grace-period=0")
    assert "Immediate deletion does not wait for confirmation" in forced.stderr
    assert "force deleted" in forced.stdout
    assert kubectl.refused("delete", "cm", "x") == 'Error from server (NotFound): configmaps "x" not found\n'
    assert kubectl("delete", "cm", "x", "--ignore-not-found") == ""
    held = {"metadata": {"finalizers": ["example.com/held"]}}
    kubectl("create", "cm", "held")
    kubectl("patch", "cm", "held", "--type=merge", "-p", json.dumps(held))
    kubectl("delete", "cm", "held", "--wait=false")
    assert kubectl.field("cm/held", ".metadata.deletionTimestamp")
    kubectl("patch", "cm", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kubectl("wait", "--for=delete", "cm/held", "--timeout=60s")
