"""The stage of the canary's tests: one API server and one gateway for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from canary_stage import Place, Stage, running_place

from lab.kube.client import KubeClient


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running_place(tmp_path_factory.mktemp("canary")) as running:
        yield running


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
