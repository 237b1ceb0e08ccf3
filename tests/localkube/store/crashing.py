"""A server under load that is killed without warning, and what its clients know of it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

from lab.kube.client import KubeClient
from lab.kube.status import StatusError

NAMES = 6
"""ConfigMaps of each writer."""
_GONE = (ConnectionError, TimeoutError)


@dataclass
class Ledger:
    """What was acknowledged, and what was on its way when the server died."""

    acknowledged: dict[str, str | None] = field(default_factory=dict)
    doubtful: dict[str, str | None] = field(default_factory=dict)
    versions: list[int] = field(default_factory=list)
    counted: int = 0
    counting: int = 0

    def settle(self, present: dict[str, str], count: int) -> None:
        """Compare with what there is, and take it as known. Raises AssertionError for a lost write."""
        for name in self.acknowledged.keys() | self.doubtful.keys():
            allowed = {self.acknowledged.get(name)}
            if name in self.doubtful:
                allowed.add(self.doubtful[name])
            assert present.get(name) in allowed, (name, present.get(name), allowed)
        assert self.counted <= count <= self.counted + self.counting, (count, self.counted, self.counting)
        self.acknowledged = dict(present)
        self.doubtful.clear()
        self.counted, self.counting = count, 0


async def write(kube: KubeClient, ledger: Ledger, chance: random.Random, writer: int) -> None:
    """Create, change and delete one's own ConfigMaps, and count in a shared one, until the server is gone."""
    serial = 0
    try:
        while True:
            serial += 1
            if serial % 5 == 0:
                await _count(kube, ledger)
                continue
            name = f"w{writer}-{chance.randrange(NAMES)}"
            value = f"{writer}.{serial}.{chance.random()}"
            await _change(kube, ledger, chance, name, value)
    except _GONE:
        return


async def _change(kube: KubeClient, ledger: Ledger, chance: random.Random, name: str, value: str) -> None:
    have = ledger.acknowledged.get(name)
    obj: dict[str, Any] = {
        "metadata": {"name": name},
        "data": {"v": value, "pad": "x" * chance.randrange(3000)},
    }
    if have is not None and chance.random() < 0.25:
        ledger.doubtful[name] = None
        await kube.delete("configmaps", name, "default")
        ledger.acknowledged[name] = None
        del ledger.doubtful[name]
        return
    ledger.doubtful[name] = value
    if have is None:
        done = await kube.create("configmaps", obj, "default")
    elif chance.random() < 0.5:
        done = await kube.update("configmaps", obj, "default")
    else:
        done = await kube.patch("configmaps", name, {"data": {"v": value}}, "default")
    ledger.acknowledged[name] = value
    del ledger.doubtful[name]
    ledger.versions.append(int(done["metadata"]["resourceVersion"]))


async def _count(kube: KubeClient, ledger: Ledger) -> None:
    """Add one to a shared number, as often as it takes."""
    while True:
        counter = await kube.get("configmaps", "counter", "default")
        counter["data"]["n"] = str(int(counter["data"]["n"]) + 1)
        ledger.counting += 1
        try:
            done = await kube.update("configmaps", counter, "default")
        except StatusError as conflict:
            ledger.counting -= 1
            if conflict.code == 409:
                continue
            raise
        ledger.counting -= 1
        ledger.counted += 1
        ledger.versions.append(int(done["metadata"]["resourceVersion"]))
        return


class Follower:
    """An informer: a list and the events after it, resumed where it was when the server comes back."""

    def __init__(self) -> None:
        self.state: dict[str, str] = {}
        self.version = ""
        self.expired = 0

    async def follow(self, kube: KubeClient, until: str = "") -> None:
        """Take events in until the server is gone or a ConfigMap of the name `until` appears."""
        try:
            if not self.version:
                await self._list(kube)
            async for event in kube.watch("configmaps", "default", resource_version=self.version):
                self._take(event)
                if until and until in self.state:
                    return
        except _GONE:
            return
        except StatusError as error:
            if error.code != 410:
                raise
            self.expired += 1
            self.version = ""
            await self.follow(kube, until)

    async def _list(self, kube: KubeClient) -> None:
        listed = await kube.list("configmaps", "default")
        self.state = values(listed)
        self.version = listed["metadata"]["resourceVersion"]

    def _take(self, event: dict[str, Any]) -> None:
        metadata = event["object"]["metadata"]
        assert int(metadata["resourceVersion"]) >= int(self.version)
        self.version = metadata["resourceVersion"]
        if event["type"] == "DELETED":
            del self.state[metadata["name"]]
        elif event["type"] != "BOOKMARK":
            assert (event["type"] == "ADDED") == (metadata["name"] not in self.state)
            self.state[metadata["name"]] = _value(event["object"])


def values(listed: dict[str, Any]) -> dict[str, str]:
    """Name and value of every ConfigMap of a list."""
    return {item["metadata"]["name"]: _value(item) for item in listed["items"]}


def _value(obj: dict[str, Any]) -> str:
    data = obj.get("data") or {}
    return str(data.get("v", data.get("n", "")))


async def load(
    kube: KubeClient, ledger: Ledger, follower: Follower, chance: random.Random, writers: int
) -> None:
    """Write and follow, all at once, until the server is gone."""
    async with asyncio.TaskGroup() as group:
        group.create_task(follower.follow(kube))
        for writer in range(writers):
            group.create_task(write(kube, ledger, random.Random(chance.random()), writer))
