"""What the canary asks of others over HTTP: Prometheus, the gateway's audit log, the pager's channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp

from lab.core.audit import AuditRecord

BY = "canary"
PAGE = 1000
_TIMEOUT = aiohttp.ClientTimeout(total=10.0)


class Service:
    """JSON over HTTP with one base URL. Every failure is a ConnectionError that says what was asked."""

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


class AuditLog(Protocol):
    """Where the truth about the automation's actions is read. Both methods raise ConnectionError."""

    async def last(self) -> tuple[int, str]:
        """Number and time of the newest record; 0 and an empty text before the first."""

    async def records(self, after: int) -> tuple[list[AuditRecord], int]:
        """Every record above a number, oldest first, and the number of the newest there is."""


class GatewayAudit(Service):
    """The audit log over the gateway's admin API."""

    async def last(self) -> tuple[int, str]:
        """Number and time of the newest record; 0 and an empty text before the first."""
        page = await self._page(0, 1)
        number = int(page["last"])
        if not number:
            return 0, ""
        found = (await self._page(number - 1, 1))["records"]
        return (int(found[0]["seq"]), str(found[0]["time"])) if found else (0, "")

    async def records(self, after: int) -> tuple[list[AuditRecord], int]:
        """Every record above a number, oldest first, and the number of the newest there is."""
        found: list[AuditRecord] = []
        while True:
            answer = await self._page(after, PAGE)
            page = answer["records"]
            found += [AuditRecord.from_dict(record) for record in page]
            if len(page) < PAGE:
                return found, int(answer["last"])
            after = int(page[-1]["seq"])

    async def _page(self, after: int, limit: int) -> dict[str, Any]:
        answer = await self.call("GET", "/audit", query={"after": str(after), "limit": str(limit)})
        if not isinstance(answer, dict) or not isinstance(answer.get("records"), list):
            raise ConnectionError("the gateway's audit log answered something else")
        return answer


class Channel(Protocol):
    """Where people read what happens. Raises ConnectionError."""

    async def post(self, text: str) -> None: ...


class PagerChannel(Service):
    """The team's channel."""

    async def post(self, text: str) -> None:
        """Say something. Raises ConnectionError."""
        await self.call("POST", "/api/v1/status", {"by": BY, "text": text, "incident": None})
