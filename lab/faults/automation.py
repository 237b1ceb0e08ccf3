"""The medium of the automation: its pod's runner ends, stops, silences or crowds out the candidate's program.

The pod is told nothing beforehand. A call goes to port 9400 of the pod with a key that is made from the
entry and the lab's token, so that the program can neither guess it nor undo what it does; repeated, it does
nothing. A pause ends by itself with its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import aiohttp

from lab.core.clock import Clock
from lab.core.fault import FaultSpec, FaultTarget, JournalEntry
from lab.faults.audit import AuditTail
from lab.faults.medium import Fault, NoVictimError, OccupiedError, Situation
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError

log = logging.getLogger("faults.automation")
AUTOMATION = "automation"
"""Name of the medium, and of the namespace."""

_PORT = "prometheus.io/port"
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 1.0
_TIMEOUT = aiohttp.ClientTimeout(total=3.0)


class AutomationFault(Protocol):
    """A fault of the program. act: what its runner is asked for."""

    spec: FaultSpec
    medium: str

    def act(self, parameters: Mapping[str, Any]) -> str:
        """One of kill, pause, metrics-gone, metrics-frozen, fill-disk."""

    def waits(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it comes only with the automation's next change of anything."""

    def lasts(self) -> bool:
        """Whether it goes on until it is undone; else it is over once it has been done."""


class AutomationMedium:
    """One fault of a kind at a time on a pod."""

    def __init__(
        self, kube: KubeClient, audit: AuditTail, faults: Mapping[str, Fault], *, token: str, clock: Clock
    ) -> None:
        self._kube = kube
        self._audit = audit
        self._faults = {n: cast(AutomationFault, f) for n, f in faults.items() if f.medium == AUTOMATION}
        self._token = token
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._asked: set[str] = set()
        self._over: dict[str, str] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._looked = float("-inf")

    async def choose(
        self, fault: Fault, values: Mapping[str, Any], situation: Situation
    ) -> list[FaultTarget]:
        """A running pod of the automation, by the seed when there are several."""
        pods = sorted(await self._pods())
        if not pods:
            raise NoVictimError("no automation runs", hint="lab run starts one")
        target = FaultTarget("Pod", AUTOMATION, situation.chance.choice(pods))
        if any((entry.fault, entry.target) == (fault.spec.name, target) for entry in situation.held):
            raise OccupiedError(f"{target.name} has a {fault.spec.name} already", hint="heal it first")
        return [target]

    async def prepare(self, entry: JournalEntry) -> Mapping[str, Any]:
        """Which pod, container and address it is."""
        pod = (await self._pods()).get(entry.target.name)
        if pod is None:
            raise NoVictimError(f"the pod {entry.target.name} is gone")
        return _identity(pod)

    async def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Call the runner, or wait for the moment."""
        for entry in entries:
            if entry.id in self._asked:
                continue
            fault = self._faults[entry.fault]
            if fault.waits(entry.parameters):
                after = await self._audit.last()
                self._waiting[entry.id] = asyncio.create_task(self._wait(entry, after))
            else:
                await self._start(entry)
            self._asked.add(entry.id)

    async def undo(self, entries: Sequence[JournalEntry]) -> None:
        """Let it go on; a pod that is gone needs nothing."""
        for entry in entries:
            waiting = self._waiting.pop(entry.id, None)
            if waiting is not None:
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
            if entry.undo and (await self._there(entry)):
                await self._call("DELETE", entry)
            self._asked.discard(entry.id)
            self._over.pop(entry.id, None)

    async def ended(self, entries: Sequence[JournalEntry]) -> Mapping[str, str]:
        """Those that were done once, and those whose pod is not the same any more."""
        if not entries:
            return {}
        pods = await self._pods()
        over = {entry.id: self._over[entry.id] for entry in entries if entry.id in self._over}
        for entry in entries:
            pod = pods.get(entry.target.name)
            if pod is None or _identity(pod) != dict(entry.undo):
                over.setdefault(entry.id, "restart")
        return over

    async def agree(self, entries: Sequence[JournalEntry]) -> None:
        """Call again for what a predecessor may not have called for; about once a second for all that lasts,
        as a program that was started anew is not the one that was paused."""
        biting = [entry for entry in entries if entry.id not in self._over]
        await self.apply(biting)
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        for entry in biting:
            if self._faults[entry.fault].lasts():
                with contextlib.suppress(OSError, StatusError):  # a runner that is gone shows in `ended`
                    await self._start(entry)
        self._looked = now

    async def close(self) -> None:
        """End what waits, and give the connections back."""
        for task in self._waiting.values():
            task.cancel()
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        await self._audit.close()

    async def _wait(self, entry: JournalEntry, after: int) -> None:
        """Strike as soon as the audit log has a change by an automation that was not refused."""
        changed = False
        while True:
            try:
                if not changed:
                    changed, after = await self._audit.mutation_after(after)
                if changed:
                    await self._start(entry)
                    return
            except (OSError, StatusError) as error:
                log.warning("%s waits: %s", entry.id, error)
            await self._clock.sleep(_POLL_SECONDS)

    async def _start(self, entry: JournalEntry) -> None:
        active = await self._call("POST", entry)
        if not self._faults[entry.fault].lasts():
            self._over[entry.id] = "itself"
        elif not active:
            self._over[entry.id] = "restart"

    async def _there(self, entry: JournalEntry) -> bool:
        pod = (await self._pods()).get(entry.target.name)
        return pod is not None and _identity(pod) == dict(entry.undo)

    async def _pods(self) -> dict[str, KubeObject]:
        found = await self._kube.list("pods", AUTOMATION, label_selector="app=automation")
        return {
            pod["metadata"]["name"]: pod
            for pod in found["items"]
            if "deletionTimestamp" not in pod["metadata"] and _runs(pod)
        }

    async def _call(self, method: str, entry: JournalEntry) -> bool:
        key = hmac.new(self._token.encode(), entry.id.encode(), hashlib.sha256).hexdigest()
        body: dict[str, Any] = {"act": self._faults[entry.fault].act(entry.parameters)}
        if entry.expires_at is not None:
            body["seconds"] = max(0.01, (entry.expires_at - self._clock.now()).total_seconds())
        url = f"http://{entry.undo['address']}/injections/{key}"
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False)
        try:
            async with self._session.request(method, url, json=body) as answer:
                if answer.status != 200:
                    raise StatusError(answer.status, "Unknown", f"the runner answered {answer.status}")
                return bool((await answer.json())["active"])
        except aiohttp.ClientError as error:
            raise ConnectionError(f"the automation's runner does not answer: {error}") from error


def _runs(pod: KubeObject) -> bool:
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    return bool(status.get("podIP")) and any("running" in (c.get("state") or {}) for c in containers)


def _identity(pod: KubeObject) -> dict[str, Any]:
    port = (pod["metadata"].get("annotations") or {}).get(_PORT, "9400")
    return {
        "uid": pod["metadata"]["uid"],
        "container": pod["status"]["containerStatuses"][0].get("containerID") or "",
        "address": f"{pod['status']['podIP']}:{port}",
    }
