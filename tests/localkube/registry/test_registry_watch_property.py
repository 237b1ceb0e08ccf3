"""Whatever happens, a list and the watch after it give the present state, through any selector."""

import asyncio
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from registry_manifests import CONFIG_MAPS

from lab.core.clock import SystemClock
from lab.kube.status import StatusError
from lab.localkube.registry.registry import LocalRegistry, open_registry

_steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete", "list"]),
        st.sampled_from("abcd"),
        st.sampled_from(["red", "blue"]),
    ),
    max_size=30,
)


def run(registry: LocalRegistry, kind: str, name: str, color: str) -> None:
    present = registry.list(CONFIG_MAPS, "default", field_selector=f"metadata.name={name}").items
    obj = {"metadata": {"name": name, "labels": {"color": color}}, "data": {"rv": str(registry.rv)}}
    if kind == "put" and present:
        registry.update(CONFIG_MAPS, "default", name, obj)
    elif kind == "put":
        registry.create(CONFIG_MAPS, "default", obj)
    elif kind == "delete" and present:
        registry.delete(CONFIG_MAPS, "default", name)


def state(registry: LocalRegistry, selector: str) -> dict:
    items = registry.list(CONFIG_MAPS, "default", label_selector=selector).items
    return {item["metadata"]["name"]: item for item in items}


async def follow(registry: LocalRegistry, start: dict, since: int, selector: str) -> dict:
    """Apply the events after a list to what the list gave, as an informer does; after a 410 list again."""
    seen = dict(start)
    try:
        watch = registry.watch(CONFIG_MAPS, "default", since=since, label_selector=selector)
    except StatusError as error:
        if error.code != 410 or since >= registry._core.store.compacted:
            raise
        return await follow(registry, state(registry, selector), registry.rv, selector)
    assert since >= registry._core.store.compacted
    labels = {} if selector == "!color" else {"color": "red"}
    registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "end", "labels": labels}})
    async for event in watch:
        name = event.object["metadata"]["name"]
        if name == "end":
            break
        assert (event.type == "ADDED") == (name not in seen)
        if event.type == "DELETED":
            del seen[name]
        else:
            seen[name] = event.object
    await watch.aclose()
    registry.delete(CONFIG_MAPS, "default", "end")
    return seen


@settings(max_examples=25, deadline=None)
@given(
    steps=_steps,
    selector=st.sampled_from(["", "color=red", "color!=blue", "color in (red), color", "!color"]),
    restart=st.booleans(),
    compacted=st.none() | st.integers(0, 30),
)
def test_list_and_watch_agree_with_the_present(
    steps: list, selector: str, restart: bool, compacted: int | None
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)

        def reopen() -> LocalRegistry:
            return open_registry(path, clock=SystemClock(), service_range=(), chance=random.Random(1))

        registry = reopen()
        start, since = {}, registry.rv
        for kind, name, color in steps:
            if kind == "list":
                start, since = state(registry, selector), registry.rv
            else:
                run(registry, kind, name, color)
        if compacted is not None:
            registry._core.store.compact(registry.rv - compacted)
        if restart:
            registry.close()
            registry = reopen()
        assert asyncio.run(follow(registry, start, since, selector)) == state(registry, selector)
        registry.close()
