"""What the monitoring faults make of a scrape. Each fault keeps what it needs, and only while it bites.

    the target's answer ─► frozen-metrics ─► scrape-lag ─► missing-series ─► scrape-gap ─► Prometheus

With a lag, Prometheus first sees time stand still and then everything late: that is how a pipeline falls
behind, and no counter ever goes back. When the lag ends it is caught up at once.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lab.core.fault_row import FaultRow
from lab.core.seed import stream
from lab.slo.scrape_text import EVERY, name_matches, split, stamp

PART = "scrape"
"""Whose rows these are."""

SCRAPE_LAG = "scrape-lag"
FROZEN_METRICS = "frozen-metrics"
MISSING_SERIES = "missing-series"
SCRAPE_GAP = "scrape-gap"

KEPT_ANSWERS = 200
"""Of one target, while a lag bites: the memory's bound. A long lag is played back in coarser steps."""

FORGET_SECONDS = 120.0
"""After so long without a scrape a target is gone, and what was kept of it goes too: real seconds."""

GATEWAY_TIMEOUT = 504


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target said, as plain text. status: of HTTP; anything but 200 is a failed scrape."""

    status: int
    text: str = ""

    @property
    def failed(self) -> bool:
        """Whether Prometheus takes no samples from it."""
        return self.status != 200


@dataclass(frozen=True, slots=True)
class Scrape:
    """One request of Prometheus.

    target: the identity of what is asked. pod, app: its pod's name and label. at: seconds since 1970.
    """

    target: str
    pod: str
    app: str
    at: float


@dataclass(slots=True)
class _Memory:
    """What one row remembers of one target: answers, compressed, oldest first; and its chance.

    seen: the last scrape, in seconds since 1970.
    """

    chance: random.Random
    seen: float
    answers: deque[tuple[float, int, bytes]] = field(default_factory=deque)

    def keep(self, at: float, answer: Answer) -> None:
        self.answers.append((at, answer.status, zlib.compress(answer.text.encode(), 1)))

    def oldest(self) -> tuple[float, Answer]:
        at, status, packed = self.answers[0]
        return at, Answer(status, zlib.decompress(packed).decode())


class ScrapeFaults:
    """The rows that bite, applied to answers. rows: those of this part that are active now."""

    def __init__(self, rows: Callable[[], Sequence[FaultRow]]) -> None:
        self._rows = rows
        self._memory: dict[str, dict[str, _Memory]] = {}

    def biting(self, scrape: Scrape) -> list[FaultRow]:
        """Those that touch this scrape, in the order in which they apply. Forgets rows that are gone."""
        rows = self._rows()
        if self._memory:
            active = {row.id for row in rows}
            self._memory = {key: value for key, value in self._memory.items() if key in active}
        hits = [row for row in rows if row.fault in _EFFECTS and _hits(row, scrape)]
        return sorted(hits, key=lambda row: _ORDER.index(row.fault))

    def knows(self, rows: Sequence[FaultRow], scrape: Scrape) -> bool:
        """Whether the target need not be asked: all that it said is frozen, even if it no longer answers."""
        return any(
            row.fault == FROZEN_METRICS and _pattern(row) == EVERY and self._of(row, scrape).answers
            for row in rows
        )

    def apply(self, rows: Sequence[FaultRow], scrape: Scrape, answer: Answer) -> Answer:
        """What Prometheus gets instead."""
        for row in rows:
            answer = _EFFECTS[row.fault](row, self._of(row, scrape), scrape, answer)
        return answer

    def _of(self, row: FaultRow, scrape: Scrape) -> _Memory:
        memories = self._memory.setdefault(row.id, {})
        memory = memories.get(scrape.target)
        if memory is None:
            gone = [key for key, old in memories.items() if scrape.at - old.seen > FORGET_SECONDS]
            for key in gone:
                del memories[key]
            memory = memories[scrape.target] = _Memory(stream(row.seed, scrape.pod), scrape.at)
        memory.seen = scrape.at
        return memory


def _hits(row: FaultRow, scrape: Scrape) -> bool:
    """Whether the row's selectors take the pod: its app, and its place in the seeded order of all pods."""
    if not name_matches(scrape.app, str(row.parameters.get("app", EVERY))):
        return False
    digest = hashlib.sha256(f"{row.seed}\0{scrape.pod}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < float(row.parameters.get("share", 1.0))


def _lag(row: FaultRow, memory: _Memory, scrape: Scrape, answer: Answer) -> Answer:
    lag = float(row.parameters["lagSeconds"])
    kept = memory.answers
    if not kept or scrape.at - kept[-1][0] >= lag / KEPT_ANSWERS:
        memory.keep(scrape.at, answer)
    while len(kept) > 1 and kept[1][0] <= scrape.at - lag:
        kept.popleft()
    at, old = memory.oldest()
    if row.parameters.get("timestamps", True) and not old.failed:
        old = replace(old, text=stamp(_chosen(row, old.text), int(at * 1000)))
    return _mixed(row, answer, old)


def _frozen(row: FaultRow, memory: _Memory, scrape: Scrape, answer: Answer) -> Answer:
    if not memory.answers:
        if answer.failed:
            return answer
        memory.keep(scrape.at, answer)
    return _mixed(row, answer, memory.oldest()[1])


def _missing(row: FaultRow, memory: _Memory, scrape: Scrape, answer: Answer) -> Answer:
    return answer if answer.failed else Answer(answer.status, split(answer.text, _pattern(row))[1])


def _gap(row: FaultRow, memory: _Memory, scrape: Scrape, answer: Answer) -> Answer:
    if memory.chance.random() >= float(row.parameters.get("probability", 1.0)):
        return answer
    return Answer(GATEWAY_TIMEOUT, "the target did not answer in time\n")


def _pattern(row: FaultRow) -> str:
    return str(row.parameters.get("metric", EVERY))


def _chosen(row: FaultRow, text: str) -> str:
    return split(text, _pattern(row))[0]


def _mixed(row: FaultRow, fresh: Answer, old: Answer) -> Answer:
    """The old answer as far as the row's pattern goes, the fresh one for the rest."""
    if _pattern(row) == EVERY:
        return old
    if fresh.failed:
        return fresh
    return replace(fresh, text=split(fresh.text, _pattern(row))[1] + _chosen(row, old.text))


_EFFECTS: dict[str, Callable[[FaultRow, _Memory, Scrape, Answer], Answer]] = {
    FROZEN_METRICS: _frozen,
    SCRAPE_LAG: _lag,
    MISSING_SERIES: _missing,
    SCRAPE_GAP: _gap,
}
_ORDER = tuple(_EFFECTS)
