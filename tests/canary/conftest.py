"""The stage of the canary's tests: one API server and one gateway for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from canary_stage import Place, running_place

from lab.canary.report import Item
from lab.canary.restore import Restorer
from lab.canary.services import GatewayAudit
from lab.canary.undo import changes
from lab.core.clock import SystemClock
from lab.kube.client import KubeClient


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running_place(tmp_path_factory.mktemp("canary")) as running:
        yield running


@dataclass
class Stage:
    """Clients: people work on `kube`, the automation through the gateway, the canary with its own rights."""

    kube: KubeClient
    automation: KubeClient
    canary: KubeClient
    audit: GatewayAudit
    begun: int = 0

    async def restore(self, *, dry_run: bool = False) -> dict[str, Item]:
        """Take back what the automation did since the test began; items by the object's name."""
        found = changes((await self.audit.records(self.begun))[0])
        restorer = Restorer(self.canary, SystemClock())
        items = [item async for item in restorer.restore(found, dry_run=dry_run)]
        return {item.target.rpartition("/")[2]: item for item in items}


@pytest.fixture
async def stage(place: Place) -> AsyncIterator[Stage]:
    audit = place.audit()
    async with (
        KubeClient(place.admin, user_agent="kubectl-of-ann") as kube,
        KubeClient(place.gateway, user_agent="automation") as automation,
        KubeClient(place.canary) as canary,
    ):
        live = {"data": {"mode": "live", "killSwitch": "off"}}
        await kube.patch("configmaps", "automation-control", live, "lab-system")
        made = Stage(kube, automation, canary, audit)
        made.begun = (await audit.last())[0]
        yield made
    await audit.close()
