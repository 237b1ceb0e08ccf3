"""All monitoring faults of the pager, over one book."""

from __future__ import annotations

from lab.pager.episodes import Episodes
from lab.pager.incidents import Incidents
from lab.pager.store import Store
from lab.pager.trouble.hearing import Hearing
from lab.pager.trouble.inventions import Inventions
from lab.pager.trouble.raising import Raising
from lab.pager.trouble.rows import Bites, Rows
from lab.pager.trouble.telling import Telling

ORPHAN_SECONDS = 5.0
"""After a start the rows take a moment to arrive; until then nothing that was made up is over."""


class Trouble:
    """Its parts, wired. rows: those of this part that are active now."""

    def __init__(self, store: Store, episodes: Episodes, incidents: Incidents, rows: Rows) -> None:
        self._store = store
        self._bites = Bites(rows, store.clock)
        self._inventions = Inventions(store, episodes, incidents)
        self._raising = Raising(store, self._inventions, self._bites)
        self.hearing = Hearing(store, episodes, self._bites)
        self.telling = Telling(store, self._bites)
        self._started = store.clock.monotonic()

    def bites(self, row: str) -> bool:
        """Whether that row still does."""
        return row in self._bites.ids()

    def tick(self) -> None:
        """Carry on what the rows ask for, and end what they no longer do. Raises JournalError."""
        now = self._store.clock.now()
        self._raising.tick(now)
        self.hearing.tick(now)
        self.telling.tick()
        for bite in self._bites.take_over():
            self.hearing.conclude(bite)
            self._inventions.conclude(bite.row.id)
            self._store.wake()
        if self._store.state.invented and self._store.clock.monotonic() - self._started >= ORPHAN_SECONDS:
            for row in set(self._store.state.invented.values()) - self._bites.ids():
                self._inventions.conclude(row)
