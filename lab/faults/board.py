"""The reading side of the rows: a part of the lab follows the ConfigMap and asks which faults bite now.

board = Board("gateway", kube, clock)
following = asyncio.create_task(board.follow())
...
for row in board.active(): ...
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from lab.core.clock import Clock
from lab.core.fault_row import DIRECTIVES, FaultRow
from lab.kube.client import KubeClient
from lab.kube.status import StatusError

log = logging.getLogger("faults.board")
_AGAIN_SECONDS = 1.0


class Board:
    """The rows for one part. While the API server is away the last rows hold, until their leases are over."""

    def __init__(self, part: str, clock: Clock) -> None:
        self._part = part
        self._clock = clock
        self._rows: tuple[FaultRow, ...] = ()

    def active(self) -> list[FaultRow]:
        """Those that bite now, in the order of their identities."""
        if not self._rows:
            return []
        now = self._clock.now()
        return [row for row in self._rows if row.active(now)]

    def put(self, data: Mapping[str, str]) -> None:
        """Take over the ConfigMap's data; a value that is not a row is skipped and logged."""
        rows = []
        for key, text in sorted(data.items()):
            try:
                row = FaultRow.from_json(text)
            except ValueError as error:
                log.warning("%s: %s", key, error)
                continue
            if row.part == self._part:
                rows.append(row)
        self._rows = tuple(rows)

    async def follow(self, kube: KubeClient) -> None:
        """Watch the ConfigMap for ever. What breaks off is tried again a second later."""
        namespace, name = DIRECTIVES
        while True:
            try:
                async for event in kube.watch(
                    "configmaps", namespace, field_selector=f"metadata.name={name}"
                ):
                    if event["type"] in ("ADDED", "MODIFIED"):
                        self.put(event["object"].get("data") or {})
                    elif event["type"] == "DELETED":
                        self.put({})
            except (StatusError, ConnectionError, TimeoutError, OSError) as error:
                log.warning("the faults cannot be followed: %s", str(error)[:200])
            await self._clock.sleep(_AGAIN_SECONDS)
