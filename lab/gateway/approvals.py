"""Approvals, looked up at the pager: a person agreed that this actor does exactly this, once.

The order is safe against a crash: an approval is marked used before the request goes upstream. A gateway that
dies between the two has spent an approval for nothing, and the automation asks again; the other order could
act twice on one approval.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import aiohttp

from lab.core.approval import Approval, ApprovalStatus, Deed
from lab.kube.request import RequestInfo

_SECONDS = 5.0


class PagerAwayError(Exception):
    """The pager did not answer, or not sensibly; the message says how."""


class Approvals:
    """The pager's approvals. With an empty URL there is no pager, hence no approval."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def find(self, actor: str, info: RequestInfo, now: datetime) -> Approval | None:
        """An approved, unexpired and unused approval for exactly this actor, verb and target.

        Raises PagerAwayError when the pager cannot be asked.
        """
        wanted = deed_of(info)
        body = await self._call("GET", "/api/v1/approvals?status=approved")
        for entry in body.get("approvals") or ():
            try:
                approval = Approval.from_dict(entry)
            except (KeyError, ValueError, TypeError) as error:
                raise PagerAwayError(f"it answered an approval that cannot be read: {error!r}") from error
            if (
                approval.status is ApprovalStatus.APPROVED
                and approval.used_at is None
                and approval.expires_at > now
                and approval.requested_by == actor
                and approval.deed == wanted
            ):
                return approval
        return None

    async def use(self, approval: Approval) -> bool:
        """Mark it used; False when somebody else was first, or it can no longer be used.

        Raises PagerAwayError when that is not known.
        """
        try:
            body = await self._call("POST", f"/api/v1/approvals/{approval.id}/use", {"by": "gateway"})
        except _RefusedError:
            return False
        return body.get("status") == ApprovalStatus.USED

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        if not self._url:
            raise PagerAwayError("this gateway knows no pager (GATEWAY_PAGER_URL)")
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self._session.request(method, self._url + path, json=body, headers=headers) as answer,
            ):
                if answer.status in (404, 409, 410):
                    raise _RefusedError
                if answer.status >= 400:
                    raise PagerAwayError(f"it answered {answer.status}")
                decoded = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PagerAwayError(f"it did not answer: {type(error).__name__}") from error
        if not isinstance(decoded, dict):
            raise PagerAwayError("it did not answer with an object")
        return decoded


class _RefusedError(Exception):
    """The pager knows the approval, and says no."""


def deed_of(info: RequestInfo) -> Deed:
    """What a request does, as an approval names it."""
    return Deed(info.verb, info.group, info.resource, info.subresource, info.namespace, info.name)
