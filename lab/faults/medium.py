"""Where faults are carried out: rows in the shop's database, rows for other parts of the lab, objects.

A medium knows how; the journal knows what and when. All that a medium does goes by the identity of a journal
entry and may be done twice, so that an injector that was killed at any instant can simply do it again.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from lab.core.fault import FaultSpec, FaultTarget, JournalEntry
from lab.errors import LabError
from lab.kube.status import StatusError

AWAY = (psycopg.Error, ConnectionError, TimeoutError, StatusError, OSError)
"""What a database or an API server that is away raises."""


class NoVictimError(LabError):
    """There is nobody whom the fault can hit just now; the same request may succeed later."""


class OccupiedError(LabError):
    """The victim asked for has such a fault already."""


class Fault(Protocol):
    """One kind of fault. medium: the name of the medium that carries it out."""

    spec: FaultSpec
    medium: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What a medium is told besides the entries. held: entries of this medium that are open now."""

    held: Sequence[JournalEntry]
    chance: random.Random


class Medium(Protocol):
    """Raises what AWAY lists when its part of the world does not answer; the call is repeated later."""

    async def choose(
        self, fault: Fault, values: Mapping[str, Any], situation: Situation
    ) -> list[FaultTarget]:
        """The victims. Raises UsageError, OccupiedError, NoVictimError."""

    async def prepare(self, entry: JournalEntry) -> Mapping[str, Any]:
        """What undoing will need, read before anything is changed; it goes into the journal with the plan."""

    async def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Make these bite. They carry their lease already. What bites already stays as it is."""

    async def undo(self, entries: Sequence[JournalEntry]) -> Mapping[str, str] | None:
        """End these; what is gone, or never bit, is no error. Gives what else is to be noted, by identity."""

    async def ended(self, entries: Sequence[JournalEntry]) -> Mapping[str, str]:
        """Of these open entries, those that are over by themselves: identity to the journal's `undone_by`."""

    async def agree(self, entries: Sequence[JournalEntry]) -> None:
        """Make exactly these open entries bite, and none else that ever came from this injector."""
