"""Who may do what: tokens, roles, impersonation, and the exact shape of refusals."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, load_kubeconfig
from lab.kube.status import StatusError

RBAC = "rbac.authorization.k8s.io"


def as_token(served: Any, token: str) -> KubeClient:
    admin = load_kubeconfig(served.kubeconfig)
    return KubeClient(Connection(server=admin.server, ca_pem=admin.ca_pem, token=token))


async def service_account_token(kube: KubeClient, namespace: str, name: str = "robot") -> str:
    await kube.create("serviceaccounts", {"metadata": {"name": name}}, namespace)
    body = {"spec": {"audiences": None, "expirationSeconds": 600}}
    answer = await kube.create("serviceaccounts", body, namespace, name=name, subresource="token")
    return str(answer["status"]["token"])


async def grant(
    kube: KubeClient, namespace: str, rules: list[dict[str, Any]], subject: dict[str, str]
) -> None:
    await kube.create("roles", {"metadata": {"name": "r"}, "rules": rules}, namespace)
    role = {"apiGroup": RBAC, "kind": "Role", "name": "r"}
    binding = {"metadata": {"name": "r"}, "roleRef": role, "subjects": [subject]}
    await kube.create("rolebindings", binding, namespace)


async def refusal(call: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await call
    return caught.value


async def test_a_wrong_token_and_none_are_401(served: Any) -> None:
    async with as_token(served, "nonsense") as wrong, as_token(served, "") as nobody:
        assert await nobody.request("GET", "/readyz") == "ok"
        for client in (wrong, nobody):
            for path in ("/api", "/apis", "/api/v1/nodes"):
                error = await refusal(client.request("GET", path))
                assert (error.code, error.reason, error.message) == (401, "Unauthorized", "Unauthorized")


async def test_a_role_opens_exactly_what_it_names(served: Any, kube: KubeClient, namespace: str) -> None:
    token = await service_account_token(kube, namespace)
    await kube.create("configmaps", {"metadata": {"name": "mine"}}, namespace)
    await kube.create("configmaps", {"metadata": {"name": "other"}}, namespace)
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"]},
    ]
    async with as_token(served, token) as robot:
        assert (await refusal(robot.get("configmaps", "mine", namespace))).code == 403
        await grant(
            kube, namespace, rules, {"kind": "ServiceAccount", "name": "robot", "namespace": namespace}
        )
        assert (await robot.get("configmaps", "mine", namespace))["metadata"]["name"] == "mine"
        error = await refusal(robot.get("configmaps", "other", namespace))
        assert error.details == {"name": "other", "kind": "configmaps"}
        assert error.message == (
            f'configmaps "other" is forbidden: User "system:serviceaccount:{namespace}:robot" cannot get '
            f'resource "configmaps" in API group "" in the namespace "{namespace}"'
        )
        assert (await refusal(robot.list("configmaps", namespace))).code == 403
        one = await robot.list("configmaps", namespace, field_selector="metadata.name=mine")
        assert [item["metadata"]["name"] for item in one["items"]] == ["mine"]
        error = await refusal(
            robot.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/x/scale")
        )
        assert error.code == 404
        assert (await refusal(robot.get("deployments", "x", namespace))).code == 403
        await kube.delete("rolebindings", "r", namespace)
        assert (await refusal(robot.get("configmaps", "mine", namespace))).code == 403


async def test_a_token_dies_with_its_account(served: Any, kube: KubeClient, namespace: str) -> None:
    token = await service_account_token(kube, namespace)
    async with as_token(served, token) as robot:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        user = (await robot.request("POST", path, body=review))["status"]["userInfo"]
        assert user["groups"] == [
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        ]
        await kube.delete("serviceaccounts", "robot", namespace)
        assert (await refusal(robot.request("POST", path, body=review))).code == 401


async def test_a_forged_token_is_refused(served: Any, kube: KubeClient, namespace: str) -> None:
    token = await service_account_token(kube, namespace)
    head, claims, signature = token.split(".")
    for forged in (f"{head}.{claims}.{signature[:-2]}aa", f"{head}.{claims}A.{signature}", "é.é.é", "a.b.c"):
        async with as_token(served, "") as robot:
            headers = {"Authorization": f"Bearer {forged}"}
            assert (await refusal(robot.request("GET", "/version", headers=headers))).code == 401


async def test_impersonation_needs_the_permission_and_gives_only_the_others_rights(
    served: Any, kube: KubeClient, namespace: str
) -> None:
    actor = f"system:serviceaccount:{namespace}:actor"
    headers = {"Impersonate-User": actor, "Impersonate-Group": "toil-lab:live"}
    token = await service_account_token(kube, namespace, "gateway")
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    async with as_token(served, token) as gateway:
        error = await refusal(gateway.request("GET", path, headers=headers))
        assert error.code == 403
        assert error.message.endswith(
            f'cannot impersonate resource "serviceaccounts" in API group "" in the namespace "{namespace}"'
        )
        await _allow_impersonation(kube, namespace)
        assert "cannot list" in (await refusal(gateway.request("GET", path, headers=headers))).message
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
        await grant(kube, namespace, rules, {"apiGroup": RBAC, "kind": "Group", "name": "toil-lab:live"})
        assert (await gateway.request("GET", path, headers=headers))["kind"] == "ConfigMapList"
        shadow = headers | {"Impersonate-Group": "toil-lab:shadow"}
        assert (await refusal(gateway.request("GET", path, headers=shadow))).code == 403
        alone = {"Impersonate-Group": "toil-lab:live"}
        assert (await refusal(gateway.request("GET", path, headers=alone))).code == 400


async def _allow_impersonation(kube: KubeClient, namespace: str) -> None:
    name = f"impersonate-{namespace}"
    rules = [{"apiGroups": [""], "resources": ["serviceaccounts", "groups"], "verbs": ["impersonate"]}]
    await kube.create("clusterroles", {"metadata": {"name": name}, "rules": rules})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "gateway", "namespace": namespace}],
    }
    await kube.create("clusterrolebindings", binding)


async def test_the_view_role_reads_all_but_secrets(served: Any, kube: KubeClient, namespace: str) -> None:
    token = await service_account_token(kube, namespace)
    binding = {
        "metadata": {"name": "view"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": namespace}],
    }
    await kube.create("rolebindings", binding, namespace)
    async with as_token(served, token) as robot:
        assert (await robot.list("deployments", namespace))["items"] == []
        assert (await refusal(robot.list("secrets", namespace))).code == 403
        assert (await refusal(robot.list("deployments", "default"))).code == 403
        assert (await refusal(robot.create("configmaps", {"metadata": {"name": "x"}}, namespace))).code == 403


async def test_nobody_grants_what_they_do_not_hold(served: Any, kube: KubeClient, namespace: str) -> None:
    token = await service_account_token(kube, namespace)
    rules = [
        {"apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["create", "patch"]},
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
    ]
    await grant(kube, namespace, rules, {"kind": "ServiceAccount", "name": "robot", "namespace": namespace})
    held = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get"]}
    more = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    async with as_token(served, token) as robot:
        await robot.create("roles", {"metadata": {"name": "less"}, "rules": [held]}, namespace)
        role = {"metadata": {"name": "more"}, "rules": [held, more]}
        error = await refusal(robot.create("roles", role, namespace))
        assert error.code == 403
        assert error.message.endswith(
            'not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
        )
        assert (await refusal(robot.patch("roles", "less", {"rules": [more]}, namespace))).code == 403
        assert (await kube.get("roles", "less", namespace))["rules"] == [held]
        ref = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
        binding = {"metadata": {"name": "b"}, "roleRef": ref, "subjects": []}
        assert (await refusal(robot.create("rolebindings", binding, namespace))).code == 403
        binding["roleRef"] = ref | {"kind": "Role", "name": "less"}
        await robot.create("rolebindings", binding, namespace)


async def test_escalate_and_bind_lift_the_check(served: Any, kube: KubeClient, namespace: str) -> None:
    token = await service_account_token(kube, namespace)
    rules = [
        {"apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["create"]},
        {"apiGroups": [RBAC], "resources": ["roles"], "resourceNames": ["any"], "verbs": ["escalate"]},
        {"apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["view"], "verbs": ["bind"]},
    ]
    await grant(kube, namespace, rules, {"kind": "ServiceAccount", "name": "robot", "namespace": namespace})
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    async with as_token(served, token) as robot:
        other = {"metadata": {"name": "other"}, "rules": [secrets]}
        assert (await refusal(robot.create("roles", other, namespace))).code == 403
        await robot.create("roles", {"metadata": {"name": "any"}, "rules": [secrets]}, namespace)
        for name, allowed in (("view", True), ("edit", False)):
            ref = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
            binding = {"metadata": {"name": name}, "roleRef": ref, "subjects": []}
            if allowed:
                await robot.create("rolebindings", binding, namespace)
            else:
                assert (await refusal(robot.create("rolebindings", binding, namespace))).code == 403


async def test_only_who_may_do_everything_aggregates(served: Any, kube: KubeClient, namespace: str) -> None:
    token = await service_account_token(kube, namespace)
    name = f"maker-{namespace}"
    rules = [{"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["create"]}]
    await kube.create("clusterroles", {"metadata": {"name": name}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": namespace}
    ref = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
    await kube.create(
        "clusterrolebindings", {"metadata": {"name": name}, "roleRef": ref, "subjects": [subject]}
    )
    selectors = [{"matchLabels": {"aggregate": "all"}}]
    role = {"metadata": {"name": f"all-{name}"}, "aggregationRule": {"clusterRoleSelectors": selectors}}
    async with as_token(served, token) as robot:
        error = await refusal(robot.create("clusterroles", role))
        assert error.code == 403
        assert "must have cluster-admin privileges to use the aggregationRule" in error.message
    assert not (await kube.create("clusterroles", role)).get("rules")
