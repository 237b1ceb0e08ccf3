"""Every fault of the registry, and an injector that dies at every step of applying and undoing it."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cluster_bench import Dead
from crash_world import Steps, World
from shop_pods import until
from test_faults_in_cluster import kube

from lab.core.fault import FaultState
from lab.faults.automation import AUTOMATION
from lab.faults.medium import Fault
from lab.faults.registry import FAULTS
from lab.kube.client import KubeClient

__all__ = ["kube"]
LEASE = 60.0
LEAST_STEPS = 5
"""Load, plan, apply, active, undo: fewer would mean that the steps are not counted."""

MORE: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "automation-killed": ({"when": "now"},),
    "hung-workers": ({"count": 3, "recurring": True},),
    "lock-pile-up": ({"partition": 1},),
}
"""Parameters that take another way through the medium than the defaults do."""

UNSEEN = frozenset({"automation-killed"})
"""Faults that change nothing that stays."""


Group = tuple[str, ...]
"""A medium, and where in it: the part of the lab, or kind and namespace of the object."""


def group_of(fault: Fault) -> Group:
    where = getattr(fault, "place", (getattr(fault, "part", ""),))
    return (fault.medium, *filter(None, where))


@pytest.fixture
async def world(
    kube: KubeClient, database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    made = World(kube, database_url, tmp_path, request.param[0])
    try:
        await made.open()
        yield made
    finally:
        await made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "group"),
    [pytest.param(group, group, id="-".join(group)) for group in sorted({*map(group_of, FAULTS.values())})],
    indirect=["world"],
)
async def test_an_injector_that_dies_at_any_step_leaves_no_fault(world: World, group: Group) -> None:
    before = await world.seen()
    steps: dict[str, int] = defaultdict(int)
    for name in [name for name, fault in FAULTS.items() if group_of(fault) == group]:
        for parameters in ({}, *MORE.get(name, ())):
            await until(world.has_victims, f"{name} can hit somebody")
            for last in itertools.count():
                if not await dies(world, name, parameters, last):
                    break
                steps[name] += 1
                await reconcile(world, name, last, before)
            await world.becomes(lambda seen: seen == before, f"{name} is applied and undone")
    assert all(count >= LEAST_STEPS for count in steps.values()), dict(steps)


async def dies(world: World, name: str, parameters: Mapping[str, Any], last: int) -> bool:
    """Apply the fault, let some time pass, undo it; whether the process ended before that step."""
    try:
        async with world.life(Steps(last)) as injector:
            await injector.start()
            entries = await injector.inject(name, LEASE, parameters)
            await world.tick(injector)
            await injector.undo(entries, "heal")
    except Dead:
        return True
    return False


async def reconcile(world: World, name: str, last: int, before: dict[str, Any]) -> None:
    """A successor that dies as well, at another step each time, and one that does its work."""
    where = f"{name}, dead before step {last}"
    with contextlib.suppress(Dead):
        async with world.life(Steps(last % LEAST_STEPS)) as injector:
            await injector.start()
            await world.tick(injector)
    async with world.life(Steps()) as injector:
        await injector.start()
        await world.tick(injector)
        open_ones = injector.journal.open()
        assert all(entry.state is FaultState.ACTIVE for entry in open_ones), where
        if name not in UNSEEN:
            await world.becomes(lambda seen: (seen != before) is bool(open_ones), f"{where}: it agrees")
        if last % 2 or world.medium == AUTOMATION:
            await injector.undo(open_ones, "heal")
        else:
            world.pass_time(LEASE)
            await world.tick(injector)
        assert injector.journal.open() == world.on_disk().open() == [], where
        await world.becomes(lambda seen: seen == before, f"{where}: the world is as it was")
