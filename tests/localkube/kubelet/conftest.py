"""The bench as a fixture."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubelet_bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A running node; it ends with the test."""
    bench = Bench(tmp_path)
    await bench.start()
    yield bench
    await bench.close()
