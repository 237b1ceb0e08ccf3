"""The audit log as the injector follows it: has an automation changed anything since?"""

from __future__ import annotations

from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=3.0)
_PAGE = 500


class AuditTail:
    """Reads `GET /audit` at `url`. Raises ConnectionError and TimeoutError when nobody answers."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def last(self) -> int:
        """The number of the newest record; 0 before the first."""
        return int((await self._read(0, 1))["last"])

    async def mutation_after(self, seq: int) -> tuple[bool, int]:
        """Whether a later record is a mutation that was not refused, and where to go on reading."""
        records = (await self._read(seq, _PAGE))["records"]
        found = any(record["mutating"] and record["decision"] != "refused" for record in records)
        return found, max((int(record["seq"]) for record in records), default=seq)

    async def close(self) -> None:
        """Give the connection back."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _read(self, after: int, limit: int) -> dict[str, Any]:
        if self._session is None:
            headers = {"Authorization": f"Bearer {self._token}"}
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False, headers=headers)
        query = {"after": str(after), "limit": str(limit)}
        try:
            async with self._session.get(f"{self._url}/audit", params=query) as answer:
                if answer.status != 200:
                    raise ConnectionError(f"the audit log answers {answer.status}")
                page: dict[str, Any] = await answer.json()
                return page
        except aiohttp.ClientError as error:
            raise ConnectionError(f"the audit log cannot be read: {error}") from error
