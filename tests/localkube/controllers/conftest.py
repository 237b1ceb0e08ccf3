"""A controlled cluster for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from controllers_cluster import Cluster, ManualClock, running_cluster


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Registry, controllers, one node and a kubelet that only writes statuses."""
    async with running_cluster(tmp_path) as running:
        yield running


@pytest.fixture
async def timed(tmp_path: Path) -> AsyncIterator[tuple[Cluster, ManualClock]]:
    """The same with a clock that moves by hand."""
    clock = ManualClock()
    async with running_cluster(tmp_path, clock) as running:
        yield running, clock
