"""Pages of a list: each page continues the snapshot of the first.

A continue token names a snapshot kept in memory. Snapshots are references to shared objects and cost little;
when the oldest has been dropped, or the process has restarted, the token is expired (410), as it is upstream
after a compaction.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Sequence

import orjson

from lab.kube.objects import KubeObject
from lab.kube.status import StatusError, bad_request, gone
from lab.localkube.protocols import ListResult

_KEPT_SNAPSHOTS = 64
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter."
)


class Pager:
    """Splits lists into pages and finds the rest again."""

    def __init__(self) -> None:
        self._snapshots: OrderedDict[int, Sequence[KubeObject]] = OrderedDict()
        self._next = 0

    def first(self, items: Sequence[KubeObject], rv: int, limit: int, *, filtered: bool) -> ListResult:
        """The first page; `filtered` lists do not tell how much remains."""
        return self._page(items, rv, 0, limit, None, filtered=filtered)

    def after(self, token: str, limit: int, *, filtered: bool) -> ListResult:
        """The page that a continue token stands for. Raises StatusError 400 or 410."""
        snapshot, start, rv = self._read(token)
        items = self._snapshots.get(snapshot)
        if items is None:
            raise gone(_EXPIRED)
        return self._page(items, rv, start, limit, snapshot, filtered=filtered)

    def _page(
        self,
        items: Sequence[KubeObject],
        rv: int,
        start: int,
        limit: int,
        snapshot: int | None,
        *,
        filtered: bool,
    ) -> ListResult:
        end = start + limit if limit > 0 else len(items)
        page = items[start:end]
        if end >= len(items):
            return ListResult(page, rv)
        if snapshot is None:
            snapshot = self._keep(items)
        remaining = None if filtered else len(items) - end
        return ListResult(page, rv, self._token(snapshot, end, rv), remaining)

    def _keep(self, items: Sequence[KubeObject]) -> int:
        self._next += 1
        self._snapshots[self._next] = items
        while len(self._snapshots) > _KEPT_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return self._next

    @staticmethod
    def _token(snapshot: int, start: int, rv: int) -> str:
        body = orjson.dumps({"v": "meta.k8s.io/v1", "rv": rv, "start": start, "snapshot": snapshot})
        return base64.urlsafe_b64encode(body).decode().rstrip("=")

    @staticmethod
    def _read(token: str) -> tuple[int, int, int]:
        try:
            body = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            return int(body["snapshot"]), int(body["start"]), int(body["rv"])
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise bad_request(f"continue key is not valid: {token}") from None


def version_number(text: str, name: str = "resourceVersion") -> int:
    """A resource version as a number. Raises StatusError 400."""
    if text and not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 1 << 64):
        raise bad_request(f'Invalid value: "{text}": {name}: must be an unsigned integer')
    return int(text or 0)


def check_not_future(requested: int, current: int) -> None:
    """Refuse a resource version that has not come yet. Raises StatusError 504."""
    if requested > current:
        raise StatusError(
            504,
            "Timeout",
            f"Timeout: Too large resource version: {requested}, current: {current}",
            details={
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            },
        )
