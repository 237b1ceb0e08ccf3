"""An injector that is killed by SIGKILL after its n-th write, for every n; one JSON line each.

python crash_injector.py KUBECONFIG WRITES: {died, after: {state, rows}, successor: {...}, healed: {...}}
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock, TimeScale
from lab.core.fault_row import DIRECTIVES
from lab.faults.injector import Injector
from lab.faults.journal import ConfigMapStore
from lab.faults.registry import FAULTS
from lab.faults.rows import ROWS, RowMedium
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

FAULT = "api-lost-response"


class MortalClient(KubeClient):
    """Dies once it has written so many times; 0: before the first write."""

    left = -1

    async def request(self, method: str, path: str, **more: Any) -> Any:
        if method != "GET" and self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await super().request(method, path, **more)
        self.left -= method != "GET"
        return answer


async def with_injector(admin: Path, life: int, act: Callable[[Injector, KubeClient], Any]) -> Any:
    clock, scale = SystemClock(), TimeScale(60)
    async with MortalClient(load_kubeconfig(admin)) as kube:
        kube.left = life
        media = {ROWS: RowMedium(kube, FAULTS, seed=1, scale=scale, clock=clock)}
        injector = Injector(
            media, ConfigMapStore(kube), seed=1, scale=scale, clock=clock, registry=CollectorRegistry()
        )
        await injector.start()
        return await act(injector, kube)


async def inject_and_undo(injector: Injector, kube: KubeClient) -> None:
    entries = await injector.inject(FAULT, 600)
    await injector.undo(entries, "heal")


async def look(injector: Injector, kube: KubeClient) -> dict[str, Any]:
    found = await kube.get("configmaps", DIRECTIVES[1], DIRECTIVES[0])
    newest = list(injector.journal.entries.values())[-1:]
    return {
        "state": newest[0].state.value if newest else "",
        "undoneBy": newest[0].undone_by if newest else "",
        "rows": sorted(found.get("data") or {}),
    }


async def reconcile(injector: Injector, kube: KubeClient) -> dict[str, Any]:
    await injector.tick()
    return await look(injector, kube)


async def heal(injector: Injector, kube: KubeClient) -> dict[str, Any]:
    await injector.undo(injector.journal.open(), "heal")
    return await look(injector, kube)


def in_a_process(main: Coroutine[Any, Any, Any]) -> bool:
    """Run in a child; whether it was killed."""
    child = os.fork()
    if child == 0:
        asyncio.run(main)
        os._exit(0)
    main.close()
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def main() -> None:
    admin, writes = Path(sys.argv[1]), int(sys.argv[2])
    for life in range(writes + 1):
        died = in_a_process(with_injector(admin, life, inject_and_undo))
        seen = {"died": died}
        for name, act in (("after", look), ("successor", reconcile), ("healed", heal)):
            seen[name] = asyncio.run(with_injector(admin, -1, act))
        print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
