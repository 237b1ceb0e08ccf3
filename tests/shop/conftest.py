"""Fixtures of the shop: a real PostgreSQL and the real programs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from shop_pods import Pods
from shop_postgres import database_url, postgres_server

__all__ = ["database_url", "pods", "postgres_server"]


@pytest.fixture
async def pods(database_url: str) -> AsyncIterator[Pods]:
    """Processes that share one database, ended with the test."""
    async with aiohttp.ClientSession() as session:
        made = Pods(session, {"DATABASE_URL": database_url, "LAB_SEED": "7"})
        yield made
        await made.stop()
