"""The runbook of OrdersWaitingTooLong, as a person follows it: playbooks/restart-hung-worker.yaml, by hand.

diagnose ─► hung? ── no ──► note, action none, look again later
              │ yes
              ▼
restarted in vain before? ── no ──► delete the pod ─► verify ─► success | failure
              │ yes
              ▼
escalate to the developers ─► their fix, ten lab minutes later
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from lab.core.clock import Clock, TimeScale
from lab.core.incident import NO_ACTION, Incident
from lab.pager.oncall.clients import DEVELOPERS, Cluster, Developers, Pager
from lab.pager.oncall.notebook import Memory, Notebook
from lab.pager.oncall.pace import (
    DEVELOPERS_LAB_MINUTES,
    DIAGNOSE,
    LOOK_AGAIN_LAB_MINUTES,
    REPAIR,
    SECOND_LOOK_LAB_MINUTES,
    VERIFY_LAB_MINUTES,
    VERIFY_SECONDS,
    Pace,
)
from lab.pager.oncall.sight import Condition, PartitionSight, Querier, judge, look

RESTART = "restart"
ESCALATE = "escalate"
DEPLOY_FIX = "deploy-fix"

WAITS_TOO_LONG_LAB_MINUTES = 3.0
HANGS_AFTER_LAB_MINUTES = 3.0
HANGS_AFTER_SECONDS = 3.0
"""Never call a worker hung sooner: a slow one confirms an order a second, and a scrape is a second old."""
TWO_SCRAPES_SECONDS = 2.2

log = logging.getLogger("lab.oncall")


class Runbook:
    """One runbook, and the developers at its end."""

    def __init__(
        self,
        pager: Pager,
        prometheus: Querier,
        cluster: Cluster,
        developers: Developers,
        *,
        notebook: Notebook,
        memory: Memory,
        pace: Pace,
        clock: Clock,
        scale: TimeScale,
    ) -> None:
        self._pager = pager
        self._prometheus = prometheus
        self._cluster = cluster
        self._developers = developers
        self._notebook = notebook
        self._memory = memory
        self._pace = pace
        self._clock = clock
        self._scale = scale

    async def follow(self, incident: Incident, partition: str, number: int) -> None:
        """Repair a partition, or see that it needs nothing. number: how many incidents the human saw before.

        Raises ConnectionError, StatusError.
        """
        started = self._clock.now()
        second_look = self._second_look_seconds()
        await self._clock.sleep(max(self._pace.seconds(DIAGNOSE, number, "diagnose") - second_look, 0.0))
        condition, pod = await self._diagnose(partition)
        log.info("%s: partition %s is %s %s", incident.id, partition, condition, pod)
        if condition is not Condition.HUNG:
            await self._leave_alone(incident, started, condition, partition)
        elif partition in self._memory.fixes:
            self._notebook.come_back(incident, DEVELOPERS_LAB_MINUTES)
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
        at = self._memory.in_vain.get(partition)
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
        await self._notebook.report(incident, NO_ACTION, started, reason=text, outcome=str(condition))
        await self._pager.add_note(incident.id, text)
        self._notebook.come_back(incident, LOOK_AGAIN_LAB_MINUTES)

    async def _restart(self, incident: Incident, started: datetime, partition: str, pod: str) -> None:
        was_there = await self._cluster.delete_pod(pod)
        helped = await self._verify(partition)
        outcome = "success" if helped else "failure"
        reason = f"Partition {partition}: its worker {pod} held orders and confirmed none."
        await self._notebook.report(incident, RESTART, started, pod=pod, reason=reason, outcome=outcome)
        if not was_there:
            await self._pager.add_note(incident.id, f"{pod} was gone already.")
        if helped:
            self._memory.in_vain.pop(partition, None)
            await self._notebook.say(incident, f"Partition {partition}: restarted {pod}; orders flow again.")
            self._notebook.come_back(incident, LOOK_AGAIN_LAB_MINUTES)
        else:
            self._memory.in_vain[partition] = self._clock.now()
            await self._notebook.say(
                incident, f"Partition {partition}: restarted {pod}, in vain; looking again."
            )
            self._notebook.come_back(incident, SECOND_LOOK_LAB_MINUTES)

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
        await self._notebook.report(incident, ESCALATE, started, pod=pod, reason=summary, outcome="escalated")
        await self._notebook.say(incident, f"{summary} The developers are on it.")
        due = self._clock.now() + timedelta(seconds=self._scale.real(minutes=DEVELOPERS_LAB_MINUTES))
        self._memory.fixes[partition] = (due, incident.id)
        self._notebook.come_back(incident, DEVELOPERS_LAB_MINUTES + LOOK_AGAIN_LAB_MINUTES)

    async def deploy_due_fix(self) -> bool:
        """Roll out the developers' fix when it is due; whether one was. Raises ConnectionError."""
        now = self._clock.now()
        for partition, (due, identity) in list(self._memory.fixes.items()):
            if due <= now:
                retry = timedelta(seconds=self._scale.real(minutes=1))
                self._memory.fixes[partition] = (now + retry, identity)  # in case the next line fails
                count = await self._developers.fix_hung_workers()
                del self._memory.fixes[partition]
                self._memory.in_vain.pop(partition, None)
                incident = await self._pager.incident(identity)
                reason = f"Partition {partition}: the developers' fix is out; it took {count} cause(s) away."
                await self._notebook.report(incident, DEPLOY_FIX, now, reason=reason, outcome="success")
                await self._notebook.say(incident, reason)
                return True
        return False
