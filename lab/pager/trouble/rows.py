"""The rows for the pager, and what each has done so far."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from lab.core.clock import Clock
from lab.core.fault_row import FaultRow
from lab.core.incident import Incident
from lab.core.seed import stream
from lab.pager.alerts import Alert
from lab.pager.episodes import Episodes
from lab.pager.store import WrongState

PART = "pager"
"""Whose rows these are."""

DUPLICATE = "duplicate-notifications"
LATE = "late-notifications"
REFIRED = "refired-alerts"
TRUNCATED = "truncated-notifications"
STORM = "alert-storm"
FLAPPING = "flapping-alert"
NEVER_RESOLVES = "never-resolves"

Rows = Callable[[], Sequence[FaultRow]]
"""Those of this part that are active now."""

_NEEDS = {
    DUPLICATE: {"copies", "afterSeconds"},
    LATE: {"hop", "delaySeconds"},
    REFIRED: {"afterSeconds", "forSeconds"},
    TRUNCATED: {"maxAlerts"},
    STORM: {"count", "spreadSeconds"},
    FLAPPING: {"firingSeconds", "resolvedSeconds"},
    NEVER_RESOLVES: set[str](),
}
log = logging.getLogger("lab.pager.trouble")


@dataclass(slots=True)
class Lasting:
    """A made-up alert that fires from one instant until another. over: it has been ended."""

    alert: Alert
    begins: datetime
    ends: datetime
    over: bool = False


@dataclass(slots=True)
class Bite:
    """What one row has done so far. In memory: a restart of the pager begins it anew.

    since: when it was seen first. renewed: when the alerts that it keeps alive were pushed last. fired: how
    many of them. withheld: ends of alerts, by fingerprint. held: alerts, and when they may arrive. again:
    incident to the alert that fires again after its end.
    """

    row: FaultRow
    since: datetime
    renewed: datetime | None = None
    fired: int = 0
    alerts: list[Alert] = field(default_factory=list)
    withheld: dict[str, Alert] = field(default_factory=dict)
    held: list[tuple[datetime, Alert]] = field(default_factory=list)
    again: dict[str, Lasting] = field(default_factory=dict)

    def span(self, name: str) -> timedelta:
        """A parameter in seconds."""
        return timedelta(seconds=float(self.row.parameters[name]))

    def matches(self, alertname: str) -> bool:
        """Whether the row's pattern takes alerts of that name."""
        return fnmatchcase(alertname, str(self.row.parameters.get("alert", "*")))

    def hits(self, incident: Incident) -> bool:
        """Whether pattern and probability take the incident: the seed and its id decide."""
        if not self.matches(incident.alertname):
            return False
        probability = float(self.row.parameters.get("probability", 1.0))
        return stream(self.row.seed, incident.id).random() < probability

    def renews(self, now: datetime, every: timedelta) -> bool:
        """Whether it is time to push what is kept alive; then that counts as done."""
        if self.renewed is not None and now - self.renewed < every:
            return False
        self.renewed = now
        return True


class Bites:
    """The active rows, each with what it has done."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._bites: dict[str, Bite] = {}
        self._refused: set[str] = set()

    def of(self, fault: str) -> list[Bite]:
        """Those of one kind that bite now."""
        return [bite for bite in map(self._bite, self._known()) if bite.row.fault == fault]

    def ids(self) -> set[str]:
        """All that bite now."""
        return {row.id for row in self._known()}

    def take_over(self) -> list[Bite]:
        """Those that bit until now and no longer do; they are given once."""
        over = self._bites.keys() - self.ids()
        return [self._bites.pop(identity) for identity in sorted(over)]

    def _bite(self, row: FaultRow) -> Bite:
        if row.id not in self._bites:
            self._bites[row.id] = Bite(row, self._clock.now())
        return self._bites[row.id]

    def _known(self) -> list[FaultRow]:
        known = []
        for row in self._rows():
            if _NEEDS.get(row.fault, {""}) <= row.parameters.keys():
                known.append(row)
            elif row.id not in self._refused:
                self._refused.add(row.id)
                log.warning("%s: the pager cannot carry out %s", row.id, row.fault)
        return known


def push(episodes: Episodes, alerts: Iterable[Alert]) -> None:
    """As if Prometheus had sent them; one for which there is no room is left out. Raises JournalError."""
    for alert in alerts:
        try:
            episodes.receive([alert])
        except WrongState as error:
            log.warning("%s is left out: %s", alert.name, error.message)
