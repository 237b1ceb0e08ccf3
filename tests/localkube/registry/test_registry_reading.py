"""Lists, selectors, pages and watches."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from registry_manifests import CONFIG_MAPS, NAMESPACES, PODS, SECRETS, SERVICES, pod, service

from lab.kube.status import StatusError
from lab.localkube.protocols import ListResult, WatchEvent
from lab.localkube.registry import watching

MERGE = "application/merge-patch+json"


def names(result) -> list[str]:
    return [item["metadata"]["name"] for item in result.items]


@pytest.fixture
def three(registry):
    registry.create(PODS, "default", pod("a", labels={"app": "web", "tier": "front"}))
    registry.create(PODS, "default", pod("b", labels={"app": "db"}, restartPolicy="Never"))
    registry.create(PODS, "kube-system", pod("c", labels={"app": "web"}))
    registry.bind("default", "b", "node-1")
    return registry


@pytest.mark.parametrize(
    ("namespace", "labels", "fields", "expected"),
    [
        ("", "", "", ["a", "b", "c"]),
        ("default", "", "", ["a", "b"]),
        ("", "app=web", "", ["a", "c"]),
        ("", "app in (web),tier", "", ["a"]),
        ("", "", "spec.nodeName=node-1", ["b"]),
        ("", "", "spec.nodeName=", ["a", "c"]),
        ("", "", "spec.nodeName!=node-1", ["a", "c"]),
        ("", "", "status.phase=Pending,spec.restartPolicy=Never", ["b"]),
        ("", "", "metadata.name=c", ["c"]),
        ("default", "", "metadata.name=c", []),
        ("", "", "metadata.namespace=default", ["a", "b"]),
        ("", "", "metadata.name=a,metadata.namespace=default", ["a"]),
        ("", "", "spec.serviceAccountName=default,status.podIP=", ["a", "b", "c"]),
    ],
)
def test_selectors(three, namespace, labels, fields, expected) -> None:
    assert names(three.list(PODS, namespace, label_selector=labels, field_selector=fields)) == expected


@pytest.mark.parametrize(
    ("resource", "labels", "fields", "message"),
    [
        (PODS, "", "spec.image=x", "field label not supported: spec.image"),
        (CONFIG_MAPS, "", "data.x=1", '"data.x" is not a known field selector'),
        (PODS, "a=b=c", "", "unable to parse requirement"),
        (PODS, "", "nonsense", "invalid selector"),
    ],
)
def test_bad_selectors_are_refused(registry, resource, labels, fields, message) -> None:
    with pytest.raises(StatusError, match=message) as caught:
        registry.list(resource, label_selector=labels, field_selector=fields)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


def test_fields_of_other_kinds(registry) -> None:
    registry.create(SECRETS, "default", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    registry.create(SERVICES, "default", service(type="NodePort"))
    assert names(registry.list(SECRETS, field_selector="type=Opaque")) == ["s"]
    assert names(registry.list(SERVICES, field_selector="spec.type=NodePort")) == ["web"]
    assert len(registry.list(NAMESPACES, field_selector="status.phase=Active").items) == 4


def test_pages_show_one_snapshot(registry) -> None:
    for number in range(7):
        registry.create(PODS, "default", pod(f"p{number}"))
    first = registry.list(PODS, "default", limit=3)
    registry.create(PODS, "default", pod("p35"))
    registry.delete(PODS, "default", "p4")
    second = registry.list(PODS, "default", limit=3, continue_token=first.continue_token)
    third = registry.list(PODS, "default", limit=3, continue_token=second.continue_token)
    assert [names(page) for page in (first, second, third)] == [
        ["p0", "p1", "p2"],
        ["p3", "p4", "p5"],
        ["p6"],
    ]
    assert [page.remaining for page in (first, second, third)] == [4, 1, None]
    assert first.rv == second.rv == third.rv < registry.rv
    assert third.continue_token == ""
    selected = registry.list(PODS, "default", limit=3, label_selector="app=web")
    assert selected.continue_token
    assert selected.remaining is None


def test_bad_and_expired_continue_tokens(registry, reopen) -> None:
    for number in range(3):
        registry.create(PODS, "default", pod(f"p{number}"))
    token = registry.list(PODS, limit=1).continue_token
    with pytest.raises(StatusError, match="continue key is not valid"):
        registry.list(PODS, continue_token="nonsense")
    with pytest.raises(StatusError) as caught:
        reopen().list(PODS, continue_token=token)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


def test_resource_versions_of_lists(registry) -> None:
    before = registry.rv
    registry.create(PODS, "default", pod())
    assert registry.list(PODS, resource_version="0").rv == registry.rv
    assert names(
        registry.list(PODS, resource_version=str(before), resource_version_match="NotOlderThan")
    ) == ["p"]
    for version, match, code in (
        (str(registry.rv + 1), "", 504),
        ("x", "", 400),
        ("", "Exact", 422),
    ):
        with pytest.raises(StatusError) as caught:
            registry.list(PODS, resource_version=version, resource_version_match=match)
        assert caught.value.code == code
    assert registry.list(SERVICES, resource_version=str(before), resource_version_match="Exact").items == []


def test_a_list_at_an_exact_version_is_the_past(registry) -> None:
    registry.create(PODS, "default", pod("kept"))
    registry.create(PODS, "default", pod("changed"))
    registry.create(PODS, "default", pod("removed", labels={"tier": "front"}))
    registry.create(PODS, "kube-system", pod("elsewhere"))
    then = registry.list(PODS, "default")
    registry.patch(PODS, "default", "changed", {"metadata": {"labels": {"tier": "front"}}}, MERGE)
    registry.delete(PODS, "default", "removed")
    registry.create(PODS, "default", pod("added"))

    def at(**more: object) -> ListResult:
        version = str(then.rv)
        return registry.list(
            PODS, "default", resource_version=version, resource_version_match="Exact", **more
        )

    assert (at().items, at().rv) == (list(then.items), then.rv)
    assert names(at(label_selector="tier=front")) == ["removed"]
    assert names(at(field_selector="metadata.name=removed")) == ["removed"]
    first = at(limit=2)
    assert (names(first), first.rv) == (["changed", "kept"], then.rv)
    assert names(registry.list(PODS, "default", continue_token=first.continue_token)) == ["removed"]
    registry._core.store.compact(registry.rv)
    with pytest.raises(StatusError) as caught:
        at()
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


async def take(watch: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    """The next events as (type, name)."""
    events = []
    async with asyncio.timeout(5):
        while len(events) < count:
            event = await anext(watch)
            events.append((event.type, event.object["metadata"].get("name", "")))
    return events


async def test_watch_begins_with_what_is_there(three) -> None:
    watch = three.watch(PODS, "default")
    three.create(PODS, "default", pod("d"))
    three.create(PODS, "kube-system", pod("e"))
    three.delete(PODS, "default", "a")
    assert await take(watch, 4) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "d"), ("DELETED", "a")]
    await watch.aclose()
    assert [event async for event in watch] == []


async def test_watch_resumes_after_a_version_even_over_a_restart(three, reopen) -> None:
    since = three.rv
    three.create(PODS, "default", pod("d"))
    three.patch(PODS, "default", "d", {"metadata": {"labels": {"x": "y"}}}, MERGE)
    again = reopen()
    watch = again.watch(PODS, since=since)
    again.delete(PODS, "default", "d")
    assert await take(watch, 3) == [("ADDED", "d"), ("MODIFIED", "d"), ("DELETED", "d")]


async def test_selector_transitions_are_additions_and_deletions(registry) -> None:
    watch = registry.watch(PODS, since=registry.rv, label_selector="tier=front")
    registry.create(PODS, "default", pod("a"))
    registry.patch(PODS, "default", "a", {"metadata": {"labels": {"tier": "front"}}}, MERGE)
    registry.patch(PODS, "default", "a", {"metadata": {"labels": {"more": "1"}}}, MERGE)
    registry.patch(PODS, "default", "a", {"metadata": {"labels": {"tier": "back"}}}, MERGE)
    async with asyncio.timeout(5):
        events = [await anext(watch) for _ in range(3)]
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[0].previous is None
    last = events[2].object["metadata"]
    assert (last["labels"]["tier"], int(last["resourceVersion"])) == ("front", registry.rv)


async def test_field_selector_watch_follows_binding(registry) -> None:
    watch = registry.watch(PODS, since=registry.rv, field_selector="spec.nodeName=n1")
    registry.create(PODS, "default", pod("a"))
    registry.bind("default", "a", "n1")
    assert await take(watch, 1) == [("ADDED", "a")]


async def test_initial_events_end_with_a_bookmark(three) -> None:
    watch = three.watch(PODS, send_initial_events=True, bookmarks=True, since=0)
    async with asyncio.timeout(5):
        events = [await anext(watch) for _ in range(4)]
    assert [event.type for event in events] == ["ADDED", "ADDED", "ADDED", "BOOKMARK"]
    metadata = events[-1].object["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert metadata["resourceVersion"] == str(three.rv)


async def test_quiet_watches_send_bookmarks(registry, monkeypatch) -> None:
    monkeypatch.setattr(watching, "BOOKMARK_SECONDS", 0.01)
    watch = registry.watch(PODS, since=registry.rv, bookmarks=True)
    async with asyncio.timeout(5):
        event = await anext(watch)
    assert (event.type, event.object["kind"], event.rv) == ("BOOKMARK", "Pod", registry.rv)


async def test_a_watch_that_lags_too_far_is_told_to_list_again(registry, monkeypatch) -> None:
    monkeypatch.setattr(watching, "QUEUE_LIMIT", 3)
    watch = registry.watch(PODS, since=registry.rv)
    for number in range(5):
        registry.create(PODS, "default", pod(f"p{number}"))
    events = [event async for event in watch]
    assert [event.type for event in events] == ["ERROR"]
    assert events[0].object["code"] == 410


async def test_versions_out_of_reach_are_refused(registry) -> None:
    since = registry.rv
    registry.create(PODS, "default", pod())
    registry._core.store.compact(registry.rv)
    registry.create(PODS, "default", pod("q"))
    with pytest.raises(StatusError, match=f"too old resource version: {since - 1}") as caught:
        registry.watch(PODS, since=since - 1)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    with pytest.raises(StatusError, match="Too large resource version") as caught:
        registry.watch(PODS, since=registry.rv + 5)
    assert caught.value.code == 504


async def test_closing_wakes_the_reader(registry) -> None:
    watch = registry.watch(PODS, since=registry.rv)
    reader = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    await watch.aclose()
    async with asyncio.timeout(5):
        assert await reader is None


def test_subscribers_hear_every_resource(registry) -> None:
    heard = []
    stop = registry.subscribe(lambda resource, event: heard.append((resource.key, event.type)))
    registry.create(PODS, "default", pod())
    registry.delete(PODS, "default", "p")
    registry.create(SERVICES, "default", service())
    stop()
    registry.create(PODS, "default", pod())
    assert heard == [("pods", "ADDED"), ("pods", "DELETED"), ("services", "ADDED")]


async def test_what_waits_in_a_watch_can_be_taken_at_once_and_in_order(registry) -> None:
    watch = registry.watch(CONFIG_MAPS, "default")
    for name in "abcd":
        registry.create(CONFIG_MAPS, "default", {"metadata": {"name": name}})
    assert (await anext(watch)).object["metadata"]["name"] == "a"
    assert [event.object["metadata"]["name"] for event in watch.queued(2)] == ["b", "c"]
    assert [event.object["metadata"]["name"] for event in watch.queued(9)] == ["d"]
    assert watch.queued(9) == []
    await watch.aclose()
