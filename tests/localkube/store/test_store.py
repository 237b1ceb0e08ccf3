from pathlib import Path

import pytest

from lab.errors import ProviderError
from lab.localkube.store.store import Change, CompactedError, Store


@pytest.fixture
def store(tmp_path: Path):
    opened = Store(tmp_path)
    yield opened
    opened.close()


def thing(name: str, **more: object) -> dict:
    return {"metadata": {"name": name}, **more}


def test_one_version_grows_over_all_resources(store: Store) -> None:
    first = store.rv
    store.write("pods", "a", "x", thing("x"))
    store.write("services", "a", "x", thing("x"))
    store.write("pods", "a", "x", thing("x", spec=1))
    assert store.rv == first + 3
    pod = store.get("pods", "a", "x")
    assert pod == {"metadata": {"name": "x", "resourceVersion": str(store.rv)}, "spec": 1}


def test_order_is_by_namespace_and_name(store: Store) -> None:
    for namespace, name in (("b", "x"), ("a-b", "x"), ("a", "z"), ("a", "y"), ("", "node")):
        store.write("pods", namespace, name, thing(f"{namespace}/{name}"))
    assert [o["metadata"]["name"] for o in store.values("pods")] == ["/node", "a/y", "a/z", "a-b/x", "b/x"]
    assert [o["metadata"]["name"] for o in store.values("pods", "a")] == ["a/y", "a/z"]
    assert [o["metadata"]["name"] for o in store.values("pods", "a", ("a", "y"))] == ["a/z"]


def test_reopening_restores_objects_versions_and_changes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    start = store.rv
    store.write("pods", "a", "x", thing("x"))
    store.write("pods", "a", "y", thing("y"))
    store.remove("pods", "a", "x", thing("x", final=True))
    rv = store.rv
    store.close()
    again = Store(tmp_path)
    assert again.rv == rv
    assert [o["metadata"]["name"] for o in again.values("pods")] == ["y"]
    changes = again.changes_since("pods", start)
    assert [(c.type, c.name) for c in changes] == [("ADDED", "x"), ("ADDED", "y"), ("DELETED", "x")]
    assert changes[-1].object["final"] is True
    assert changes[-1].previous == {"metadata": {"name": "x", "resourceVersion": str(start + 1)}}
    again.write("pods", "a", "z", thing("z"))
    assert again.rv == rv + 1
    again.close()


def test_a_deletion_as_the_last_write_keeps_the_version(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("pods", "a", "x", thing("x"))
    store.remove("pods", "a", "x", thing("x"))
    rv = store.rv
    store.compact(rv)
    store.close()
    again = Store(tmp_path)
    assert again.rv == rv
    again.close()


def test_compacted_changes_are_refused(store: Store) -> None:
    for number in range(5):
        store.write("pods", "a", "x", thing("x", number=number))
    store.compact(store.rv - 2)
    assert [c.object["number"] for c in store.changes_since("pods", store.rv - 2)] == [3, 4]
    with pytest.raises(CompactedError) as caught:
        store.changes_since("pods", store.rv - 3)
    assert caught.value.oldest == store.rv - 2


def test_the_log_is_bounded(tmp_path: Path) -> None:
    store = Store(tmp_path, retained_events=100)
    for number in range(1_200):
        store.write("leases", "a", "x", thing("x", number=number))
    assert store.compacted >= 900
    assert store.rv - store.compacted <= 1_100
    assert len(store.changes_since("leases", store.rv - 50)) == 50
    store.close()


def size_of(directory: Path) -> int:
    """Bytes of the store's files."""
    return sum(path.stat().st_size for path in directory.iterdir())


@pytest.mark.slow
def test_a_lease_that_is_renewed_for_days_takes_no_more_room(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lease = thing("x", spec={"holderIdentity": "node", "pad": "y" * 500})

    def renew(times: int) -> int:
        for number in range(times):
            store.write("leases", "a", "x", {**lease, "metadata": {"name": "x"}, "number": number})
        return size_of(tmp_path)

    small = renew(6_500)
    assert renew(3_500) <= small * 1.1
    assert store.count("leases") == 1
    with pytest.raises(CompactedError):
        store.changes_since("leases", 1)
    assert len(store.changes_since("leases", store.rv - 4_000)) == 4_000
    store.close()


def test_large_objects_do_not_fill_the_disk(tmp_path: Path) -> None:
    large = 64 * 1024
    store = Store(tmp_path, retained_bytes=8 * large)

    def change(times: int) -> int:
        for number in range(times):
            store.write("configmaps", "a", "x", thing("x", number=number, pad="y" * large))
        return size_of(tmp_path)

    filled = change(80)
    assert change(80) <= filled * 1.2
    assert filled < 160 * large
    kept = store.rv - store.compacted
    assert 1 <= kept <= 5
    assert len(store.changes_since("configmaps", store.compacted)) == kept
    store.close()
    again = Store(tmp_path, retained_bytes=8 * large)
    assert again.rv == store.rv
    again.write("configmaps", "a", "y", thing("y", pad="y" * 9 * large))
    assert again.compacted == again.rv - 1
    assert [change.name for change in again.changes_since("configmaps", again.rv - 1)] == ["y"]
    again.close()


def test_a_second_opener_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(ProviderError, match="in use by process"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()


def test_subscribers_see_writes_in_order_even_when_one_writes(store: Store) -> None:
    seen: list[Change] = []

    def echo(change: Change) -> None:
        if change.resource == "pods":
            store.write("events", "a", change.name, thing(change.name))

    store.subscribe(echo)
    unsubscribe = store.subscribe(seen.append)
    store.write("pods", "a", "x", thing("x"))
    assert [change.resource for change in seen] == ["pods", "events"]
    unsubscribe()
    store.write("pods", "a", "y", thing("y"))
    assert len(seen) == 2


def test_a_failing_subscriber_costs_the_others_nothing(store: Store) -> None:
    seen: list[int] = []

    def fail(change: Change) -> None:
        if change.name == "x":
            store.write("pods", "a", "nested", thing("nested"))
            raise RuntimeError("no")

    store.subscribe(fail)
    store.subscribe(lambda change: seen.append(change.rv))
    with pytest.raises(RuntimeError, match="no"):
        store.write("pods", "a", "x", thing("x"))
    store.write("pods", "a", "y", thing("y"))
    assert seen == [store.rv - 2, store.rv - 1, store.rv]


def test_a_failing_write_changes_nothing(store: Store) -> None:
    store.write("pods", "a", "x", thing("x"))
    rv = store.rv
    with pytest.raises(TypeError):
        store.write("pods", "a", "x", thing("x", bad=object()))
    assert store.rv == rv
    assert "bad" not in (store.get("pods", "a", "x") or {})
    store.write("pods", "a", "y", thing("y"))
    assert store.rv == rv + 1


def test_files_are_private(tmp_path: Path, store: Store) -> None:
    store.write("secrets", "a", "x", thing("x"))
    assert {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {
        path.name: 0 for path in tmp_path.iterdir()
    }
