"""A pager that dies in every write of an evening, and is asked once more: nothing lost, nothing doubled."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from pager_harness import SCALE, VirtualClock
from prometheus_client import CollectorRegistry

from lab.core.approval import ApprovalStatus, Deed
from lab.core.fault_row import FaultRow
from lab.faults.registry import FAULTS, SPECS
from lab.faults.rows import RowFault
from lab.pager.alerts import Alert
from lab.pager.book import Book
from lab.pager.delivery import FIRING
from lab.pager.journal import Journal, Record
from lab.pager.meters import PagerMeters
from lab.pager.state import PagerState
from lab.pager.store import RequestKey, Store, WrongState
from lab.pager.trouble import PART
from lab.pager.trouble.rows import REFIRED, STORM
from lab.pager.values import Level, Webhook

STORM_ROW = FaultRow("storm-1", STORM, "pager", {"count": 3, "spreadSeconds": 0.0}, None, 7)
REFIRED_PARAMETERS = {"afterSeconds": 1.0, "forSeconds": 2.0, "alert": "*", "probability": 1.0}
REFIRED_ROW = FaultRow("refired-1", REFIRED, "pager", REFIRED_PARAMETERS, None, 7)
DEED = Deed("delete", "", "pods", "", "shop", "worker-1")


class Dead(BaseException):
    """The process ends here."""


class MortalJournal(Journal):
    """Dies in its write number `last` (0 is the first; None: never), after as many bytes as `cut` says."""

    def __init__(self, path: Path, last: int | None = None, cut: Callable[[bytes], int] = len) -> None:
        super().__init__(path)
        self.path, self.last, self.cut = path, last, cut
        self.writes: list[list[Record]] = []

    def append(self, records: Any) -> None:
        before = self.path.read_bytes() if self.path.exists() else b""
        super().append(records)
        self.writes.append(list(records))
        if len(self.writes) - 1 == self.last:
            written = self.path.read_bytes()[len(before) :]
            self.path.write_bytes(before + written[: self.cut(written)])
            raise Dead


CUTS: dict[str, Callable[[bytes], int]] = {
    "nothing": lambda written: 0,
    "half": lambda written: len(written) // 2,
    "first-line": lambda written: written.index(b"\n", 0, -1) + 1 if b"\n" in written[:-1] else 1,
    "no-end": lambda written: len(written) - 1,
    "all": len,
}
"""How much of the write arrives."""

SLOW = ("half", "no-end", "all")


class Evening:
    """One pager after the other on one journal, and what its clients want of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, VirtualClock()
        self.rows: tuple[FaultRow, ...] = ()
        self.start()

    def start(self, last: int | None = None, cut: Callable[[bytes], int] = len) -> None:
        self.journal = MortalJournal(self.path, last, cut)
        meters = PagerMeters(CollectorRegistry())
        self.book = Book(Store(self.journal, self.clock, SCALE, meters, PagerState()), lambda: self.rows)
        self.book.remember()

    def ask(self, key: str, do: Callable[[Book], Any]) -> Any:
        """A request with an Idempotency-Key, as the server answers it."""
        store = self.book.store
        past = store.state.answers.get(key)
        if past is not None:
            return json.loads(past.body)
        with store.answering(request := RequestKey(key, "digest", 200)):
            answer = do(self.book)
        store.keep_answer(request, 200, json.dumps(answer.as_dict()))
        return answer.as_dict()

    def fire(self, *names: str, ends: float = 900.0) -> None:
        now = self.clock.now()
        starts = VirtualClock().now()
        labels = [{"alertname": name, "severity": "critical"} for name in names]
        self.book.episodes.receive(
            Alert(one, {"summary": "It burns"}, starts, now + timedelta(seconds=ends)) for one in labels
        )

    def incident(self, name: str) -> Any:
        return next(i for i in self.book.store.state.incidents.values() if i.alertname == name)

    def only(self, table: dict[str, Any]) -> str:
        (identity,) = table
        return str(identity)

    @property
    def webhook(self) -> Webhook:
        return self.book.store.state.webhooks["bot"]


Step = Callable[[Evening], Any]


def later(seconds: float) -> Step:
    return lambda evening: evening.clock.advance(seconds)


def rows(*given: FaultRow) -> Step:
    def change(evening: Evening) -> None:
        evening.rows = given

    return change


def keyed(key: str, do: Callable[[Evening, Book], Any]) -> Step:
    return lambda evening: evening.ask(key, lambda book: do(evening, book))


def tick(evening: Evening) -> None:
    evening.book.tick()


def tell(failure: str = "") -> Step:
    """What the delivery does: tell the receiver of the incident, unless it has been told."""

    def step(evening: Evening) -> None:
        incident = evening.incident("A")
        if evening.book.store.state.delivered["bot"].get(incident.id) == FIRING:
            return
        if failure:
            evening.book.webhooks.gave_up(evening.webhook, incident, FIRING, failure)
        else:
            evening.book.webhooks.told("bot", incident, FIRING)

    return step


HOOK = Webhook.from_dict({"name": "bot", "url": "http://127.0.0.1:1/", "matchers": []})
LADDER = [Level("first", "ann", 3.0), Level("second", "bob", 60.0)]
PATIENT = [Level("first", "ann", 60.0)]


def letters(evening: Evening) -> dict[str, Any]:
    return evening.book.store.state.dead_letters


def letter_of(evening: Evening, by: str) -> str:
    return next(letter.id for letter in letters(evening).values() if letter.by == by)


def approval(evening: Evening) -> str:
    return evening.only(evening.book.store.state.approvals)


def escalation(evening: Evening) -> str:
    return evening.only(evening.book.store.state.escalations)


def use(evening: Evening) -> Any:
    return evening.book.approvals.use(approval(evening), "gateway")


STEPS: tuple[Step, ...] = (
    keyed("ladder", lambda e, book: book.ladder.set_levels("ann", LADDER) or LADDER[0]),
    keyed("hook", lambda e, book: book.webhooks.put(HOOK) or HOOK),
    lambda evening: evening.fire("A", "B", "Watchdog"),
    lambda evening: evening.fire("A", "B"),
    tell("HTTP 404"),
    keyed("replay", lambda e, book: book.dead_letters.replay(letter_of(e, "pager"), "ann")),
    tell("HTTP 410"),
    keyed("replay 2", lambda e, book: book.dead_letters.replay(letter_of(e, "pager"), "ann")),
    tell(),
    keyed("post", lambda e, book: book.incidents.post_status("bot", "on it", e.incident("A").id)),
    keyed("hand over", lambda e, book: book.escalations.escalate("bot", "help", None, e.incident("A").id)),
    later(4),
    tick,
    keyed("take", lambda e, book: book.escalations.acknowledge(escalation(e), "ann")),
    keyed("acknowledge", lambda e, book: book.incidents.acknowledge(e.incident("A").id, "ann")),
    keyed("give up", lambda e, book: book.dead_letters.add("bot", "restart", {"pod": "x"})),
    keyed("give back", lambda e, book: book.dead_letters.replay(letter_of(e, "bot"), "ann")),
    keyed("done", lambda e, book: book.dead_letters.done(letter_of(e, "bot"), "bot")),
    keyed("ask", lambda e, book: book.approvals.request("bot", DEED, "it hangs", "backup")),
    keyed("approve", lambda e, book: book.approvals.approve(approval(e), "ann")),
    keyed("use", lambda e, book: book.approvals.use(approval(e), "gateway")),
    lambda evening: evening.fire("A", ends=0),
    keyed("patience", lambda e, book: book.ladder.set_levels("ann", PATIENT) or PATIENT[0]),
    rows(STORM_ROW, REFIRED_ROW),
    tick,
    later(6),
    rows(),
    tick,
    later(6),
    tick,
)


def live(evening: Evening, last: int | None = None, cut: Callable[[bytes], int] = len) -> bool:
    """All steps, with one death, after which the client or the clock asks again; whether there was one."""
    evening.start(last, cut)
    died = False
    for step in STEPS:
        try:
            step(evening)
        except Dead:
            died = True
            evening.start()
            step(evening)
    return died


def remembered(evening: Evening) -> list[str]:
    """The state as the journal gives it. When the faults' incidents end is not the point: a pager that was
    started anew waits a moment before it believes that a row is gone."""
    evening.start()
    return [orjson.dumps(record, option=orjson.OPT_SORT_KEYS).decode() for record in _timeless(evening)]


def _timeless(evening: Evening) -> Iterator[Record]:
    for record in evening.book.store.state.snapshot():
        value = record["value"]
        if record["kind"] in ("incident", "history") and "fault:" in str(value):
            value = {key: None if key.lower().endswith("at") else one for key, one in value.items()}
        yield record | {"value": value | {"endsAt": None} if record["kind"] == "incident" else value}


@pytest.mark.parametrize(
    "cut", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CUTS]
)
def test_whatever_write_it_dies_in_the_evening_ends_the_same(tmp_path: Path, cut: str) -> None:
    undisturbed = Evening(tmp_path / "undisturbed")
    assert not live(undisturbed)
    writes = len(undisturbed.journal.writes)
    assert writes >= 30
    wanted = remembered(undisturbed)
    for last in range(writes):
        evening = Evening(tmp_path / str(last))
        assert live(evening, last, CUTS[cut]), last
        assert remembered(evening) == wanted, f"dead in write {last}"


@pytest.mark.parametrize(
    ("cut", "used"), [("nothing", False), ("half", False), ("no-end", True), ("all", True)]
)
def test_an_approval_is_used_once_by_a_client_without_a_key_as_well(
    tmp_path: Path, cut: str, used: bool
) -> None:
    evening = Evening(tmp_path / "journal")
    evening.ask("ask", lambda book: book.approvals.request("bot", DEED, "it hangs", ""))
    evening.ask("approve", lambda book: book.approvals.approve(approval(evening), "ann"))
    evening.start(0, CUTS[cut])
    with pytest.raises(Dead):
        use(evening)
    evening.start()
    if used:
        with pytest.raises(WrongState, match="is used"):
            use(evening)
    else:
        use(evening)
    lines = [line.text for line in evening.book.store.state.history]
    assert sum(" used for " in line for line in lines) == 1
    assert evening.book.approvals.get(approval(evening)).status is ApprovalStatus.USED


PAGER_FAULTS = sorted(name for name, fault in FAULTS.items() if getattr(fault, "part", "") == PART)


OTHERWISE: dict[str, dict[str, Any]] = {"alert-storm": {"count": 6}, "late-notifications": {"hop": "alerts"}}
"""Parameters that are not the defaults."""


def row_of(name: str) -> FaultRow:
    """What the injector would write."""
    parameters = cast(RowFault, FAULTS[name]).row(SPECS[name].read(OTHERWISE.get(name, {})), SCALE)
    return FaultRow(f"{name}-0001", name, PART, parameters, None, 7)


def troubled(evening: Evening, name: str, last: int | None = None) -> bool:
    """Two alerts, of which one ends under the fault, and a Prometheus that says so again and again; whether
    the pager died."""
    evening.start(last)
    died, began = False, evening.clock.now()
    bites, ends, over = (
        began + timedelta(seconds=4),
        began + timedelta(seconds=9),
        began + timedelta(seconds=20),
    )
    while evening.clock.now() < over + timedelta(seconds=25):
        now = evening.clock.now()
        evening.rows = (row_of(name),) if bites <= now < over else ()
        for step in (push_a, push_b(began, min(ends, now + timedelta(seconds=15))), tick):
            try:
                step(evening)
            except Dead:
                died = True
                evening.start()
        evening.clock.advance(1)
    return died


def heard(evening: Evening, *alerts: Alert) -> None:
    evening.book.episodes.receive(evening.book.trouble.hearing.incoming(alerts))


def push_a(evening: Evening) -> None:
    lasts = evening.clock.now() + timedelta(seconds=15)
    heard(evening, Alert({"alertname": "A", "severity": "critical"}, {}, VirtualClock().now(), lasts))


def push_b(began: datetime, ends: datetime) -> Step:
    alert = Alert({"alertname": "B", "severity": "critical"}, {}, began, ends)
    return lambda evening: heard(evening, alert)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGER_FAULTS)
def test_whatever_write_it_dies_in_no_fault_is_left_in_the_pager(tmp_path: Path, name: str) -> None:
    for last in itertools.count():
        evening = Evening(tmp_path / str(last))
        died = troubled(evening, name, last)
        state = evening.book.store.state
        opened = [state.incidents[identity] for identity in state.open.values()]
        assert [incident.alertname for incident in opened] == ["A"], f"dead in write {last}"
        assert opened[0].starts_at == VirtualClock().now()
        assert state.invented == {}, f"dead in write {last}"
        if not died:
            break
    assert last >= 4, "two pages open and one ends, whatever the fault"
