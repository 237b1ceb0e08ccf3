"""Somebody's cluster, and the folder of a lab that comes into it as a guest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from localkube_process import Served, running


@pytest.fixture(scope="module")
def host() -> Iterator[Served]:
    """Somebody's cluster."""
    with running("--api-only") as server:
        yield server


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A lab's folder."""
    folder = tmp_path / "guest"
    folder.mkdir()
    return folder
