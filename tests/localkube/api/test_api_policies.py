"""Validating admission policies over the wire: kubectl, the official client, tokens and streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubectls import Kubectl

from lab.kube.client import KubeClient
from lab.kube.status import StatusError

Make = Callable[..., Kubectl]
oldest_and_newest = pytest.mark.parametrize("minor", ["1.30", "1.33"])
POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}
    resourceRules:
    - {apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*/*"]}
  matchConditions:
  - {name: people, expression: request.userInfo.username == 'kubernetes-admin'}
  variables:
  - {name: replicas, expression: "has(object.spec) && has(object.spec.replicas) ? object.spec.replicas : 0"}
  validations:
  - expression: request.operation in ['DELETE', 'CONNECT'] || variables.replicas <= 3
    messageExpression: "'at most 3 replicas, not ' + string(variables.replicas)"
  - expression: request.operation != 'DELETE' || request.dryRun
    message: nothing is deleted here
    reason: Forbidden
  - expression: request.operation != 'CONNECT'
    message: keep out
  - expression: "!has(request.subResource) || request.subResource != 'token'"
    message: no tokens
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec: {policyName: NAME, validationActions: [ACTION]}
"""
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.fixture
def bound(kubectl_of: Make, namespace: str) -> Iterator[Callable[[str], None]]:
    """Binds the policy above in the test's namespace, with an action; undone afterwards."""
    kubectl = kubectl_of()

    def bind(action: str) -> None:
        text = POLICY.replace("NAME", namespace).replace("ACTION", action)
        said = kubectl("apply", "-f", "-", stdin=text)
        assert said.count("created") + said.count("configured") + said.count("unchanged") == 2

    yield bind
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        kubectl("delete", kind, namespace, "--ignore-not-found")


@oldest_and_newest
def test_kubectl_is_refused_whatever_it_tries(
    kubectl_of: Make, namespace: str, bound: Callable[[str], None], minor: str
) -> None:
    kubectl = kubectl_of(minor)
    kubectl("create", "deployment", "web", "--image=i", "--replicas=2")
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod"} | POD))
    bound("Deny")
    head = f"ValidatingAdmissionPolicy '{namespace}' with binding '{namespace}' denied request: "
    for arguments, why in (
        (("scale", "deployment/web", "--replicas=4"), "at most 3 replicas, not 4"),
        (("patch", "deployment", "web", "-p", '{"spec":{"replicas":5}}'), "at most 3 replicas, not 5"),
        (
            ("patch", "deployment/web", "--subresource=scale", "--type=merge", '-p={"spec":{"replicas":6}}'),
            "at most 3 replicas, not 6",
        ),
        (("create", "deployment", "other", "--image=i", "--replicas=7"), "at most 3 replicas, not 7"),
        (("delete", "deployment", "web"), "nothing is deleted here"),
        (("delete", "pods", "--all"), "nothing is deleted here"),
        (("exec", "p", "--", "true"), "keep out"),
        (("create", "token", "default"), "no tokens"),
    ):
        said = kubectl(*arguments, fails=True)
        assert head + why in said, (arguments, said)
    assert "dry run" in kubectl("delete", "deployment", "web", "--dry-run=server")
    assert "scaled" in kubectl("scale", "deployment/web", "--replicas=3")
    assert kubectl("get", "deployment,pod", "-o", "name").split()[0] == "deployment.apps/web"


def test_kubectl_is_warned(kubectl_of: Make, namespace: str, bound: Callable[[str], None]) -> None:
    kubectl = kubectl_of()
    kubectl("create", "deployment", "web", "--image=i")
    bound("Warn")
    strict = ("--warnings-as-errors", "scale", "deployment/web", "--replicas=4")
    assert (
        f"Warning: Validation failed for ValidatingAdmissionPolicy '{namespace}' with binding '{namespace}': "
        "at most 3 replicas, not 4"
    ) in kubectl(*strict, fails=True)
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "4"


def test_policies_are_listed_explained_and_described(
    kubectl_of: Make, namespace: str, bound: Callable[[str], None]
) -> None:
    kubectl = kubectl_of()
    bound("Audit")
    served = kubectl("api-resources", "--api-group=admissionregistration.k8s.io", "--no-headers")
    assert [line.split()[0] for line in served.splitlines()] == [
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    ]
    head, row = kubectl("get", "validatingadmissionpolicy", namespace).splitlines()
    assert head.split() == ["NAME", "VALIDATIONS", "PARAMKIND", "AGE"]
    assert row.split()[:3] == [namespace, "4", "<unset>"]
    head, row = kubectl("get", "validatingadmissionpolicybinding", namespace).splitlines()
    assert head.split() == ["NAME", "POLICYNAME", "PARAMREF", "AGE"]
    assert row.split()[:3] == [namespace, namespace, "<unset>"]
    assert "matchConditions" in kubectl("explain", "validatingadmissionpolicy.spec")
    assert "messageExpression" in kubectl("explain", "validatingadmissionpolicy.spec.validations")
    assert "Failure Policy:" in kubectl("describe", "validatingadmissionpolicy", namespace)


def test_what_does_not_compile_is_refused_with_the_place(kubectl_of: Make, namespace: str) -> None:
    text = POLICY.replace("NAME", namespace).replace("ACTION", "Deny")
    text = text.replace("request.operation != 'CONNECT'", "request.operatoin != 'CONNECT'")
    kubectl = kubectl_of()
    said = kubectl("apply", "--dry-run=server", "-f", "-", stdin=text, fails=True)
    assert "spec.validations[2].expression: Invalid value" in said
    assert "undefined field 'operatoin'" in said
    assert " | .......^" in said


def test_the_typed_client_writes_reads_and_watches(served: Any, namespace: str) -> None:
    kubernetes = pytest.importorskip("kubernetes")
    client = kubernetes.client
    rule = client.V1NamedRuleWithOperations(
        api_groups=[""], api_versions=["v1"], operations=["CREATE"], resources=["configmaps"]
    )
    spec = client.V1ValidatingAdmissionPolicySpec(
        match_constraints=client.V1MatchResources(resource_rules=[rule]),
        validations=[client.V1Validation(expression="true")],
    )
    with kubernetes.config.new_client_from_config(str(served.kubeconfig)) as api:
        registration = client.AdmissionregistrationV1Api(api)
        version = registration.list_validating_admission_policy().metadata.resource_version
        metadata = client.V1ObjectMeta(name=namespace)
        body = client.V1ValidatingAdmissionPolicy(metadata=metadata, spec=spec)
        made = registration.create_validating_admission_policy(body)
        assert made.spec.match_constraints.match_policy == "Equivalent"
        registration.patch_validating_admission_policy(namespace, {"spec": {"failurePolicy": "Ignore"}})
        registration.delete_validating_admission_policy(namespace)
        seen = [
            (event["type"], event["object"].spec.failure_policy)
            for event in kubernetes.watch.Watch().stream(
                registration.list_validating_admission_policy, resource_version=version, timeout_seconds=1
            )
            if event["object"].metadata.name == namespace
        ]
    assert seen == [("ADDED", "Fail"), ("MODIFIED", "Ignore"), ("DELETED", "Ignore")]


async def test_only_who_may_writes_policies(kube: KubeClient, namespace: str) -> None:
    """The usual roles of a namespace, admin included, say nothing of policies."""
    account = {"metadata": {"name": "robot"}}
    await kube.create("serviceaccounts", account, namespace)
    grant = {
        "metadata": {"name": f"{namespace}-admin"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": namespace}],
    }
    await kube.create("clusterrolebindings", grant)
    access = {
        "spec": {
            "user": f"system:serviceaccount:{namespace}:robot",
            "resourceAttributes": {
                "group": "admissionregistration.k8s.io",
                "resource": "validatingadmissionpolicies",
                "verb": "create",
            },
        }
    }
    answer = await kube.create("subjectaccessreviews", access)
    assert answer["status"]["allowed"] is False
    await kube.delete("clusterrolebindings", f"{namespace}-admin")


async def test_a_binding_with_parameters_is_refused_with_the_way_out(kube: KubeClient) -> None:
    reference = {"name": "settings", "parameterNotFoundAction": "Deny"}
    spec = {"policyName": "p", "paramRef": reference, "validationActions": ["Deny"]}
    with pytest.raises(StatusError) as refused:
        await kube.create("validatingadmissionpolicybindings", {"metadata": {"name": "b"}, "spec": spec})
    assert refused.value.code == 422
    assert "write the values into the policy" in refused.value.message
