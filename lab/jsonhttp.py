"""JSON over HTTP from one part of the lab to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=10.0)


class HttpJson:
    """One base URL, one connection pool. Every failure is a ConnectionError that says what was asked."""

    def __init__(self, base: str, token: str = "") -> None:
        self._base = base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """One request; the decoded answer. Raises ConnectionError."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False, headers=self._headers)
        try:
            async with self._session.request(
                method, self._base + path, json=body, params=dict(query or {})
            ) as answer:
                if answer.status >= 400:
                    text = " ".join((await answer.text())[:300].split())
                    raise ConnectionError(f"{method} {path}: {answer.status} {text}")
                return await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ConnectionError(f"{method} {self._base}{path}: {error or type(error).__name__}") from error

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None
