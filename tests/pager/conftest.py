from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pager_harness import PagerAt, running_pager


@pytest.fixture
async def pager() -> AsyncIterator[PagerAt]:
    async with running_pager() as running:
        yield running
