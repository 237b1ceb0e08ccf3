"""A controlled cluster for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from controllers_cluster import Cluster, running_cluster


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Registry, controllers, one node and a kubelet that only writes statuses."""
    async with running_cluster(tmp_path) as running:
        yield running
