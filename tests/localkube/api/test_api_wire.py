"""The wire itself: forms of answers, options, watches, refusals. Facts that clients rely on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lab.kube.client import JSON_PATCH, KubeClient
from lab.kube.status import StatusError

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def path(namespace: str, name: str = "", plural: str = "configmaps") -> str:
    return f"/api/v1/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


async def refusal(call: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await call
    return caught.value


async def test_forms_of_a_list(kube: KubeClient, namespace: str) -> None:
    await kube.create("configmaps", {"metadata": {"name": "a"}, "data": {"x": "1"}}, namespace)
    table = await kube.request("GET", path(namespace), headers={"Accept": TABLE})
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    row = next(row for row in table["rows"] if row["cells"][0] == "a")
    assert row["cells"][1] == 1
    assert row["object"]["kind"] == "PartialObjectMetadata"
    partial = await kube.request("GET", path(namespace), headers={"Accept": PARTIAL})
    assert partial["kind"] == "PartialObjectMetadataList"
    assert all("data" not in item for item in partial["items"])
    plain = await kube.list("configmaps", namespace)
    assert (plain["kind"], plain["apiVersion"]) == ("ConfigMapList", "v1")
    assert all("kind" not in item for item in plain["items"])
    error = await refusal(kube.request("GET", path(namespace), headers={"Accept": "text/html"}))
    assert (error.code, error.reason) == (406, "NotAcceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/vnd.kubernetes.protobuf, */*", "application/*", ""])
async def test_json_is_what_lenient_clients_get(kube: KubeClient, accept: str) -> None:
    answer = await kube.request("GET", "/api/v1/namespaces/", headers={"Accept": accept})
    assert answer["kind"] == "NamespaceList"


async def test_aggregated_discovery_and_its_etag(kube: KubeClient) -> None:
    for version in ("v2", "v2beta1"):
        accept = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        answer = await kube.request("GET", "/apis", headers={"Accept": accept})
        assert answer["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        apps = next(item for item in answer["items"] if item["metadata"]["name"] == "apps")
        resources = apps["versions"][0]["resources"]
        deployments = next(each for each in resources if each["resource"] == "deployments")
        assert deployments["responseKind"]["kind"] == "Deployment"
        assert {"scale", "status"} == {sub["subresource"] for sub in deployments["subresources"]}


async def test_eviction_is_announced_so_that_drain_respects_budgets(kube: KubeClient) -> None:
    listed = await kube.request("GET", "/api/v1")
    eviction = next(r for r in listed["resources"] if r["name"] == "pods/eviction")
    assert (eviction["kind"], eviction["group"], eviction["version"]) == ("Eviction", "policy", "v1")


async def test_openapi_patch_operations_carry_what_kubectl_checks(kube: KubeClient) -> None:
    index = await kube.request("GET", "/openapi/v3")
    document = await kube.request("GET", index["paths"]["apis/apps/v1"]["serverRelativeURL"].split("?")[0])
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "Deployment"
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    schemas = document["components"]["schemas"]
    assert "io.k8s.api.core.v1.PodSpec" in schemas
    assert "io.k8s.api.batch.v1.Job" not in schemas
    old = await kube.request("GET", "/openapi/v2")
    assert old["swagger"] == "2.0"
    accept = {"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    assert (await refusal(kube.request("GET", "/openapi/v2", headers=accept))).code == 406


async def test_dry_run_stores_nothing_and_only_all_is_known(kube: KubeClient, namespace: str) -> None:
    obj = {"metadata": {"generateName": "x-"}}
    made = await kube.create("configmaps", obj, namespace, query={"dryRun": "All"})
    assert made["metadata"]["name"].startswith("x-")
    assert (await refusal(kube.get("configmaps", made["metadata"]["name"], namespace))).code == 404
    error = await refusal(kube.create("configmaps", obj, namespace, query={"dryRun": "yes"}))
    assert error.code == 422
    assert 'dryRun: Unsupported value: ["yes"]: supported values: "All"' in error.message


async def test_a_delete_with_a_body_ignores_the_query(kube: KubeClient, namespace: str) -> None:
    """As upstream: whoever rewrites requests must rewrite the body."""
    for name in ("a", "b", "c"):
        await kube.create("configmaps", {"metadata": {"name": name}}, namespace)
    everything = {"dryRun": "All"}
    await kube.request("DELETE", path(namespace, "a"), body={"dryRun": ["All"]})
    await kube.get("configmaps", "a", namespace)
    await kube.request("DELETE", path(namespace, "b"), query=everything)
    await kube.get("configmaps", "b", namespace)
    await kube.request("DELETE", path(namespace, "c"), body={}, query=everything)
    assert (await refusal(kube.get("configmaps", "c", namespace))).code == 404


async def test_delete_answers_and_preconditions(kube: KubeClient, namespace: str) -> None:
    made = await kube.create("configmaps", {"metadata": {"name": "a"}}, namespace)
    error = await refusal(kube.delete("configmaps", "a", namespace, uid="another"))
    assert (error.code, error.reason) == (409, "Conflict")
    gone = await kube.delete("configmaps", "a", namespace, uid=made["metadata"]["uid"])
    assert gone["status"] == "Success"
    assert gone["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    error = await refusal(kube.delete("configmaps", "a", namespace, propagation_policy="Sideways"))
    assert error.code == 422


async def test_strict_validation_and_warnings(kube: KubeClient, namespace: str) -> None:
    body = b'{"metadata":{"name":"a"},"data":{"x":"1","x":"2"},"dat":{}}'
    strict = {"fieldValidation": "Strict"}
    error = await refusal(kube.request("POST", path(namespace), body=body, query=strict))
    assert error.code == 400
    assert 'duplicate field "data.x"' in error.message
    session = kube._pool()
    headers = {
        "Authorization": f"Bearer {kube.connection.bearer()}",
        "Content-Type": "application/json",
    }
    url = kube.connection.server + path(namespace)
    async with session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 201
        warnings = answer.headers.getall("Warning")
    assert '299 - "duplicate field \\"data.x\\""' in warnings
    assert '299 - "unknown field \\"dat\\""' in warnings


@pytest.mark.parametrize(
    ("method", "suffix", "body", "code"),
    [
        ("POST", "", b"{", 400),
        ("POST", "", b"[]", 400),
        ("POST", "", b'{"kind":"Secret"}', 400),
        ("POST", "", b'{"metadata":[]}', 400),
        ("POST", "", b'{"metadata":{"name":"a","namespace":"elsewhere"}}', 400),
        ("POST", "", b'{"metadata":{"name":"UPPER"}}', 422),
        ("POST", "", b"\xff\xfe", 400),
        ("POST", "/a", b"{}", 405),
        ("PUT", "", b"{}", 405),
        ("PUT", "/a", b'{"metadata":{"name":"b"}}', 400),
        ("GET", "/a/scale", None, 404),
        ("GET", "?limit=x", None, 400),
        ("GET", "?labelSelector=a%20b%20c", None, 400),
        ("GET", "?fieldSelector=data.x%3D1", None, 400),
        ("GET", "?watch=true&resourceVersion=x", None, 400),
        ("GET", "?watch=true&sendInitialEvents=true", None, 422),
        ("OPTIONS", "", None, 405),
    ],
)
async def test_bad_requests_are_statuses(
    kube: KubeClient, namespace: str, method: str, suffix: str, body: bytes | None, code: int
) -> None:
    error = await refusal(kube.request(method, path(namespace) + suffix, body=body))
    assert error.code == code
    assert error.reason != "Unknown"


async def test_media_types_of_patches(kube: KubeClient, namespace: str) -> None:
    await kube.create("configmaps", {"metadata": {"name": "a"}, "data": {"x": "1"}}, namespace)
    call = kube.patch("configmaps", "a", {}, namespace, content_type="application/json")
    assert (await refusal(call)).code == 415
    test = [{"op": "test", "path": "/data/x", "value": "2"}]
    error = await refusal(kube.patch("configmaps", "a", test, namespace, content_type=JSON_PATCH))
    assert error.code == 422
    yaml = b"metadata: {name: b}\ndata: {x: '1'}\n"
    made = await kube.request("POST", path(namespace), body=yaml, content_type="application/yaml")
    assert made["data"] == {"x": "1"}


async def _first(kube: KubeClient, count: int, namespace: str, **query: Any) -> list[dict[str, Any]]:
    events = []
    async with asyncio.timeout(5):
        async for event in kube.watch("configmaps", namespace, **query):
            events.append(event)
            if len(events) == count:
                break
    return events


async def test_watch_follows_a_selector(kube: KubeClient, namespace: str) -> None:
    version = (await kube.list("configmaps", namespace))["metadata"]["resourceVersion"]
    task = asyncio.create_task(_first(kube, 2, namespace, resource_version=version, label_selector="in=yes"))
    await kube.create("configmaps", {"metadata": {"name": "a", "labels": {"in": "yes"}}}, namespace)
    await kube.patch("configmaps", "a", {"metadata": {"labels": {"in": "no"}}}, namespace)
    assert [event["type"] for event in await task] == ["ADDED", "DELETED"]


async def test_watch_from_a_version_that_is_gone_or_not_yet(kube: KubeClient, namespace: str) -> None:
    call = _first(kube, 1, namespace, resource_version="99999999")
    assert (await refusal(call)).reason == "Timeout"


async def test_watch_list_ends_its_initial_events_with_a_bookmark(kube: KubeClient, namespace: str) -> None:
    await kube.create("configmaps", {"metadata": {"name": "a"}}, namespace)
    query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    url = f"{kube.connection.server}{path(namespace)}?{query}&timeoutSeconds=1"
    headers = {"Authorization": f"Bearer {kube.connection.bearer()}"}
    async with kube._pool().get(url, headers=headers) as answer:
        events = [json.loads(line) for line in (await answer.read()).splitlines()]
    assert events[-1]["type"] == "BOOKMARK"
    assert events[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert "a" in [event["object"]["metadata"]["name"] for event in events[:-1]]


async def test_many_watches_see_the_same_order(kube: KubeClient, namespace: str) -> None:
    version = (await kube.list("configmaps", namespace))["metadata"]["resourceVersion"]
    tasks = [asyncio.create_task(_first(kube, 30, namespace, resource_version=version)) for _ in range(10)]
    for number in range(30):
        await kube.create("configmaps", {"metadata": {"name": f"c{number}"}}, namespace)
    seen = [[e["object"]["metadata"]["name"] for e in await task] for task in tasks]
    assert seen == [[f"c{number}" for number in range(30)]] * 10


async def test_without_a_kubelet_logs_say_so(kube: KubeClient, namespace: str) -> None:
    spec = {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}
    await kube.create("pods", {"metadata": {"name": "p"}, "spec": spec}, namespace)
    error = await refusal(kube.logs("p", namespace))
    assert error.message == "a container name must be specified for pod p, choose one of: [a b]"
    error = await refusal(kube.logs("p", namespace, container="z"))
    assert error.message == "container z is not valid for pod p"
    assert await kube.logs("p", namespace, container="a") == ""  # upstream's answer while it has no node
    target = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "somewhere"}}
    await kube.create("pods", target, namespace, name="p", subresource="binding")
    assert (await refusal(kube.logs("p", namespace, container="a"))).code == 503
    assert (await refusal(kube.logs("none", namespace))).code == 404


async def test_yaml_dates_stay_text_and_bombs_are_refused(kube: KubeClient, namespace: str) -> None:
    yaml = b"metadata: {name: b, annotations: {since: 2020-01-01}}\ndata: &d {x: 'y'}\nbinaryData: {}\n"
    made = await kube.request("POST", path(namespace), body=yaml, content_type="application/yaml")
    assert made["metadata"]["annotations"] == {"since": "2020-01-01"}
    lines = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    bomb = "\n".join(["l0: &l0 [x]", *lines]).encode()
    error = await refusal(kube.request("POST", path(namespace), body=bomb, content_type="application/yaml"))
    assert error.code == 400


async def test_a_hostile_field_name_cannot_write_headers(kube: KubeClient, namespace: str) -> None:
    body = {"metadata": {"name": "a"}, "x\r\nSet-Cookie: a=b": 1}
    made = await kube.create("configmaps", body, namespace)
    assert made["metadata"]["name"] == "a"
