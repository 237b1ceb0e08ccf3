"""One rollback from the audit log to its report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from lab.canary.report import Item, Outcome
from lab.canary.restore import Restorer
from lab.canary.services import AuditLog
from lab.canary.status import Rollback
from lab.canary.undo import Change, changes
from lab.core.clock import Clock, parse_rfc3339

SETTLE_SECONDS = 0.5
"""A request that was let through just before the mode changed is recorded when it is answered."""

ROUNDS = 5
Progress = Callable[[Rollback], Awaitable[None]]


class Rollbacker:
    """Reads what was done, takes it back, and looks again whether more was done meanwhile."""

    def __init__(self, audit: AuditLog, restorer: Restorer, clock: Clock) -> None:
        self._audit = audit
        self._restorer = restorer
        self._clock = clock

    async def run(self, rollback: Rollback, log_time: str, progress: Progress) -> Rollback:
        """The rollback, done. log_time: of record `rollback.after`, to see that the log is still the same.

        `progress` is awaited after the rehearsal and after every object. Raises ConnectionError or
        TimeoutError when a part does not answer; doing it again is safe.
        """
        if not rollback.dry_run:
            await self._clock.sleep(SETTLE_SECONDS)
        seen: list[Change] = []
        for _ in range(ROUNDS):
            rollback, found = await self._changes(rollback, log_time)
            if seen and len(found) == len(seen):
                break
            seen = found
            rollback = await self._rehearse(rollback, found)
            await progress(rollback)
            if not found or rollback.dry_run:
                break
            async for item in self._restorer.restore(found):
                rollback = replace(rollback, items=_with(rollback.items, item))
                await progress(rollback)
        return replace(rollback, done=True)

    async def _rehearse(self, rollback: Rollback, found: list[Change]) -> Rollback:
        """With what a dry run says of each object, known before the first is written."""
        async for item in self._restorer.restore(found, dry_run=True):
            rollback = replace(rollback, items=_with(rollback.items, item))
        return rollback

    async def _changes(self, rollback: Rollback, log_time: str) -> tuple[Rollback, list[Change]]:
        records, _ = await self._audit.records(max(rollback.after - 1, 0))
        since = rollback.since
        if rollback.after:
            first = records[0] if records else None
            if first is None or first.seq != rollback.after or (log_time and first.time != log_time):
                lost = "the audit log has begun anew since; what was done before that cannot be restored"
                rollback = replace(rollback, warnings=tuple(dict.fromkeys((*rollback.warnings, lost))))
                (records, _), since = await self._audit.records(0), since or log_time
            else:
                records = records[1:]
        if since:
            earliest = parse_rfc3339(since)
            records = [record for record in records if parse_rfc3339(record.time) >= earliest]
        return rollback, changes(records)


def _with(items: tuple[Item, ...], item: Item) -> tuple[Item, ...]:
    """The items with this one. What needs nothing any more was restored, if it was to be: by an attempt that
    was cut off."""
    before = next((old for old in items if old.target == item.target), None)
    if before is not None and item.outcome is Outcome.NOTHING:
        if before.outcome is Outcome.RESTORED:
            return items
        if before.outcome is Outcome.WOULD_RESTORE:
            item = replace(before, outcome=Outcome.RESTORED)
    return (*(old for old in items if old.target != item.target), item)
