"""A rollback reads the log again after writing, notices one that began anew, and remembers what it did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from canary_stage import BEFORE, DIFF, MovedClock, record

from lab.canary.report import Item, Outcome
from lab.canary.rollback import Rollbacker
from lab.canary.status import Rollback
from lab.canary.undo import Change
from lab.core.audit import AuditRecord


class WrittenLog:
    """An audit log to which requests on their way are added while it is read."""

    def __init__(self, *pages: Sequence[AuditRecord]) -> None:
        self.pages = list(pages)

    async def last(self) -> tuple[int, str]:
        return self.pages[0][-1].seq, self.pages[0][-1].time

    async def records(self, after: int) -> tuple[list[AuditRecord], int]:
        page = self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]
        return [entry for entry in page if entry.seq > after], page[-1].seq


class Undone:
    """Says of each change that it is restored, and of one that it has seen already that nothing is to do."""

    def __init__(self) -> None:
        self.done: list[int] = []

    async def restore(self, changes: Sequence[Change], *, dry_run: bool = False) -> AsyncIterator[Item]:
        for change in reversed(changes):
            outcome = Outcome.WOULD_RESTORE if dry_run else Outcome.RESTORED
            if change.seq in self.done:
                outcome = Outcome.NOTHING
            elif not dry_run:
                self.done.append(change.seq)
            yield Item(str(change.target), (change.seq,), outcome)


def scaled(seq: int, name: str, time: str = "2030-01-01T00:00:05Z") -> AuditRecord:
    return record(seq=seq, name=name, time=time, before=BEFORE, diff=DIFF)


async def run(log: WrittenLog, rollback: Rollback, time: str = "") -> tuple[Rollback, list[Rollback]]:
    saved: list[Rollback] = []

    async def save(now: Rollback) -> None:
        saved.append(now)

    rollbacker = Rollbacker(log, Undone(), MovedClock())  # type: ignore[arg-type]
    return await rollbacker.run(rollback, time, save), saved


ASKED = Rollback("analysis-failed", "canary", "2030-01-01T00:00:09Z", after=1)
START = scaled(1, "before", "2030-01-01T00:00:00Z")


async def test_a_request_that_was_on_its_way_is_taken_back_too():
    first = [START, scaled(2, "a")]
    log = WrittenLog(first, [*first, scaled(3, "late")], [*first, scaled(3, "late")])
    done, saved = await run(log, ASKED, START.time)
    assert [(item.target, item.outcome) for item in done.items] == [
        ("deployments.apps shop/a", Outcome.RESTORED),
        ("deployments.apps shop/late", Outcome.RESTORED),
    ]
    assert done.done
    assert saved[0].items[0].outcome is Outcome.WOULD_RESTORE  # rehearsed before the first write


async def test_a_log_that_began_anew_is_said_and_read_from_its_start():
    log = WrittenLog([scaled(1, "a"), scaled(2, "b")])
    done, _ = await run(log, Rollback("manual", "ann", "2030-01-01T00:00:09Z", after=2), START.time)
    assert len(done.items) == 2
    assert "begun anew" in done.warnings[0]
    same, _ = await run(WrittenLog([START, scaled(2, "a")]), ASKED, START.time)
    assert same.warnings == ()


async def test_only_what_was_done_since_is_taken_back_when_a_time_is_given():
    log = WrittenLog([scaled(1, "old", "2030-01-01T00:00:01Z"), scaled(2, "new", "2030-01-01T00:00:02Z")])
    asked = Rollback("command", "ann", "2030-01-01T00:00:09Z", since="2030-01-01T00:00:02Z", dry_run=True)
    done, _ = await run(log, asked)
    assert [item.target for item in done.items] == ["deployments.apps shop/new"]
    assert [item.outcome for item in done.items] == [Outcome.WOULD_RESTORE]


async def test_nothing_done_is_nothing_to_take_back():
    done, saved = await run(WrittenLog([START]), ASKED, START.time)
    assert (done.items, done.done, len(saved)) == ((), True, 1)
