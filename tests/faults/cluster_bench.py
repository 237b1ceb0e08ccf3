"""The shop's Deployments in a real API server, and injectors whose parts die at a given call."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry
from test_faults_injector import HandClock

from lab.core.clock import TimeScale
from lab.core.places import data_root
from lab.faults.cluster import CLUSTER, ClusterMedium
from lab.faults.injector import Injector
from lab.faults.journal import FileStore, Journal, JournalStore
from lab.faults.registry import FAULTS, SPECS
from lab.kube.client import KubeClient

BASE = data_root() / "clusters" / "base"
FILES = {"api": "shop/api.yaml", "worker": "shop/worker.yaml", "automation": "automation.yaml"}


class Dead(BaseException):
    """The process ends here."""


class Dying:
    """Another object whose call number `at` (0 is the first) is its last: cut off before it, or after it.

    error: what the caller sees; a BaseException is the end of the process, an OSError a lost connection.
    """

    def __init__(self, inner: Any, budget: list[int], *, after: bool, error: BaseException) -> None:
        self._inner, self._budget, self._after, self._error = inner, budget, after, error

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **more: Any) -> Any:
            self._budget[0] -= 1
            last = self._budget[0] == -1
            if last and not self._after:
                raise self._error
            result = await method(*args, **more)
            if last:
                raise self._error
            return result

        return call


class ClusterBench:
    """One API server, one journal file."""

    def __init__(self, kube: KubeClient, path: Path) -> None:
        self.kube, self.path, self.clock = kube, path, HandClock()

    async def create(self, name: str, **spec: Any) -> dict[str, Any]:
        """The Deployment of the lab's own manifests, and what the server makes of it."""
        documents = yaml.safe_load_all((BASE / FILES[name]).read_text())
        manifest = next(d for d in documents if d and d["kind"] == "Deployment")
        manifest["spec"].update(spec)
        return await self.kube.create("deployments", manifest)

    async def deployment(self, name: str, namespace: str = "shop") -> dict[str, Any]:
        return await self.kube.get("deployments", name, namespace)

    async def injector(self, dying: list[int] | None = None, **how: Any) -> Injector:
        """One that has read the journal. dying: how many calls its parts have left; None: they are well."""
        kube: Any = self.kube
        store: JournalStore = FileStore(self.path)
        if dying is not None:
            kube, store = Dying(kube, dying, **how), Dying(store, dying, **how)  # type: ignore[assignment]
        medium = ClusterMedium(kube, FAULTS, scale=TimeScale(60), clock=self.clock)
        made = Injector(
            {CLUSTER: medium},
            store,
            seed=5,
            scale=TimeScale(60),
            clock=self.clock,
            registry=CollectorRegistry(),
        )
        if dying is not None:
            dying[0] += 1  # reading the journal
        await made.start()
        return made

    async def tick(self, injector: Injector, times: int = 1) -> None:
        for _ in range(times):
            self.clock.seconds += 1.1
            await injector.tick()

    def on_disk(self) -> Journal:
        return Journal.from_bytes(self.path.read_bytes() if self.path.exists() else None, SPECS)


def meant(deployment: dict[str, Any]) -> dict[str, Any]:
    """What people have set of an object: all but what the server and the controllers write."""
    seen = copy.deepcopy({key: deployment[key] for key in ("spec", "metadata")})
    annotations = seen["metadata"].get("annotations") or {}
    annotations.pop("deployment.kubernetes.io/revision", None)
    kept = {key: seen["metadata"].get(key) for key in ("name", "labels", "uid")}
    return {"spec": seen["spec"], "metadata": kept, "annotations": annotations}
