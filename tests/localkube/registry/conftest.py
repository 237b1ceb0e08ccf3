from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.localkube.registry.registry import LocalRegistry, open_registry

SERVICE_RANGE = [f"127.9.200.{last}" for last in range(1, 9)]


class StepClock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.instant = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> StepClock:
    return StepClock()


@pytest.fixture
def reopen(tmp_path: Path, clock: StepClock) -> Iterator[Callable[[], LocalRegistry]]:
    """Open the registry of this test's directory, closing the one before."""
    opened: list[LocalRegistry] = []

    def open_again() -> LocalRegistry:
        if opened:
            opened.pop().close()
        opened.append(
            open_registry(tmp_path, clock=clock, service_range=SERVICE_RANGE, chance=random.Random(1))
        )
        return opened[0]

    yield open_again
    opened.pop().close()


@pytest.fixture
def registry(reopen: Callable[[], LocalRegistry]) -> LocalRegistry:
    return reopen()
