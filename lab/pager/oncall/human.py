"""The on-call human: is paged, acknowledges after a while, finds out, follows the runbook, writes it down.

One incident at a time, so a storm of pages makes a queue; requests are answered in between.

    request ─► read it ─► consider it ─► approve | refuse
    page ─► acknowledge ─► its runbook, or a glance ─► write it down ─► look again later
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from lab.core.clock import Clock, TimeScale
from lab.core.incident import NO_ACTION, Incident
from lab.kube.status import StatusError
from lab.pager.oncall.clients import HUMAN, Cluster, Developers, Pager
from lab.pager.oncall.notebook import Memory, Notebook
from lab.pager.oncall.pace import ACKNOWLEDGE, GLANCE, SECOND_LOOK_LAB_MINUTES, Pace
from lab.pager.oncall.requests import Requests
from lab.pager.oncall.runbook import Runbook
from lab.pager.oncall.sight import Querier, automation_is_up, is_partition
from lab.pager.oncall.triage import WAITING, Duty, next_incident
from lab.pager.people import same_person

POLL_LAB_MINUTES = 0.25

Failure = (ConnectionError, TimeoutError, StatusError)
log = logging.getLogger("lab.oncall")


class OnCall:
    """One person and one shift without end."""

    def __init__(
        self,
        pager: Pager,
        prometheus: Querier,
        cluster: Cluster,
        developers: Developers,
        *,
        pace: Pace,
        clock: Clock,
        scale: TimeScale,
    ) -> None:
        self._pager = pager
        self._prometheus = prometheus
        self._cluster = cluster
        self._pace = pace
        self._clock = clock
        self._scale = scale
        self.memory = Memory()
        self._requests = Requests(pager, pace, clock)
        self._notebook = Notebook(pager, self.memory, clock, scale)
        self._runbook = Runbook(
            pager,
            prometheus,
            cluster,
            developers,
            notebook=self._notebook,
            memory=self.memory,
            pace=pace,
            clock=clock,
            scale=scale,
        )

    async def shift(self) -> None:
        """Work for ever. A tool that fails is tried again; the person does not give up."""
        while True:
            try:
                worked = await self.step()
            except Failure as error:
                log.info("cannot go on now: %s", error)
                worked = False
            if not worked:
                await self._clock.sleep(self._scale.real(minutes=POLL_LAB_MINUTES))

    async def step(self) -> bool:
        """Turn to one request or incident, if there is one; whether there was. Somebody who has handed over
        rests. Raises ConnectionError, StatusError."""
        if await self._runbook.deploy_due_fix():
            return True
        duty = await self._pager.duty()
        if not same_person(duty.primary, HUMAN):
            return False
        if duty.requests and await self._answer_a_request():
            return True
        incidents = await self._pager.incidents()
        self._forget({incident.id for incident in incidents})
        if not incidents:
            return False
        found = next_incident(
            incidents, await self._duty(), self._scale, self._clock.now(), self.memory.not_before
        )
        if found is None:
            return False
        try:
            await self._work_on(*found)
        except Failure:
            self._notebook.come_back(
                found[0], SECOND_LOOK_LAB_MINUTES
            )  # others must not wait for a broken tool
            raise
        return True

    async def _answer_a_request(self) -> bool:
        try:
            return await self._requests.answer_one(self.memory.mine)
        except ConnectionError as error:  # it expired meanwhile, say; incidents must not wait for it
            log.info("cannot answer a request: %s", error)
            return False

    def _forget(self, still_open: set[str]) -> None:
        self.memory.mine &= still_open
        for identity in self.memory.not_before.keys() - still_open:
            del self.memory.not_before[identity]

    async def _duty(self) -> Duty:
        control = await self._cluster.control()
        try:
            present = await automation_is_up(self._prometheus)
        except ConnectionError:
            present = False
        return Duty.of(control, present or await self._pager.has_webhooks())

    async def _work_on(self, incident: Incident, called: datetime) -> None:
        number = self.memory.looks
        self.memory.looks += 1
        if incident.id not in self.memory.mine and incident.acknowledged_by != HUMAN:
            delay = self._pace.seconds(ACKNOWLEDGE, number, "acknowledge")
            await self._sleep_until(called + timedelta(seconds=delay))
            if not (await self._pager.incident(incident.id)).is_open:
                log.info("%s was over before it was acknowledged", incident.id)
                return
            await self._pager.acknowledge(incident.id)
            log.info("acknowledged %s %s", incident.id, incident.alertname)
        self.memory.mine.add(incident.id)
        if incident.alertname == WAITING and is_partition(incident.labels.get("partition", "")):
            await self._runbook.follow(incident, incident.labels["partition"], number)
        else:
            await self._glance(incident, number)

    async def _glance(self, incident: Incident, number: int) -> None:
        """A page whose runbook says: look, note it, leave it to the page of the cause or to its owner."""
        started = self._clock.now()
        await self._clock.sleep(self._pace.seconds(GLANCE, number, "glance"))
        reason = {
            "ErrorBudgetBurn": "The budget burns; the pages of the partitions that wait are the cause.",
            "ToilAutomationSuccessRateLow": "The automation fails too often; its owners are told.",
        }.get(incident.alertname, "There is no runbook for this page.")
        await self._notebook.report(incident, NO_ACTION, started, reason=reason, outcome="noted")
        if incident.alertname == "ToilAutomationSuccessRateLow":
            await self._notebook.say(incident, reason)
        self._notebook.come_back(incident, 24 * 60)

    async def _sleep_until(self, moment: datetime) -> None:
        seconds = (moment - self._clock.now()).total_seconds()
        if seconds > 0:
            await self._clock.sleep(seconds)
