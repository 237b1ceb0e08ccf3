"""kubectl asks who one is and what one may: auth, tokens, impersonation, and a kubeconfig."""

from __future__ import annotations

import json

import pytest
import yaml
from kubectl_session import Kubectl, conforms, oldest_and_newest
from localkube_process import Served

pytestmark = pytest.mark.slow

ROLES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: NAMESPACE}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: r, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}
subjects: [{kind: User, name: u, apiGroup: rbac.authorization.k8s.io}]
"""


@conforms(verb="auth can-i")
@conforms(verb="auth can-i --list")
@conforms(verb="auth whoami")
@conforms(verb="(any verb) --as")
@oldest_and_newest
def test_what_one_may(kubectl: Kubectl) -> None:
    robot = f"system:serviceaccount:{kubectl.namespace}:robot"
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps")
    kubectl("create", "rolebinding", "reads", "--role=reader", f"--serviceaccount={kubectl.namespace}:robot")
    assert kubectl("auth", "can-i", "delete", "nodes") == "yes\n"
    kubectl.until("auth", "can-i", "get", "pods", f"--as={robot}", shows="^yes$")
    refused = kubectl.run("auth", "can-i", "delete", "pods", f"--as={robot}")
    assert (refused.returncode, refused.stdout) == (1, "no\n")
    rules = kubectl("auth", "can-i", "--list", f"--as={robot}")
    rows = [line.split() for line in rules.splitlines()]
    assert ["pods", "[]", "[]", "[get", "list]"] in rows
    assert ["deployments.apps", "[]", "[]", "[get", "list]"] in rows
    assert any(row[0] == "selfsubjectreviews.authentication.k8s.io" for row in rows)
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    seen = json.loads(kubectl("auth", "whoami", "-o", "json", "--as=u", "--as-group=g", "--as-group=h"))
    user = seen["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("u", ["g", "h", "system:authenticated"])
    sentence = (
        f'Error from server (Forbidden): secrets is forbidden: User "{robot}" cannot list resource "secrets" '
        f'in API group "" in the namespace "{kubectl.namespace}"\n'
    )
    assert kubectl.refused("get", "secrets", f"--as={robot}") == sentence
    assert kubectl("get", "deploy", "-o", "name", f"--as={robot}") == ""


@conforms(verb="auth reconcile")
def test_reconcile(kubectl: Kubectl) -> None:
    file = kubectl.home / "roles.yaml"
    file.write_text(ROLES.replace("NAMESPACE", kubectl.namespace))
    kubectl("create", "role", "r", "--verb=list", "--resource=secrets")
    told = kubectl("auth", "reconcile", "-f", str(file))
    assert "role.rbac.authorization.k8s.io/r reconciled" in told
    assert "rolebinding.rbac.authorization.k8s.io/r reconciled" in told
    rules = json.loads(kubectl("get", "role", "r", "-o", "json"))["rules"]
    assert {rule["resources"][0] for rule in rules} == {"secrets", "pods"}
    kubectl.until("auth", "can-i", "get", "pods", "--as=u", shows="^yes$")
    kubectl("auth", "reconcile", "-f", str(file), "--remove-extra-permissions")
    assert kubectl.field("role/r", ".rules[*].resources[*]") == "pods"


@conforms(verb="create token")
@conforms(verb="config (token, no certificate)")
@oldest_and_newest
def test_a_kubeconfig_with_a_token(kubectl: Kubectl, cluster: Served) -> None:
    given = yaml.safe_load(cluster.kubeconfig.read_text())
    assert [set(user["user"]) for user in given["users"]] == [{"token"}]
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "rolebinding", "b", "--clusterrole=view", f"--serviceaccount={kubectl.namespace}:robot")
    token = kubectl("create", "token", "robot", "--duration=10m").strip()
    assert token.count(".") == 2
    own = kubectl.home / "robot.kubeconfig"
    own.write_text(yaml.safe_dump(given | {"users": [], "contexts": []}))
    mine = ("--kubeconfig", str(own))
    kubectl("config", "set-credentials", "robot", f"--token={token}", *mine)
    cluster_name = given["clusters"][0]["name"]
    place = f"--namespace={kubectl.namespace}"
    kubectl("config", "set-context", "r", f"--cluster={cluster_name}", "--user=robot", place, *mine)
    assert kubectl("config", "use-context", "r", *mine) == 'Switched to context "r".\n'
    assert f"system:serviceaccount:{kubectl.namespace}:robot" in kubectl("auth", "whoami", *mine)
    kubectl.until("auth", "can-i", "list", "pods", *mine, shows="^yes$")
    assert "cannot list resource" in kubectl.refused("get", "secrets", *mine)
    forged = kubectl.refused("get", "pods", f"--token={token[:-6]}AAAAAA", *mine)
    assert "You must be logged in to the server" in forged
    unknown = kubectl.refused("create", "token", "nobody")
    assert 'serviceaccounts "nobody" not found' in unknown


@conforms(
    verb="certificate",
    verdict="absent",
    reason="certificates.k8s.io is not served, and no client certificates are used",
)
def test_no_certificates(kubectl: Kubectl) -> None:
    refusal = kubectl.refused("certificate", "approve", "x")
    assert 'the server doesn\'t have a resource type "certificatesigningrequests"' in refusal
