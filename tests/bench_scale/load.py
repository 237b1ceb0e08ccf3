"""The load that one lab puts on an API server, as it was measured (docs/scale.md has how), and its replay.

What kubelet and controllers ask because of the lab's pods is part of it. A request of the replay goes to an
object of the same kind and about the same size, in a namespace of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import Any

from lab.kube.client import STRATEGIC_PATCH, KubeClient
from lab.kube.status import StatusError

LABEL = "toil-lab/bench-scale"
UNSCHEDULED = "nobody"
"""A scheduler that no cluster has: pods are objects and never run."""


@dataclass(frozen=True)
class Kind:
    """A kind of request. per_second: how often one lab sends it, or has it sent."""

    name: str
    per_second: float


BUSY = (
    Kind("get", 7.4),
    Kind("list", 4.3),
    Kind("patch", 1.2),
    Kind("status", 0.4),
    Kind("event", 0.7),
    Kind("lease", 0.02),
)
"""A lab under an exercise with live automation and faults."""
PODS, CONFIG_MAPS, WATCHES = 20, 20, 24
CONFIG_MAP_BYTES = 8 * 1024


@dataclass
class Seen:
    """What a replay found: seconds of each request by kind, failures, and events of watches."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    events: int = 0


class Replay:
    """One lab's load in one namespace."""

    def __init__(self, kube: KubeClient, number: int, seen: Seen) -> None:
        self._kube = kube
        self._namespace = f"bench-scale-{number}"
        self._random = random.Random(number)
        self._seen = seen
        self._watches: list[asyncio.Task[None]] = []

    async def furnish(self) -> None:
        """Make the namespace and its objects."""
        metadata = {"name": self._namespace, "labels": {LABEL: "yes"}}
        await self._kube.create("namespaces", {"metadata": metadata})
        with contextlib.suppress(StatusError):  # where controllers run, they have made it
            account = {"metadata": {"name": "default"}}
            await self._kube.create("serviceaccounts", account, self._namespace)
        text = "x" * CONFIG_MAP_BYTES
        for number in range(CONFIG_MAPS):
            config_map = {"metadata": {"name": f"c-{number}"}, "data": {"text": text}}
            await self._kube.create("configmaps", config_map, self._namespace)
        for number in range(PODS):
            await self._kube.create("pods", _pod(f"p-{number}"), self._namespace)
        lease = {"metadata": {"name": "holder"}, "spec": {"holderIdentity": "0"}}
        await self._kube.create("leases", lease, self._namespace)

    async def open(self) -> None:
        """Begin the watches; back when each has begun to deliver."""
        begun = [asyncio.Event() for _ in range(WATCHES)]
        self._watches = [asyncio.create_task(self._watch(n, event)) for n, event in enumerate(begun)]
        await asyncio.gather(*(event.wait() for event in begun))

    async def run(self, seconds: float) -> None:
        """Send the load for that long."""
        until = time.monotonic() + seconds
        await asyncio.gather(*(self._send(kind, until) for kind in BUSY))

    async def close(self) -> None:
        """End the watches."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    async def _watch(self, number: int, begun: asyncio.Event) -> None:
        plural = ("pods", "configmaps", "leases")[number % 3]
        while True:
            try:
                async for _ in self._kube.watch(plural, self._namespace):
                    begun.set()
                    self._seen.events += 1
            except (ConnectionError, TimeoutError, StatusError) as error:
                self._seen.failures.append(f"watch {plural}: {error}")
                await asyncio.sleep(1)

    async def _send(self, kind: Kind, until: float) -> None:
        """At random times, as independent clients do; one that is slow delays the next."""
        while True:
            pause = self._random.expovariate(kind.per_second)
            await asyncio.sleep(min(pause, until - time.monotonic()))
            begun = time.monotonic()
            if begun >= until:
                return
            try:
                await getattr(self, f"_{kind.name}")()
            except (ConnectionError, TimeoutError, StatusError) as error:
                self._seen.failures.append(f"{kind.name}: {error}")
            self._seen.seconds.setdefault(kind.name, []).append(time.monotonic() - begun)

    async def _get(self) -> None:
        await self._kube.get("configmaps", f"c-{self._random.randrange(CONFIG_MAPS)}", self._namespace)

    async def _list(self) -> None:
        await self._kube.list("pods", self._namespace)

    async def _patch(self) -> None:
        name, data = f"c-{self._random.randrange(CONFIG_MAPS)}", {"at": str(time.time())}
        await self._kube.patch("configmaps", name, {"data": data}, self._namespace)

    async def _status(self) -> None:
        condition = {"type": "Bench", "status": "True", "message": str(time.time())}
        await self._kube.patch(
            "pods",
            f"p-{self._random.randrange(PODS)}",
            {"status": {"conditions": [condition]}},
            self._namespace,
            content_type=STRATEGIC_PATCH,
            subresource="status",
        )

    async def _event(self) -> None:
        about = {"kind": "Pod", "namespace": self._namespace, "name": "p-0"}
        event = {
            "metadata": {"generateName": "e-"},
            "involvedObject": about,
            "reason": "Bench",
            "message": "a message of the usual length, with the name of a pod and of a probe in it",
            "type": "Normal",
        }
        await self._kube.create("events", event, self._namespace)

    async def _lease(self) -> None:
        spec = {"holderIdentity": str(time.time())}
        await self._kube.patch("leases", "holder", {"spec": spec}, self._namespace)


def _pod(name: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "toil-lab",
        "env": [{"name": f"V{n}", "value": "v"} for n in range(20)],
    }
    spec = {"schedulerName": UNSCHEDULED, "automountServiceAccountToken": False, "containers": [container]}
    return {"metadata": {"name": name, "labels": {"app": "worker"}}, "spec": spec}
