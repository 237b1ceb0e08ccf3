"""The book: all that the pager decides, one part per noun, over one store.

alerts ─► episodes ─┐
people ─► incidents, escalations, approvals, dead letters, silences, roster ─► store ─► journal
time   ─► tick ─────┘
"""

from __future__ import annotations

from lab.pager.approvals import Approvals
from lab.pager.dead_letters import DeadLetters
from lab.pager.episodes import Episodes
from lab.pager.escalations import Escalations
from lab.pager.incidents import Incidents
from lab.pager.ladder import Ladder
from lab.pager.roster import Roster
from lab.pager.silences import Silences
from lab.pager.store import Store
from lab.pager.trouble import Rows, Trouble
from lab.pager.webhooks import Webhooks


class Book:
    """The parts, wired. Synchronous, hence atomic on one event loop. rows: the faults that bite now."""

    def __init__(self, store: Store, rows: Rows = tuple) -> None:
        self.store = store
        self.silences = Silences(store)
        self.ladder = Ladder(store, self.silences)
        self.episodes = Episodes(store, self.ladder, self.silences)
        self.escalations = Escalations(store, self.ladder)
        self.incidents = Incidents(store, self.escalations)
        self.approvals = Approvals(store)
        self.dead_letters = DeadLetters(store)
        self.webhooks = Webhooks(store, self.dead_letters)
        self.roster = Roster(store, self.ladder)
        self.trouble = Trouble(store, self.episodes, self.incidents, rows)

    def remember(self) -> None:
        """Read the journal. Raises JournalError when it cannot be written."""
        self.store.remember()
        self.episodes.remember()

    def tick(self) -> None:
        """Let time pass: leases, ladders, approvals and replayed letters end. Raises JournalError."""
        self.silences.tick()
        self.trouble.tick()
        self.episodes.tick()
        self.ladder.tick()
        self.approvals.tick()
        self.dead_letters.tick()
