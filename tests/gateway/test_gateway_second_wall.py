"""The second wall: the API server itself refuses whatever the group toil-lab:shadow sends that is no dry run.

Every request here is made with the gateway's own credentials, past the gateway. The group may do everything
to everything in these tests, so that nothing but the wall stands between a request and the store.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import any_cluster
import pytest
import yaml
from gateway_stage import furnish
from given_cluster import given_cluster
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.clock import SystemClock
from lab.core.places import data_root
from lab.gateway.app import build
from lab.gateway.server import start_front
from lab.gateway.settings import GatewaySettings
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.resources import BUILTIN, Resource, builtin

pytestmark = pytest.mark.safety
WALL = data_root() / "clusters" / "base" / "shadow-wall.yaml"
SHADOW, LIVE = "toil-lab:shadow", "toil-lab:live"
ACTOR = "system:serviceaccount:automation:automation"
TOKEN = "token-of-the-automation"
POD_SPEC = {"containers": [{"name": "c", "image": "pause"}]}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": POD_SPEC}
JOB = {"template": {"spec": POD_SPEC | {"restartPolicy": "Never"}}}
ASLEEP = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": TEMPLATE}
NOTHING = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
VOLUME = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Mi"}, "hostPath": {"path": "/x"}}
HAPPENED = {
    "eventTime": "2030-01-01T00:00:00.000000Z",
    "regarding": {"namespace": "shop"},
    "reportingController": "example.com/tests",
    "reportingInstance": "tests",
    "action": "Look",
    "reason": "Looked",
    "type": "Normal",
}
SCALED = {"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "p"}}
"""Its target has no replicas: nothing is done about it, and nothing said every few seconds."""
SPECS: dict[str, dict[str, Any]] = {
    "pods": {"spec": POD_SPEC | {"schedulerName": any_cluster.UNSCHEDULED}},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "events": {"involvedObject": {"namespace": "shop"}},
    "events.events.k8s.io": HAPPENED,
    "persistentvolumes": {"spec": VOLUME},
    "persistentvolumeclaims": {"spec": CLAIM},
    "replicationcontrollers": {"spec": ASLEEP | {"selector": {"app": "x"}}},
    "podtemplates": {"template": TEMPLATE},
    "deployments.apps": {"spec": ASLEEP},
    "replicasets.apps": {"spec": ASLEEP},
    "statefulsets.apps": {"spec": ASLEEP | {"serviceName": "p"}},
    "daemonsets.apps": {"spec": {key: ASLEEP[key] for key in ("selector", "template")}},
    "controllerrevisions.apps": {"revision": 1, "data": {}},
    "jobs.batch": {"spec": JOB | {"suspend": True}},
    "cronjobs.batch": {"spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": JOB}}},
    "endpointslices.discovery.k8s.io": {"addressType": "IPv4", "endpoints": []},
    "poddisruptionbudgets.policy": {"spec": {"selector": {"matchLabels": {"app": "none"}}}},
    "ingresses.networking.k8s.io": {"spec": {"rules": [{"host": "example.com"}]}},
    "networkpolicies.networking.k8s.io": {"spec": {"podSelector": {}}},
    "ingressclasses.networking.k8s.io": {"spec": {"controller": "example.com/none"}},
    "horizontalpodautoscalers.autoscaling": {"spec": SCALED},
    "horizontalpodautoscalers.v1.autoscaling": {"spec": SCALED},
    "roles.rbac.authorization.k8s.io": {"rules": []},
    "clusterroles.rbac.authorization.k8s.io": {"rules": []},
    "rolebindings.rbac.authorization.k8s.io": NOTHING,
    "clusterrolebindings.rbac.authorization.k8s.io": NOTHING,
    "priorityclasses.scheduling.k8s.io": {"value": 7},
    "storageclasses.storage.k8s.io": {"provisioner": "example.com/none"},
}  # fmt: skip
EVERYWHERE = given_cluster() is None
"""On a given cluster nothing outside of two namespaces is tried: were the wall down, it would happen."""

KINDS = [
    resource
    for resource in BUILTIN
    if {"list", "create"} <= set(resource.verbs)
    and resource.group != "admissionregistration.k8s.io"
    and (resource.namespaced or EVERYWHERE)
]
"""What the group may write in these tests."""

RIGHTS = "toil-lab-everything"
_QUIET_LOOKS = 4
JSON, YAML = "application/json", "application/yaml"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


@dataclass
class Wall:
    """A cluster with the lab's rights and its wall, and the gateway's credentials."""

    runner: asyncio.Runner
    kube: KubeClient
    session: aiohttp.ClientSession
    gateway_token: str
    served: list[Resource]

    async def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        content_type: str = JSON,
        groups: tuple[str, ...] = (SHADOW,),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> tuple[int, str]:
        """A request as the gateway would send it; code and text."""
        sent = [("Impersonate-User", ACTOR), *(("Impersonate-Group", group) for group in groups)]
        sent += [("Authorization", f"Bearer {self.gateway_token}"), ("Content-Type", content_type), *headers]
        async with self.session.request(method, target, data=body, headers=sent) as answer:
            return answer.status, await answer.text()

    async def version(self) -> list[str]:
        """Every write of any object changes it: of the whole cluster, or of the namespaces of a given one."""
        if EVERYWHERE:
            return [str((await self.kube.list("leases", "default"))["metadata"]["resourceVersion"])]
        lists = [
            self.kube.list(kind, namespace)
            for kind in self.served
            if not kind.stored_version and kind.plural != "events"
            for namespace in ("shop", "automation")
        ]
        seen = [
            f"{listed['kind']} {item['metadata']['name']} {written(item['metadata'], listed['kind'])}"
            for listed in (*await asyncio.gather(*lists), await self.kube.list("namespaces"))
            for item in listed["items"]
        ]
        return sorted(seen)

    async def settled(self) -> list[str]:
        """The same, once the controllers have come to rest."""
        last, quiet = [""], 0
        async with asyncio.timeout(30):
            while quiet < _QUIET_LOOKS:
                worker = await self.kube.get("deployments", "worker", "shop")
                now = await self.version()
                made = (worker.get("status") or {}).get("replicas") == 2
                quiet, last = (quiet + 1, last) if made and now == last else (0, now)
                await asyncio.sleep(0.2)
        return last


def written(metadata: dict[str, Any], list_kind: str) -> str:
    """What a write changes. Of an autoscaler all but its status: its controller writes that when it likes."""
    if list_kind == "HorizontalPodAutoscalerList":
        return str([metadata.get(key) for key in ("generation", "labels", "annotations")])
    return str(metadata["resourceVersion"])


def everything_but_policies() -> dict[str, Any]:
    """All rights but those over the wall itself, which nobody in shadow has."""
    groups = sorted({resource.group for resource in BUILTIN} - {"admissionregistration.k8s.io"})
    rule = {"apiGroups": groups, "resources": ["*"], "verbs": ["*"]}
    return {"metadata": {"name": RIGHTS}, "rules": [rule]}


async def build_wall(kube: KubeClient, kinds: list[Resource]) -> None:
    await any_cluster.furnish(kube, "shadow-wall.yaml")
    await any_cluster.create(kube, "clusterroles", everything_but_policies())
    subjects = [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": g} for g in (SHADOW, LIVE)]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": RIGHTS}
    binding = {"metadata": {"name": RIGHTS}, "roleRef": reference, "subjects": subjects}
    if EVERYWHERE:
        await kube.create("clusterrolebindings", binding)
    else:
        for namespace in ("shop", "automation"):
            await kube.create("rolebindings", binding, namespace)
    for resource in kinds:
        if resource.group == "events.k8s.io" or resource.stored_version:
            continue  # the same objects as another resource's
        await kube.create(resource, minimal(resource, "p"), "shop" if resource.namespaced else "")


async def in_force(wall: Wall) -> None:
    """Wait until the API server knows the wall: it reads policies a moment after they are written."""
    async with asyncio.timeout(60):
        for number in itertools.count():
            probe = {"metadata": {"name": f"before-the-wall-{number}"}}
            code, said = await wall.send("POST", f"{SHOP}/configmaps", json.dumps(probe).encode())
            if code == 403 and "toil-lab-shadow-wall" in said:
                return
            await asyncio.sleep(0.1)


async def served_kinds(kube: KubeClient) -> list[Resource]:
    """Those of the kinds that this API server has."""
    groups = await kube.request("GET", "/apis")
    there = {version["groupVersion"] for group in groups["groups"] for version in group["versions"]}
    return [kind for kind in KINDS if not kind.group or kind.api_version in there]


def minimal(resource: Resource, name: str) -> dict[str, Any]:
    """A small valid object of a kind."""
    metadata = {"name": named(resource, name)}
    typed = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    if resource.kind == "CustomResourceDefinition":
        return typed | {"spec": definition(name)}
    return typed | SPECS.get(resource.key, {})


def named(resource: Resource, name: str) -> str:
    """A name that an object of a kind may have."""
    return f"{name}s.example.com" if resource.kind == "CustomResourceDefinition" else name


def definition(name: str) -> dict[str, Any]:
    """The spec of a CustomResourceDefinition."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    names = {"plural": f"{name}s", "kind": name.capitalize()}
    return {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    with (
        any_cluster.cluster(tmp_path_factory.mktemp("second-wall")) as admin,
        asyncio.Runner() as runner,
    ):
        stack = AsyncExitStack()

        async def start() -> Wall:
            connection = load_kubeconfig(admin)
            kube = await stack.enter_async_context(KubeClient(connection))
            token = await furnish(kube)
            kinds = await served_kinds(kube)
            await build_wall(kube, kinds)
            session = aiohttp.ClientSession(
                connection.server, connector=aiohttp.TCPConnector(ssl=connection.ssl_context() or True)
            )
            made = Wall(runner, kube, await stack.enter_async_context(session), token, kinds)
            await in_force(made)
            await made.settled()
            return made

        try:
            yield runner.run(start())
        finally:
            runner.run(stack.aclose())


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
BINDING = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "local"}}
SCALE = {"spec": {"replicas": 5}}
SHOP, APPS = "/api/v1/namespaces/shop", "/apis/apps/v1/namespaces/shop"
WRITES = (
    ("POST", f"{SHOP}/configmaps", CONFIG_MAP, JSON),
    ("POST", f"{SHOP}/configmaps", CONFIG_MAP, YAML),
    ("PUT", f"{SHOP}/configmaps/p", CONFIG_MAP | {"metadata": {"name": "p"}, "data": {"x": "y"}}, JSON),
    ("PATCH", f"{SHOP}/configmaps/p", {"data": {"x": "z"}}, MERGE),
    ("PATCH", f"{APPS}/deployments/worker", SCALE, "application/strategic-merge-patch+json"),
    ("PATCH", f"{APPS}/deployments/worker/scale", SCALE, MERGE),
    ("PATCH", f"{APPS}/deployments/worker/status", {"status": {"replicas": 9}}, MERGE),
    ("PATCH", f"{SHOP}/configmaps/new?fieldManager=a", CONFIG_MAP, APPLY),
    *((("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}}, JSON),) if EVERYWHERE else ()),
    ("POST", f"{SHOP}/pods/p/binding", BINDING, JSON),
    ("DELETE", f"{SHOP}/configmaps/p", None, JSON),
    ("DELETE", f"{SHOP}/configmaps", None, JSON),
    ("POST", f"{SHOP}/pods/p/eviction", EVICTION, JSON),
    ("DELETE", "/api/v1/namespaces/automation", None, JSON),
)  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "content_type"), WRITES)
def test_without_a_dry_run_refused_with_one_let_through(
    wall: Wall, method: str, path: str, body: Any, content_type: str
) -> None:
    async def check() -> None:
        before = await wall.version()
        content = json.dumps(body).encode() if body is not None else b""
        code, said = await wall.send(method, path, content, content_type)
        assert code == 403, said
        assert "ValidatingAdmissionPolicy 'toil-lab-shadow-wall'" in said
        assert "in shadow mode nothing is written" in said
        code, said = await wall.send(method, path, content, content_type, (LIVE, SHADOW))
        assert code == 403, said
        dry = path + ("&" if "?" in path else "?") + "dryRun=All"
        code, said = await wall.send(method, dry, content, content_type)
        assert code in (200, 201), said
        assert await wall.version() == before

    wall.runner.run(check())


def test_a_body_that_contradicts_the_query_of_a_delete_is_refused(wall: Wall) -> None:
    async def check() -> None:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        for body, expected in ((options, 403), (options | {"dryRun": ["All"]}, 200)):
            target = f"{SHOP}/pods/p?dryRun=All"
            code, said = await wall.send("DELETE", target, json.dumps(body).encode())
            assert code == expected, said
        await wall.kube.get("pods", "p", "shop")

    wall.runner.run(check())


@pytest.mark.parametrize("dry", ["", "&dryRun=All"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "pods/p/exec?command=true&stdout=true"),
        ("POST", "pods/p/exec?command=true&stdout=true"),
        ("GET", "pods/p/attach?stdout=true"),
        ("POST", "pods/p/portforward?ports=80"),
        ("GET", "pods/p/proxy?path=x"),
        ("DELETE", "services/p/proxy?path=x"),
        ("POST", "serviceaccounts/default/token?a=b"),
    ],
)
def test_what_has_no_dry_run_is_refused_with_one_too(wall: Wall, method: str, path: str, dry: str) -> None:
    body = b'{"spec":{}}' if path.startswith("serviceaccounts") else b""
    if dry and path.startswith("serviceaccounts"):
        said_why = "in shadow mode no tokens are issued"
    else:
        said_why = "in shadow mode nothing is written"
    code, said = wall.runner.run(wall.send(method, f"{SHOP}/{path}{dry}", body))
    if dry and code == 400:  # API servers say so before they ask the wall
        said_why = "dryRun is not supported"
    assert code == (400 if "not supported" in said_why else 403), said
    assert said_why in said


def test_questions_and_reads_pass(wall: Wall) -> None:
    async def check() -> None:
        review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "shop"}}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        assert (await wall.send("POST", path, json.dumps(review).encode()))[0] == 201
        assert (await wall.send("GET", f"{SHOP}/pods"))[0] == 200

    wall.runner.run(check())


def test_live_writes_pass_so_the_wall_is_what_holds(wall: Wall) -> None:
    async def check() -> None:
        before = await wall.version()
        content = json.dumps(CONFIG_MAP | {"metadata": {"name": "by-live"}}).encode()
        code, said = await wall.send("POST", f"{SHOP}/configmaps", content, groups=(LIVE,))
        assert code == 201, said
        assert await wall.version() != before
        await wall.kube.delete("configmaps", "by-live", "shop")

    wall.runner.run(check())


def test_with_the_labs_own_rights_nobody_in_shadow_touches_the_wall(wall: Wall) -> None:
    async def check() -> None:
        for plural in ("validatingadmissionpolicies", "validatingadmissionpolicybindings"):
            resource = builtin(plural)
            for method, path in (
                ("POST", resource.path()),
                ("DELETE", resource.path()),
                ("DELETE", resource.path("", "toil-lab-shadow-wall")),
                ("PATCH", resource.path("", "toil-lab-shadow-wall")),
            ):
                code, said = await wall.send(method, path, b"{}", MERGE if method == "PATCH" else JSON)
                assert code == 403, said
                assert "toil-lab-shadow-wall' denied" not in said
        code, said = await wall.send("POST", f"{SHOP}/configmaps", b"{}", groups=())
        assert code == 403, said

    wall.runner.run(check())


CONNECTS = {
    "exec": "?command=true&stdout=true",
    "attach": "?stdout=true",
    "portforward": "?ports=80",
    "proxy": "",
}
POSTED = {"eviction": EVICTION, "binding": BINDING, "token": {"spec": {}}}
LABELS = {"metadata": {"labels": {"a": "b"}}}
PATCHED = {
    "application/json-patch+json": [{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}],
    "application/strategic-merge-patch+json": LABELS,
    MERGE: LABELS,
}  # fmt: skip


def writes(resource: Resource) -> Iterator[tuple[str, str, Any, str]]:
    """Every way to write a kind: method, target, a body that is good for it, its content type."""
    namespace = "shop" if resource.namespaced else ""
    collection, one = resource.path(namespace), resource.path(namespace, named(resource, "p"))
    yield "POST", collection, minimal(resource, "new"), JSON
    yield "PUT", one, minimal(resource, "p"), JSON
    yield "DELETE", one, None, JSON
    yield "DELETE", collection, None, JSON
    new = resource.path(namespace, named(resource, "new"))
    yield "PATCH", f"{new}?fieldManager=a", minimal(resource, "new"), APPLY
    yield "PATCH", f"{one}?fieldManager=a&force=true", minimal(resource, "p") | LABELS, APPLY
    for content_type, body in PATCHED.items():
        yield "PATCH", one, body, content_type
    for sub in resource.subresources:
        at = f"{one}/{sub}"
        if sub in CONNECTS:
            yield from (
                (method, at + CONNECTS[sub], None, JSON) for method in ("GET", "POST", "PUT", "DELETE")
            )
        elif sub in POSTED:
            yield "POST", at, POSTED[sub], JSON
        elif sub == "scale":
            yield "PUT", at, {"metadata": {"name": "p"}} | SCALE, JSON
            yield "PATCH", at, SCALE, MERGE
        elif sub != "log":
            yield "PUT", at, minimal(resource, "p") | {"status": {"conditions": []}}, JSON
            yield "PATCH", at, LABELS | {"status": {"observedGeneration": 3}}, MERGE


ALL_WRITES = [write for resource in KINDS for write in writes(resource)]
QUERIES = (
    "", "", "", "dryRun=All", "dryRun=", "dryRun=None", "dryRun=All&dryRun=None", "dryrun=All", "DryRun=All",
    "dry%52un=All", "force=true", "gracePeriodSeconds=0", "dryRun=All;a=b", "propagationPolicy=Orphan",
    "labelSelector=app%3Dx", "fieldValidation=Ignore", "pretty=true",
)  # fmt: skip
OPTIONS = (
    {"dryRun": ["All"]}, {"dryRun": []}, {"dryrun": ["All"]}, {"options": {"dryRun": ["All"]}},
    {"deleteOptions": {"dryRun": ["All"]}}, {"deleteOptions": {"dryRun": []}},
    {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0},
    {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"], "gracePeriodSeconds": 0},
)  # fmt: skip
HEADERS = (("X-HTTP-Method-Override", "GET"), ("X-Dry-Run", "All"), ("Upgrade", "websocket"))


@st.composite
def requests(draw: Any) -> dict[str, Any]:
    """Any verb on any resource and subresource, any content type, the dry run anywhere or nowhere."""
    method, target, body, content_type = draw(st.sampled_from(ALL_WRITES))
    disturbed = draw(
        st.sampled_from(("", "", "", "query", "query", "body", "body", "both", "method", "type"))
    )
    if disturbed == "method":
        method = draw(st.sampled_from(("POST", "PUT", "PATCH", "DELETE", "GET", "HEAD")))
    if disturbed == "type":
        content_type = draw(st.sampled_from((JSON, YAML, "text/plain", MERGE, APPLY)))
    if disturbed in ("body", "both") and (body is None or isinstance(body, dict)):
        body = (body or {}) | draw(st.sampled_from(OPTIONS))
    query = draw(st.sampled_from(QUERIES)) if disturbed in ("query", "both") else ""
    if query:
        target += ("&" if "?" in target else "?") + query
    as_yaml = body is not None and (
        content_type in (YAML, APPLY) or (content_type == JSON and draw(st.booleans()))
    )
    return {
        "method": method,
        "target": target,
        "body": b"" if body is None else (yaml.safe_dump(body) if as_yaml else json.dumps(body)).encode(),
        "content_type": YAML if as_yaml and content_type == JSON else content_type,
        "headers": tuple(draw(st.lists(st.sampled_from(HEADERS), max_size=1))),
        "groups": draw(st.sampled_from(((SHADOW,), (SHADOW, LIVE), (LIVE, SHADOW)))),
    }


@settings(max_examples=300 if EVERYWHERE else 100, deadline=None, derandomize=True)
@given(request=requests())
def test_nothing_in_shadow_writes_whatever_it_looks_like(wall: Wall, request: dict[str, Any]) -> None:
    async def check() -> None:
        before = await wall.version()
        code, said = await wall.send(**request)
        assert await wall.version() == before, (code, said)
        assert '"token":' not in said
        assert code < 500 or "failed to create typed patch object" in said, said

    wall.runner.run(check())


def test_every_way_to_write_meets_the_wall(wall: Wall) -> None:
    """Plainly asked, without a dry run: whatever is not refused before it is refused by the wall."""

    async def check() -> None:
        before, passed = await wall.version(), []
        for method, target, body, content_type in ALL_WRITES:
            content = b"" if body is None else json.dumps(body).encode()
            code, said = await wall.send(method, target, content, content_type)
            if code != 403 or "ValidatingAdmissionPolicy 'toil-lab-shadow-wall'" not in said:
                passed.append((code, method, target, said[:300]))
        assert await wall.version() == before
        assert all(code in (405, 409, 422) for code, *_ in passed), passed
        assert len(passed) < len(ALL_WRITES) / 10, passed

    wall.runner.run(check())


def test_a_gateway_that_forgets_the_dry_run_changes_nothing(wall: Wall, tmp_path: Path) -> None:
    """Its rewriting is undone just before it leaves: the client is told, and nothing happens."""
    clients = tmp_path / "clients"
    clients.mkdir()
    (clients / "automation").write_text(TOKEN)
    settings = GatewaySettings(clients=clients, audit_file=tmp_path / "audit.jsonl")

    async def check() -> None:
        connection = replace(wall.kube.connection, token=wall.gateway_token, client_certificate=None)
        gateway = build(settings, connection, SystemClock())
        upstream = gateway.upstream.open
        undone = []

        async def forgetful(method: str, url: str, headers: Any, body: bytes | None, **more: Any) -> Any:
            path, _, query = url.partition("?")
            kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "dryRun"]
            if "dryRun" in query:
                undone.append(url)
            plain = (body or b"").replace(b'"dryRun":["All"]', b'"dryRun":[]')
            return await upstream(method, f"{path}?{urlencode(kept)}", headers, plain or None, **more)

        gateway.upstream.open = forgetful  # type: ignore[method-assign]
        front = await start_front(gateway.front, "127.0.0.1", 0, None)
        before = await wall.version()
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{front.addresses[0][1]}") as client:
                for method, path, body, content_type in WRITES:
                    content = json.dumps(body).encode() if body is not None else b""
                    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type}
                    async with client.request(method, path, data=content, headers=headers) as answer:
                        assert answer.status == 403, await answer.text()
                        assert "in shadow mode nothing is written" in await answer.text()
        finally:
            await front.cleanup()
            await gateway.front.drain()
            await gateway.upstream.close()
            gateway.book.close()
        assert len(undone) == len(WRITES)
        assert await wall.version() == before

    wall.runner.run(check())


@pytest.mark.filterwarnings("ignore")  # of the validator's own imports
def test_the_manifest_is_strictly_valid() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    for document in yaml.safe_load_all(WALL.read_text()):
        validate.validate(document, "1.32", strict=True)
