"""Fixtures of the faults: the shop's, and an injector beside it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "shop"))

from shop_pods import Pod, Pods, until
from shop_postgres import database_url, postgres_server

__all__ = ["database_url", "faults_api", "pods", "postgres_server"]
TOKEN = "a-token"


@dataclass
class FaultsClient:
    """The API of a running injector."""

    pods: Pods
    pod: Pod

    async def call(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any]:
        """Status and decoded body."""
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.pod.base}/api/v1/{path}"
        async with self.pods.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def inject(self, name: str, **body: Any) -> list[dict[str, Any]]:
        """Entries of a fault that must be accepted."""
        status, answer = await self.call("POST", "faults", {"name": name, **body})
        assert status == 201, answer
        return list(answer["entries"])

    async def entry(self, identity: str) -> dict[str, Any]:
        """One entry of the journal."""
        _, answer = await self.call("GET", "journal")
        return next(entry for entry in answer["entries"] if entry["id"] == identity)

    async def state(self, identity: str, state: str) -> bool:
        """Whether an entry is in that state."""
        return bool((await self.entry(identity))["state"] == state)


@pytest.fixture
async def pods(database_url: str) -> AsyncIterator[Pods]:
    """Processes that share one database, ended with the test."""
    async with aiohttp.ClientSession() as session:
        made = Pods(session, {"DATABASE_URL": database_url, "LAB_SEED": "7"})
        yield made
        await made.stop()


@pytest.fixture
async def faults_api(pods: Pods, tmp_path: Path) -> Any:
    """Starts an injector; gives its client."""

    async def start(name: str = "faults-1", **env: str) -> FaultsClient:
        settings = {
            "FAULT_JOURNAL_FILE": str(tmp_path / "journal.json"),
            "LAB_ADMIN_TOKEN": TOKEN,
            "LAB_TOIL": "off",
        }
        pod = await pods.start("lab.faults", name, **settings | env)

        async def ready() -> bool:
            return await pods.status(pod, "/readyz") == 200

        await until(ready, "the injector is ready")
        return FaultsClient(pods, pod)

    return start
