"""What people are asked besides incidents: approvals to decide, escalations to take.

The human looks at them between two incidents. Each has a moment before which the human has not read it yet,
drawn from the seed by its place in the pager's list, so the same requests get the same delays in every run of
a seed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from lab.core.approval import Approval, ApprovalStatus
from lab.core.clock import Clock
from lab.core.escalation import Escalation
from lab.pager.oncall.clients import HUMAN, Pager
from lab.pager.oncall.consent import consider
from lab.pager.oncall.pace import ACKNOWLEDGE, GLANCE, READ, Pace

log = logging.getLogger("lab.oncall")


class Requests:
    """The human's other duties."""

    def __init__(self, pager: Pager, pace: Pace, clock: Clock) -> None:
        self._pager = pager
        self._pace = pace
        self._clock = clock

    async def answer_one(self, mine: Collection[str]) -> bool:
        """Answer the oldest request that the human has read by now; whether there was one.

        mine: the incidents that the human works on. Raises ConnectionError.
        """
        return await self._decide() or await self._take(mine)

    async def _decide(self) -> bool:
        for number, request in enumerate(await self._pager.approvals()):
            if request.status is not ApprovalStatus.PENDING or request.requested_by == HUMAN:
                continue
            delay = self._pace.seconds(READ, number, "read")
            if self._is_read(request.requested_at, delay):
                await self._answer(request, number)
                return True
        return False

    async def _answer(self, request: Approval, number: int) -> None:
        await self._clock.sleep(self._pace.seconds(GLANCE, number, "consider"))
        is_open = bool(request.incident) and (await self._pager.incident(request.incident)).is_open
        consent = consider(request, is_open)
        if consent.given:
            await self._pager.approve(request.id, consent.why)
        else:
            await self._pager.refuse(request.id, consent.why)
        log.info("%s: %s: %s", request.id, "approved" if consent.given else "refused", consent.why)

    async def _take(self, mine: Collection[str]) -> bool:
        """Acknowledge an escalation about no incident, or about one that the human works on; the others are
        taken with their incident."""
        for number, escalation in enumerate(await self._pager.escalations()):
            if not self._is_for_me(escalation, mine):
                continue
            delay = self._pace.seconds(ACKNOWLEDGE, number, "escalation")
            if self._is_read(escalation.at, delay):
                await self._pager.acknowledge_escalation(escalation.id, HUMAN)
                log.info("acknowledged %s: %s", escalation.id, escalation.summary)
                return True
        return False

    @staticmethod
    def _is_for_me(escalation: Escalation, mine: Collection[str]) -> bool:
        is_loose = not escalation.incident or escalation.incident in mine
        return escalation.is_open and escalation.by != HUMAN and is_loose

    def _is_read(self, since: datetime, delay: float) -> bool:
        return self._clock.now() >= since + timedelta(seconds=delay)
