"""One server that all of this folder's tests attack; that its log has no traceback is checked at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from localkube_process import Served, running
from security_wire import Wire


@pytest.fixture(scope="session")
def attacked() -> Iterator[Served]:
    """The server."""
    with running("--api-only") as server:
        yield server


@pytest.fixture(scope="session")
def wire(attacked: Served) -> Wire:
    """A client without manners."""
    return Wire(attacked)
