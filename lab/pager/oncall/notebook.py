"""What the human keeps in mind, and what it writes down at the pager."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lab.core.clock import Clock, TimeScale
from lab.core.incident import Incident
from lab.pager.oncall.clients import Pager, human_action

log = logging.getLogger("lab.oncall")


@dataclass(slots=True)
class Memory:
    """What the human keeps in mind. All of it may be lost in a restart without harm."""

    looks: int = 0
    mine: set[str] = field(default_factory=set)
    """Incidents that the human has turned to."""
    not_before: dict[str, datetime] = field(default_factory=dict)
    in_vain: dict[str, datetime] = field(default_factory=dict)
    """Partition to when a restart did not help."""
    fixes: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    """Partition to when the developers' fix is due, and the incident."""


class Notebook:
    """Reports, posts, and when to come back to an incident."""

    def __init__(self, pager: Pager, memory: Memory, clock: Clock, scale: TimeScale) -> None:
        self._pager = pager
        self._memory = memory
        self._clock = clock
        self._scale = scale

    async def report(
        self,
        incident: Incident,
        action: str,
        started: datetime,
        *,
        pod: str = "",
        reason: str = "",
        outcome: str = "",
    ) -> None:
        """Report an action that began at `started` and is done now. Raises ConnectionError."""
        done = human_action(action, started, self._clock.now(), pod=pod, reason=reason, outcome=outcome)
        await self._pager.add_action(incident.id, done)
        log.info("%s: %s %s %s", incident.id, action, pod, outcome)

    async def say(self, incident: Incident, text: str) -> None:
        """Post to the team channel. Raises ConnectionError."""
        await self._pager.post_status(text, incident.id)

    def come_back(self, incident: Incident, lab_minutes: float) -> None:
        """Do not look at the incident again before so many lab minutes."""
        later = self._clock.now() + timedelta(seconds=self._scale.real(minutes=lab_minutes))
        self._memory.not_before[incident.id] = later
