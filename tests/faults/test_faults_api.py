"""Each fault of the Kubernetes API as the official Python client and kubectl meet it, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import ssl
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from api_bench import TOKENS, Bench, bench, call, cluster, gateway_thread
from kubernetes.client import AppsV1Api, CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.watch import Watch
from shop_pods import until
from urllib3.exceptions import MaxRetryError, ProtocolError, ReadTimeoutError

from lab.core.fault import FaultState
from lab.core.fault_plan import Plan
from lab.core.places import data_root
from lab.errors import UsageError
from lab.faults.registry import SPECS

__all__ = ["bench", "cluster", "gateway_thread"]
pytestmark = pytest.mark.safety
KUBECTL = shutil.which("kubectl")


def scale(to: int) -> dict[str, Any]:
    return {"spec": {"replicas": to}}


def hit(record: dict[str, Any]) -> tuple[str, int, str]:
    return record["decision"], record["code"], record["fault"]


@pytest.fixture
async def apps(bench: Bench) -> AsyncIterator[AppsV1Api]:
    with bench.client() as client:
        yield AppsV1Api(client)


@pytest.fixture
async def core(apps: AppsV1Api) -> CoreV1Api:
    return CoreV1Api(apps.api_client)


async def is_well(bench: Bench, core: CoreV1Api, apps: AppsV1Api, to: int = 1) -> None:
    """Reads and writes work, and the audit log says of no fault any more."""
    listed = await call(core.list_namespaced_pod, "shop", _request_timeout=5)
    assert listed.items, listed
    answer = await call(
        apps.patch_namespaced_deployment_scale, "worker", "shop", scale(to), _request_timeout=5
    )
    assert answer.spec.replicas == to, answer
    assert {bench.record(verb)["fault"] for verb in ("list", "patch")} == {""}


async def others_are_untouched(bench: Bench) -> None:
    with bench.client("other") as client:
        assert (await call(CoreV1Api(client).list_namespaced_pod, "shop", _request_timeout=5)).items
        answer = await call(
            AppsV1Api(client).patch_namespaced_deployment_scale,
            "worker",
            "shop",
            scale(1),
            _request_timeout=5,
        )
        assert answer.spec.replicas == 1, answer
    assert {bench.record(verb, "other")["fault"] for verb in ("list", "patch")} == {""}


async def test_latency(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    await bench.begin("api-latency", client="automation", delaySeconds=0.5, spreadSeconds=0.1)
    asked = time.monotonic()
    assert (await call(core.list_namespaced_pod, "shop")).items
    assert time.monotonic() - asked >= 0.5
    assert bench.record("list")["latency_ms"] >= 500
    assert hit(bench.record("list")) == ("allowed", 200, "api-latency")
    await others_are_untouched(bench)
    late = asyncio.create_task(
        call(apps.patch_namespaced_deployment_scale, "worker", "shop", scale(9), _request_timeout=0.2)
    )
    assert isinstance(await late, ReadTimeoutError)

    async def recorded() -> bool:
        return bench.record("patch").get("code") == 0

    await until(recorded, "the patch whose client gave up is recorded")
    assert await bench.replicas() == 1, "it is not carried out later"
    await bench.heal()
    await is_well(bench, core, apps)


async def test_hang(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    await bench.begin("api-hang", client="automation")
    answer = await call(core.list_namespaced_pod, "shop", _request_timeout=0.1)
    assert isinstance(answer, MaxRetryError), "the client repeated a read three times by itself"
    patched = await call(
        apps.patch_namespaced_deployment_scale, "worker", "shop", scale(9), _request_timeout=0.1
    )
    assert isinstance(patched, ReadTimeoutError)
    await others_are_untouched(bench)
    before = bench.hits("api-hang")
    hanging = asyncio.create_task(call(apps.patch_namespaced_deployment_scale, "worker", "shop", scale(9)))
    await bench.is_hit("api-hang", before)
    await bench.heal()
    assert isinstance(await hanging, ProtocolError), "the end of the fault ends the connection"
    assert hit(bench.record("patch")) == ("refused", 0, "api-hang")
    assert await bench.replicas() == 1
    await is_well(bench, core, apps)


@pytest.mark.parametrize(
    ("ending", "patience", "error"), [("silence", 1.0, ReadTimeoutError), ("reset", 30.0, ProtocolError)]
)
async def test_lost_response(
    bench: Bench, core: CoreV1Api, apps: AppsV1Api, ending: str, patience: float, error: type[Exception]
) -> None:
    await bench.begin("api-lost-response", client="automation", ending=ending)
    assert (await call(core.list_namespaced_pod, "shop")).items, "reads are answered"
    answer = await call(
        apps.patch_namespaced_deployment_scale, "worker", "shop", scale(2), _request_timeout=patience
    )
    assert isinstance(answer, error)

    async def carried_out() -> bool:
        return await bench.replicas() == 2

    await until(carried_out, "it was carried out")
    record = bench.record("patch")
    assert hit(record) == ("allowed", 200, "api-lost-response")
    assert {"op": "replace", "path": "/spec/replicas", "value": 2} in record["diff"]
    await others_are_untouched(bench)
    await bench.heal()
    await is_well(bench, core, apps)


async def test_throttling_is_not_a_disruption_budget(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    name = await healthy_pod(bench)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    spent = await call(core.create_namespaced_pod_eviction, name, "shop", eviction)
    assert (spent.status, spent.headers.get("Retry-After")) == (429, None)
    assert json.loads(spent.body)["details"]["causes"][0]["reason"] == "DisruptionBudget"
    await bench.begin("api-throttling", client="automation", retryAfterSeconds=3)
    throttled = await call(core.create_namespaced_pod_eviction, name, "shop", eviction)
    assert (throttled.status, throttled.headers["Retry-After"]) == (429, "3")
    assert throttled.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert throttled.headers["X-Kubernetes-PF-FlowSchema-UID"]
    assert throttled.headers["X-Kubernetes-PF-PriorityLevel-UID"]
    assert throttled.body == "Too many requests, please try again later.\n"
    assert hit(bench.record("create")) == ("refused", 429, "api-throttling")
    await others_are_untouched(bench)
    await bench.heal()
    await is_well(bench, core, apps)


async def healthy_pod(bench: Bench) -> str:
    """The name of the only worker, which is ready, so that its disruption budget is spent."""
    [pod] = (await bench.kube.list("pods", "shop"))["items"]
    ready = {"type": "Ready", "status": "True"}
    name = str(pod["metadata"]["name"])
    status = {"status": {"phase": "Running", "conditions": [ready]}}
    await bench.kube.patch("pods", name, status, "shop", subresource="status")

    async def counted() -> bool:
        budget = await bench.kube.get("poddisruptionbudgets", "worker", "shop")
        return bool(budget.get("status", {}).get("currentHealthy") == 1)

    await until(counted, "the budget counts the pod")
    return name


async def test_who_keeps_to_the_rate_is_not_throttled(bench: Bench, apps: AppsV1Api) -> None:
    await bench.begin("api-throttling", allowedPerSecond=1)

    async def patch() -> int:
        answer = await call(apps.patch_namespaced_deployment_scale, "worker", "shop", scale(1))
        return int(getattr(answer, "status", 0)) if isinstance(answer, ApiException) else 200

    codes = await asyncio.gather(*(patch() for _ in range(4)))
    assert set(codes) == {200, 429}
    assert await until(lambda: passes(patch), "the client is let in again", 2)


async def passes(patch: Any) -> bool:
    return bool(await patch() == 200)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        ("internal", 500, "InternalError"),
        ("unavailable", 503, "ServiceUnavailable"),
        ("timeout", 504, "Timeout"),
    ],
)
async def test_errors(
    bench: Bench, core: CoreV1Api, apps: AppsV1Api, error: str, code: int, reason: str
) -> None:
    await bench.begin("api-errors", client="automation", error=error, retryAfterSeconds=2, verbs="patch")
    answer = await call(apps.patch_namespaced_deployment_scale, "worker", "shop", scale(9))
    assert (answer.status, answer.headers["Retry-After"]) == (code, "2")
    assert (json.loads(answer.body)["reason"], json.loads(answer.body)["code"]) == (reason, code)
    assert hit(bench.record("patch")) == ("refused", code, "api-errors")
    assert (await call(core.list_namespaced_pod, "shop")).items, "another verb"
    assert await bench.replicas() == 1
    await others_are_untouched(bench)
    await bench.heal()
    await is_well(bench, core, apps)


async def test_reset(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    await bench.begin("api-reset", client="automation")
    listed = await call(core.list_namespaced_pod, "shop")
    assert isinstance(listed, ProtocolError | MaxRetryError)
    assert "IncompleteRead" in str(listed)
    patched = await call(apps.patch_namespaced_deployment_scale, "worker", "shop", scale(2))
    assert isinstance(patched, ProtocolError)
    assert await bench.replicas() == 2, "it was carried out"
    assert hit(bench.record("patch")) == ("allowed", 200, "api-reset")
    await others_are_untouched(bench)
    await bench.heal()
    await is_well(bench, core, apps)


async def test_conflict(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    await bench.begin("api-conflict", client="automation", resources="deployments.apps")
    read = await call(apps.read_namespaced_deployment, "worker", "shop")
    for answer in (
        await call(apps.patch_namespaced_deployment_scale, "worker", "shop", scale(9)),
        await call(apps.replace_namespaced_deployment, "worker", "shop", read),
    ):
        assert answer.status == 409
        body = json.loads(answer.body)
        assert (body["reason"], body["details"]["name"]) == ("Conflict", "worker")
        assert "the object has been modified" in body["message"]
    assert hit(bench.record("update")) == ("refused", 409, "api-conflict")
    assert await bench.replicas() == 1
    await others_are_untouched(bench)
    await bench.heal()
    await is_well(bench, core, apps)


async def test_outage_of_a_verb_and_a_resource(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    await bench.begin("api-outage", client="automation", resources="pods", verbs="list,watch")
    for _ in range(2):
        listed = await call(core.list_namespaced_pod, "shop")
        assert listed.status == 503
    assert (await call(core.list_namespaced_service, "shop")).items == []
    assert isinstance(await call(core.read_namespaced_pod, "nobody", "shop"), ApiException)
    assert hit(bench.record("get"))[1:] == (404, "")
    await others_are_untouched(bench)
    await bench.heal()
    await bench.begin("api-outage", client="automation", ending="reset")
    patched = await call(apps.patch_namespaced_deployment_scale, "worker", "shop", scale(9))
    assert isinstance(patched, ProtocolError)
    assert hit(bench.record("patch")) == ("refused", 0, "api-outage")
    await bench.heal()
    await is_well(bench, core, apps)


async def test_a_reset_waits_for_the_whole_request(bench: Bench) -> None:
    before = bench.hits("api-outage")
    await bench.begin("api-outage", client="automation", ending="reset")
    context = ssl.create_default_context(cafile=str(bench.cluster.folder / "ca.crt"))
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port, ssl=context)
    head = (
        "PATCH /apis/apps/v1/namespaces/shop/deployments/worker HTTP/1.1\r\nHost: gateway\r\n"
        f"Authorization: Bearer {TOKENS['automation']}\r\n"
        "Content-Type: application/merge-patch+json\r\nContent-Length: 2\r\n\r\n"
    )
    writer.write(head.encode())
    await bench.is_hit("api-outage", before)
    answered = asyncio.create_task(reader.read(1))
    done, _ = await asyncio.wait([answered], timeout=0.2)
    assert not done, "it is reset before its body has come"
    writer.write(b"{}")
    with pytest.raises(ConnectionResetError):
        await answered
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


class Watcher:
    """A watch of the Deployments in a thread of its own: what the client's generator yields, and its end."""

    def __init__(self, apps: AppsV1Api, **options: Any) -> None:
        self.seen: list[str] = []
        self.end: Exception | str = ""
        self._watch = Watch()
        self._options = options
        self._thread = threading.Thread(target=self._run, args=(apps,))

    def _run(self, apps: AppsV1Api) -> None:
        try:
            for event in self._watch.stream(apps.list_namespaced_deployment, "shop", **self._options):
                self.seen.append(str((event["object"].metadata.labels or {}).get("turn", "")))
            self.end = "clean"
        except Exception as error:
            self.end = error

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Watcher]:
        self._thread.start()
        try:
            await until(self.has(1), "the watch has begun")
            yield self
        finally:
            self._watch.stop()
            await asyncio.to_thread(self._thread.join, 5)

    def has(self, count: int) -> Any:
        async def enough() -> bool:
            return len(self.seen) >= count

        return enough

    async def ended(self) -> bool:
        return bool(self.end)


async def turn(bench: Bench, text: str) -> None:
    """Change the watched Deployment."""
    await bench.kube.patch("deployments", "worker", {"metadata": {"labels": {"turn": text}}}, "shop")


async def test_watch_drop(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    with bench.client("other") as client:
        async with Watcher(apps).running() as watch, Watcher(AppsV1Api(client)).running() as other:
            entry = await bench.begin("watch-drop", client="automation", afterSeconds=0.2)
            await until(watch.ended, "the open watch is dropped")
            assert isinstance(watch.end, ProtocolError)
            async with Watcher(apps).running() as again:
                await until(again.ended, "a new one is dropped as well")
            assert hit(bench.record("watch")) == ("allowed", 200, "watch-drop")
            assert other.end == ""
            await bench.heal()
            async with Watcher(apps).running() as healed:
                for number, text in enumerate(("a", "b"), start=2):
                    await turn(bench, f"{entry.id}-{text}")
                    await until(healed.has(number), "events come")
                assert (healed.end, other.end) == ("", "")


async def test_a_watch_that_is_dropped_cleanly_just_ends(bench: Bench, apps: AppsV1Api) -> None:
    await bench.begin("watch-drop", afterSeconds=0.1, ending="clean")
    async with Watcher(apps, timeout_seconds=60).running() as watch:
        await until(watch.ended, "the watch ends")
        assert watch.end == "clean"


async def test_watch_silence(bench: Bench, apps: AppsV1Api) -> None:
    with bench.client("other") as client:
        async with Watcher(apps).running() as watch, Watcher(AppsV1Api(client)).running() as other:
            silent = bench.hits("watch-silence")
            await bench.begin("watch-silence", client="automation")
            await bench.is_hit("watch-silence", silent)
            before = len(other.seen)
            await turn(bench, "silent")
            await until(other.has(before + 1), "another client sees the change")
            assert "silent" not in watch.seen
            assert watch.end == ""
            await bench.heal()
            await until(watch.has(2), "what was held back arrives")
            assert watch.seen[-1] == "silent"


async def test_gone(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    listed = await call(apps.list_namespaced_deployment, "shop")
    version = listed.metadata.resource_version
    await bench.kube.apply("deployments", {**SECOND}, "shop")
    paged = await call(apps.list_namespaced_deployment, "shop", limit=1)
    token = paged.metadata._continue
    await bench.begin("api-gone", client="automation")

    def watch(api: AppsV1Api) -> Any:
        stream = Watch().stream(
            api.list_namespaced_deployment, "shop", resource_version=version, timeout_seconds=1
        )
        return next(iter(stream), None)

    expired = await call(watch, apps)
    assert (expired.status, "too old resource version" in expired.reason) == (410, True)
    assert hit(bench.record("watch")) == ("refused", 200, "api-gone")
    rest = await call(apps.list_namespaced_deployment, "shop", limit=1, _continue=token)
    assert (rest.status, json.loads(rest.body)["reason"]) == (410, "Expired")
    assert len((await call(apps.list_namespaced_deployment, "shop")).items) == 2, "a new list works"
    with bench.client("other") as client:
        assert (await call(watch, AppsV1Api(client)))["object"].metadata.name
    await bench.heal()
    rest = await call(apps.list_namespaced_deployment, "shop", limit=1, _continue=token)
    assert len(rest.items) == 1
    assert (await call(watch, apps))["object"].metadata.name


SECOND = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "second", "namespace": "shop"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "second"}},
        "template": {
            "metadata": {"labels": {"app": "second"}},
            "spec": {"containers": [{"name": "second", "image": "toil-lab"}]},
        },
    },
}


async def test_stale_reads(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    await turn(bench, "then")
    [pod, *_] = (await call(core.list_namespaced_pod, "shop")).items
    name = pod.metadata.name
    await bench.begin("stale-reads", client="automation", ageSeconds=60)
    assert (await call(core.read_namespaced_pod, name, "shop")).kind == "Pod"
    await turn(bench, "now")
    await call(core.delete_namespaced_pod, name, "shop", grace_period_seconds=0)
    listed = await call(core.list_namespaced_pod, "shop", label_selector="app=worker")
    assert name in [item.metadata.name for item in listed.items], "it is gone, and still listed"
    assert (await call(core.read_namespaced_pod, name, "shop")).metadata.uid == pod.metadata.uid
    assert hit(bench.record("get")) == ("allowed", 200, "stale-reads")
    deployment = await call(apps.read_namespaced_deployment, "worker", "shop")
    assert deployment.metadata.labels["turn"] == "then"
    refused = await call(apps.replace_namespaced_deployment, "worker", "shop", deployment)
    assert refused.status == 409, "who writes what it read gets a real conflict"
    assert (await call(core.read_namespaced_pod, "never-there", "shop")).status == 404
    if KUBECTL:
        code, out = await bench.kubectl(KUBECTL, "get", "pod", name)
        assert (code, name in out) == (0, True), out
    with bench.client("other") as client:
        gone = await call(CoreV1Api(client).read_namespaced_pod, name, "shop")
        assert gone.status == 404

    await bench.heal()
    assert await turn_seen(apps) == "now"
    assert bench.record("get")["fault"] == ""


async def turn_seen(apps: AppsV1Api) -> str:
    found = await call(apps.read_namespaced_deployment, "worker", "shop")
    return str(found.metadata.labels["turn"])


async def test_the_past_moves_on_behind_the_present(bench: Bench, apps: AppsV1Api) -> None:
    await turn(bench, "first")
    await bench.begin("stale-reads", ageSeconds=0.5)
    assert await turn_seen(apps) == "first"
    await turn(bench, "second")
    assert await turn_seen(apps) == "first"

    async def second() -> bool:
        return await turn_seen(apps) == "second"

    await until(second, "the past reaches the change", 5)
    assert hit(bench.record("get")) == ("allowed", 200, "stale-reads")


async def test_a_lease_ends_without_the_injector(bench: Bench, core: CoreV1Api, apps: AppsV1Api) -> None:
    entry = await bench.begin("api-errors", 0.4)
    assert (await call(core.list_namespaced_pod, "shop")).status == 500

    async def over() -> bool:
        return not isinstance(await call(core.list_namespaced_pod, "shop"), ApiException)

    await until(over, "the gateway ends the fault by itself", 2)
    data = (await bench.kube.get("configmaps", "fault-directives", "lab-system"))["data"]
    assert entry.id in data, "nobody has taken the row away yet"
    await bench.injector.tick()
    assert bench.injector.journal.entries[entry.id].state is FaultState.UNDONE
    assert bench.injector.journal.entries[entry.id].undone_by == "lease"
    await is_well(bench, core, apps)


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl here")
async def test_what_kubectl_says(bench: Bench) -> None:
    assert KUBECTL
    await bench.begin("api-throttling", verbs="patch")
    await bench.begin("api-errors", error="unavailable", resources="pods")
    await bench.begin("api-conflict", verbs="update")
    code, out = await bench.kubectl(KUBECTL, "get", "pods")
    assert (code, "the server is currently unable to handle the request" in out) == (1, True), out
    code, out = await bench.kubectl(KUBECTL, "get", "deployments")
    assert (code, "worker" in out) == (0, True), out
    await bench.heal()
    code, out = await bench.kubectl(KUBECTL, "get", "pods")
    assert (code, "worker-" in out) == (0, True), out


def test_the_plan_in_the_documentation_is_one() -> None:
    text = (data_root() / "docs" / "faults.md").read_text()
    block = text.partition("(`lab break --plan plan.yaml`):\n\n")[2].partition("\n\n")[0]
    plan = Plan.from_dict(yaml.safe_load(textwrap.dedent(block)), SPECS)
    assert (plan.seed, len(plan.steps)) == (7, 6)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("api-errors", {"verbs": "list,look"}, "verbs is one of get, list"),
        ("api-conflict", {"verbs": "delete"}, "verbs is one of update, patch, not 'delete'"),
        ("api-errors", {"error": "500"}, "error is one of internal, unavailable, timeout"),
        ("api-latency", {"delaySeconds": 121}, "delaySeconds is at most 120"),
        ("api-hang", {"probability": 1.5}, "probability is at most 1"),
        ("api-outage", {"probability": 0.5}, "there is no parameter 'probability'"),
    ],
)
def test_a_wrong_setting_is_named(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"fault {name}") as caught:
        SPECS[name].read(parameters)
    assert message in caught.value.message
