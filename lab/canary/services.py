"""What the canary asks of others over HTTP: Prometheus, the gateway's audit log, the pager's channel."""

from __future__ import annotations

from typing import Any, Protocol

from lab.core.audit import AuditRecord
from lab.jsonhttp import HttpJson

BY = "canary"
PAGE = 1000


class AuditLog(Protocol):
    """Where the truth about the automation's actions is read. Both methods raise ConnectionError."""

    async def last(self) -> tuple[int, str]:
        """Number and time of the newest record; 0 and an empty text before the first."""

    async def records(self, after: int) -> tuple[list[AuditRecord], int]:
        """Every record above a number, oldest first, and the number of the newest there is."""


class GatewayAudit(HttpJson):
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


class PagerChannel(HttpJson):
    """The team's channel."""

    async def post(self, text: str) -> None:
        """Say something. Raises ConnectionError."""
        await self.call("POST", "/api/v1/status", {"by": BY, "text": text, "incident": None})
