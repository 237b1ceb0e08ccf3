"""The on-call human: is paged, acknowledges after a while, finds out, follows the runbook, writes it down.

One incident at a time, so a storm of pages makes a queue; requests are answered in between. The steps are
those of playbooks/restart-hung-worker.yaml; docs/runbooks.md has both.

    page ─► acknowledge ─► diagnose ─► hung? ── no ──► note, action none, look again later
                                         │ yes
                                         ▼
             restarted in vain before? ── no ──► delete the pod ─► verify ─► success | failure
                                         │ yes
                                         ▼
                              escalate to the developers ─► their fix, ten lab minutes later
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lab.core.clock import Clock, TimeScale
from lab.core.incident import NO_ACTION, Incident
from lab.kube.status import StatusError
from lab.pager.oncall.clients import DEVELOPERS, HUMAN, Cluster, Developers, Pager, human_action
from lab.pager.oncall.pace import (
    ACKNOWLEDGE,
    DEVELOPERS_LAB_MINUTES,
    DIAGNOSE,
    GLANCE,
    LOOK_AGAIN_LAB_MINUTES,
    REPAIR,
    SECOND_LOOK_LAB_MINUTES,
    VERIFY_LAB_MINUTES,
    VERIFY_SECONDS,
    Pace,
)
from lab.pager.oncall.requests import Requests
from lab.pager.oncall.sight import (
    Condition,
    PartitionSight,
    Querier,
    automation_is_up,
    is_partition,
    judge,
    look,
)
from lab.pager.oncall.triage import WAITING, Duty, next_incident
from lab.pager.people import same_person

RESTART = "restart"
ESCALATE = "escalate"
DEPLOY_FIX = "deploy-fix"

POLL_LAB_MINUTES = 0.25
WAITS_TOO_LONG_LAB_MINUTES = 3.0
HANGS_AFTER_LAB_MINUTES = 3.0
HANGS_AFTER_SECONDS = 3.0
"""Never call a worker hung sooner: a slow one confirms an order a second, and a scrape is a second old."""
TWO_SCRAPES_SECONDS = 2.2

Failure = (ConnectionError, TimeoutError, StatusError)
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
        self._developers = developers
        self._pace = pace
        self._clock = clock
        self._scale = scale
        self._requests = Requests(pager, pace, clock)
        self.memory = Memory()

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
        if await self._deploy_due_fix():
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
            self._come_back(found[0], SECOND_LOOK_LAB_MINUTES)  # others must not wait for a broken tool
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
            await self._follow_runbook(incident, incident.labels["partition"], number)
        else:
            await self._glance(incident, number)

    # OrdersWaitingTooLong

    async def _follow_runbook(self, incident: Incident, partition: str, number: int) -> None:
        started = self._clock.now()
        second_look = self._second_look_seconds()
        await self._clock.sleep(max(self._pace.seconds(DIAGNOSE, number, "diagnose") - second_look, 0.0))
        condition, pod = await self._diagnose(partition)
        log.info("%s: partition %s is %s %s", incident.id, partition, condition, pod)
        if condition is not Condition.HUNG:
            await self._leave_alone(incident, started, condition, partition)
        elif partition in self.memory.fixes:
            self._come_back(incident, DEVELOPERS_LAB_MINUTES)
        elif self._was_in_vain(partition):
            await self._escalate(incident, started, partition, pod)
        else:
            await self._clock.sleep(self._pace.seconds(REPAIR, number, "repair"))
            await self._restart(incident, started, partition, pod)

    async def _diagnose(self, partition: str) -> tuple[Condition, str]:
        """The condition, and the pod of a hung worker. A hang is believed only when a second look agrees."""
        first = await self._look(partition)
        condition = self._judge(first)
        if condition is not Condition.HUNG:
            return condition, ""
        await self._clock.sleep(self._second_look_seconds())
        second = await self._look(partition)
        condition = self._judge(second)
        if condition is not Condition.HUNG:
            return condition, ""
        before = {worker.pod: worker.processed for worker in first.workers}
        stuck = [w.pod for w in second.workers if before.get(w.pod) == w.processed]
        return (Condition.HUNG, stuck[0]) if stuck else (Condition.PROGRESSING, "")

    def _second_look_seconds(self) -> float:
        return max(self._scale.real(minutes=1), TWO_SCRAPES_SECONDS)

    async def _look(self, partition: str) -> PartitionSight:
        sight = await look(self._prometheus, partition)
        if sight is None:
            raise ConnectionError(f"Prometheus has no data on partition {partition}")
        return sight

    def _judge(self, sight: PartitionSight) -> Condition:
        hangs_after = max(self._scale.real(minutes=HANGS_AFTER_LAB_MINUTES), HANGS_AFTER_SECONDS)
        waits = self._scale.real(minutes=WAITS_TOO_LONG_LAB_MINUTES)
        return judge(sight, waits_too_long=waits, hangs_after=hangs_after)

    def _was_in_vain(self, partition: str) -> bool:
        at = self.memory.in_vain.get(partition)
        return at is not None and self._clock.now() - at < timedelta(seconds=self._scale.real(hours=1))

    async def _leave_alone(
        self, incident: Incident, started: datetime, condition: Condition, partition: str
    ) -> None:
        reason = {
            Condition.RECOVERED: "its orders do not wait any more",
            Condition.UNHELD: "no worker holds it yet; Kubernetes is starting one",
            Condition.PROGRESSING: "its worker is slow but gets on; a restart would only cost time",
        }[condition]
        text = f"Partition {partition}: {reason}."
        await self._report(incident, NO_ACTION, started, reason=text, outcome=str(condition))
        await self._pager.add_note(incident.id, text)
        self._come_back(incident, LOOK_AGAIN_LAB_MINUTES)

    async def _restart(self, incident: Incident, started: datetime, partition: str, pod: str) -> None:
        was_there = await self._cluster.delete_pod(pod)
        helped = await self._verify(partition)
        outcome = "success" if helped else "failure"
        reason = f"Partition {partition}: its worker {pod} held orders and confirmed none."
        await self._report(incident, RESTART, started, pod=pod, reason=reason, outcome=outcome)
        if not was_there:
            await self._pager.add_note(incident.id, f"{pod} was gone already.")
        if helped:
            self.memory.in_vain.pop(partition, None)
            await self._say(incident, f"Partition {partition}: restarted {pod}; orders flow again.")
            self._come_back(incident, LOOK_AGAIN_LAB_MINUTES)
        else:
            self.memory.in_vain[partition] = self._clock.now()
            await self._say(incident, f"Partition {partition}: restarted {pod}, in vain; looking again.")
            self._come_back(incident, SECOND_LOOK_LAB_MINUTES)

    async def _verify(self, partition: str) -> bool:
        """Wait until the orders of the partition do not wait too long any more; False when they still do."""
        patience = max(self._scale.real(minutes=VERIFY_LAB_MINUTES), VERIFY_SECONDS)
        deadline = self._clock.now() + timedelta(seconds=patience)
        while self._clock.now() < deadline:
            await self._clock.sleep(max(self._scale.real(minutes=1), 1.0))
            try:
                sight = await look(self._prometheus, partition)
            except ConnectionError:
                continue
            if sight is not None and self._judge(sight) is Condition.RECOVERED:
                return True
        return False

    async def _escalate(self, incident: Incident, started: datetime, partition: str, pod: str) -> None:
        summary = f"Partition {partition} hangs again after a restart: the worker's code needs a fix."
        evidence = {"partition": partition, "pod": pod, "alert": incident.alertname}
        escalation = await self._pager.escalate(incident.id, summary, evidence)
        await self._pager.acknowledge_escalation(escalation, DEVELOPERS)
        await self._report(incident, ESCALATE, started, pod=pod, reason=summary, outcome="escalated")
        await self._say(incident, f"{summary} The developers are on it.")
        due = self._clock.now() + timedelta(seconds=self._scale.real(minutes=DEVELOPERS_LAB_MINUTES))
        self.memory.fixes[partition] = (due, incident.id)
        self._come_back(incident, DEVELOPERS_LAB_MINUTES + LOOK_AGAIN_LAB_MINUTES)

    async def _deploy_due_fix(self) -> bool:
        """Roll out the developers' fix when it is due; whether one was."""
        now = self._clock.now()
        for partition, (due, identity) in list(self.memory.fixes.items()):
            if due <= now:
                retry = timedelta(seconds=self._scale.real(minutes=1))
                self.memory.fixes[partition] = (now + retry, identity)  # in case the next line fails
                count = await self._developers.fix_hung_workers()
                del self.memory.fixes[partition]
                self.memory.in_vain.pop(partition, None)
                incident = await self._pager.incident(identity)
                reason = f"Partition {partition}: the developers' fix is out; it took {count} cause(s) away."
                await self._report(incident, DEPLOY_FIX, now, reason=reason, outcome="success")
                await self._say(incident, reason)
                return True
        return False

    # Everything else

    async def _glance(self, incident: Incident, number: int) -> None:
        """A page whose runbook says: look, note it, leave it to the page of the cause or to its owner."""
        started = self._clock.now()
        await self._clock.sleep(self._pace.seconds(GLANCE, number, "glance"))
        reason = {
            "ErrorBudgetBurn": "The budget burns; the pages of the partitions that wait are the cause.",
            "ToilAutomationSuccessRateLow": "The automation fails too often; its owners are told.",
        }.get(incident.alertname, "There is no runbook for this page.")
        await self._report(incident, NO_ACTION, started, reason=reason, outcome="noted")
        if incident.alertname == "ToilAutomationSuccessRateLow":
            await self._say(incident, reason)
        self._come_back(incident, 24 * 60)

    async def _report(
        self,
        incident: Incident,
        action: str,
        started: datetime,
        *,
        pod: str = "",
        reason: str = "",
        outcome: str = "",
    ) -> None:
        done = human_action(action, started, self._clock.now(), pod=pod, reason=reason, outcome=outcome)
        await self._pager.add_action(incident.id, done)
        log.info("%s: %s %s %s", incident.id, action, pod, outcome)

    async def _say(self, incident: Incident, text: str) -> None:
        await self._pager.post_status(text, incident.id)

    def _come_back(self, incident: Incident, lab_minutes: float) -> None:
        later = self._clock.now() + timedelta(seconds=self._scale.real(minutes=lab_minutes))
        self.memory.not_before[incident.id] = later

    async def _sleep_until(self, moment: datetime) -> None:
        seconds = (moment - self._clock.now()).total_seconds()
        if seconds > 0:
            await self._clock.sleep(seconds)
