"""The human in virtual time: a book of incidents, and a small shop that hangs, crawls and recovers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from pager_harness import VirtualClock, new_book

from lab.core.approval import Approval, ApprovalStatus
from lab.core.clock import TimeScale
from lab.core.escalation import Escalation
from lab.core.incident import Action, Incident
from lab.errors import UsageError
from lab.pager.alerts import Alert
from lab.pager.book import Book
from lab.pager.oncall.clients import HUMAN, DutyCall
from lab.pager.oncall.human import OnCall
from lab.pager.oncall.pace import ACKNOWLEDGE, Pace
from lab.pager.oncall.triage import Duty, called_at, next_incident

SCALE = TimeScale(60.0)
SHADOW = {"mode": "shadow", "killSwitch": "off"}
LIVE = {"mode": "live", "killSwitch": "off"}


@contextmanager
def as_over_http() -> Iterator[None]:
    """A refusal is what it is to an HTTP client."""
    try:
        yield
    except UsageError as error:
        raise ConnectionError(error.message) from error


class Desk:
    """The pager without the wire."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.webhooks = False

    async def incidents(self, status: str = "open") -> list[Incident]:
        return [i for i in self.book.store.state.incidents.values() if status == "all" or i.is_open]

    async def incident(self, identity: str) -> Incident:
        return self.book.store.incident(identity)

    async def acknowledge(self, identity: str) -> None:
        self.book.incidents.acknowledge(identity, HUMAN)

    async def add_action(self, identity: str, action: Action) -> None:
        self.book.incidents.add_action(identity, action)

    async def add_note(self, identity: str, text: str) -> None:
        self.book.incidents.add_note(identity, HUMAN, text)

    async def escalate(self, identity: str, summary: str, evidence: Any) -> str:
        return self.book.escalations.escalate(HUMAN, summary, evidence, identity).id

    async def post_status(self, text: str, identity: str) -> None:
        self.book.incidents.post_status(HUMAN, text, identity)

    async def has_webhooks(self) -> bool:
        return self.webhooks

    async def duty(self) -> DutyCall:
        pending = self.book.approvals.all(ApprovalStatus.PENDING)
        return DutyCall(self.book.roster.primary, len(pending) + len(self.book.ladder.unanswered()))

    async def approvals(self) -> list[Approval]:
        return self.book.approvals.all()

    async def approve(self, identity: str, note: str) -> None:
        with as_over_http():
            self.book.approvals.approve(identity, HUMAN, note)

    async def refuse(self, identity: str, reason: str) -> None:
        with as_over_http():
            self.book.approvals.refuse(identity, HUMAN, reason)

    async def escalations(self) -> list[Escalation]:
        return list(self.book.store.state.escalations.values())

    async def acknowledge_escalation(self, identity: str, by: str) -> None:
        self.book.escalations.acknowledge(identity, by)


class Shop:
    """Partitions with one worker each, seen as Prometheus sees them; also cluster and developers."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.hung: dict[str, bool] = {}
        """Partition to whether a restart cures it."""
        self.slow: set[str] = set()
        self.pods: dict[str, int] = {}
        self.deleted: list[str] = []
        self.fixes = 0
        self.settings: Mapping[str, str] | None = SHADOW
        self.automation_up = False
        self.broken = False

    def pod(self, partition: str) -> str:
        return f"worker-{partition}-{self.pods.get(partition, 0)}"

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        if self.broken:
            raise ConnectionError("no Prometheus")
        if "toil_automation_up" in expression:
            return [({}, 1.0)] if self.automation_up else []
        partition = expression.split('partition="')[1].split('"')[0]
        labels = {"pod": self.pod(partition), "partition": partition}
        is_hung, is_slow = partition in self.hung, partition in self.slow
        if "oldest" in expression:
            return [({}, 60.0 if is_hung else 8.0 if is_slow else 0.2)]
        if "last_progress" in expression:
            return [(labels, 60.0 if is_hung else 0.8)]
        if "processed" in expression:
            return [(labels, 7.0 if is_hung else self.clock.monotonic())]
        return [(labels, 1.0)]

    async def delete_pod(self, name: str) -> bool:
        self.deleted.append(name)
        for partition in list(self.hung):
            if self.pod(partition) == name:
                self.pods[partition] = self.pods.get(partition, 0) + 1
                if self.hung[partition]:
                    del self.hung[partition]
        return True

    async def control(self) -> Mapping[str, str] | None:
        return self.settings

    async def fix_hung_workers(self) -> int:
        count, self.fixes = len(self.hung), self.fixes + 1
        self.hung.clear()
        return count


class World:
    """All of it, with alerts that follow the shop."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.shop = Shop(self.clock)
        self.book = new_book(self.clock)
        self.desk = Desk(self.book)
        self.human = OnCall(
            self.desk,
            self.shop,
            self.shop,
            self.shop,
            pace=Pace(seed, SCALE),
            clock=self.clock,
            scale=SCALE,
        )

    def fire(self, name: str = "OrdersWaitingTooLong", **labels: str) -> str:
        far = self.clock.now() + timedelta(days=1)
        labels = {"alertname": name, "severity": "critical"} | labels
        self.book.episodes.receive([Alert(labels, {}, self.clock.now(), far)])
        return list(self.book.store.state.incidents)[-1]

    def end(self, name: str = "OrdersWaitingTooLong", **labels: str) -> None:
        labels = {"alertname": name, "severity": "critical"} | labels
        self.book.episodes.receive([Alert(labels, {}, None, self.clock.now())])

    def actions(self, identity: str) -> list[tuple[str, str, str]]:
        found = self.book.store.incident(identity).actions
        return [(action.action, action.target.name, action.outcome) for action in found]

    async def run(self, lab_minutes: float) -> None:
        """Let the human work; alerts of partitions that are well end."""
        end = self.clock.now() + timedelta(seconds=SCALE.real(minutes=lab_minutes))
        while self.clock.now() < end:
            try:
                worked = await self.human.step()
            except ConnectionError:
                worked = False
            for incident in await self.desk.incidents():
                partition = incident.labels.get("partition", "")
                if partition and partition not in self.shop.hung and partition not in self.shop.slow:
                    self.end(partition=partition)
            if not worked:
                await self.clock.sleep(SCALE.real(minutes=0.25))


@pytest.fixture
def world() -> World:
    return World()


async def test_the_human_restarts_exactly_the_hung_worker(world: World) -> None:
    world.shop.hung["3"] = True
    identity = world.fire(partition="3")
    await world.run(60)
    assert world.shop.deleted == ["worker-3-0"]
    incident = world.book.store.incident(identity)
    assert world.actions(identity) == [("restart", "worker-3-0", "success")]
    assert incident.acknowledged_by == HUMAN
    assert SCALE.lab_minutes(incident.seconds_to_acknowledge or 0) == pytest.approx(4, abs=16)
    (action,) = incident.actions
    assert incident.acknowledged_at
    assert incident.acknowledged_at <= action.started_at
    assert 3 <= SCALE.lab_minutes(action.seconds) <= 20
    assert [post.text for post in world.book.store.state.posts] == [
        "Partition 3: restarted worker-3-0; orders flow again."
    ]


async def test_a_slow_worker_is_left_alone(world: World) -> None:
    world.shop.slow.add("2")
    identity = world.fire(partition="2")
    await world.run(40)
    assert world.shop.deleted == []
    assert set(world.actions(identity)) == {("none", "", "progressing")}
    assert "slow but gets on" in world.book.store.incident(identity).notes[0].text


async def test_a_page_that_is_over_when_the_human_looks_is_not_repaired(world: World) -> None:
    identity = world.fire(partition="5")
    await world.human.step()
    assert world.actions(identity) == [("none", "", "recovered")]


async def test_a_page_that_ends_before_the_acknowledgement_costs_nothing(world: World) -> None:
    identity = world.fire(partition="5")
    slept = world.clock.sleep

    async def ends_meanwhile(seconds: float) -> None:
        await slept(seconds)
        world.end(partition="5")

    world.clock.sleep = ends_meanwhile  # type: ignore[method-assign]
    await world.human.step()
    incident = world.book.store.incident(identity)
    assert (incident.acknowledged_at, incident.actions) == (None, ())


async def test_what_a_restart_does_not_cure_goes_to_the_developers(world: World) -> None:
    world.shop.hung["6"] = False
    identity = world.fire(partition="6")
    await world.run(120)
    assert world.shop.deleted == ["worker-6-0"]
    assert [(what, outcome) for what, _, outcome in world.actions(identity)] == [
        ("restart", "failure"),
        ("escalate", "escalated"),
        ("deploy-fix", "success"),
    ]
    incident = world.book.store.incident(identity)
    assert incident.escalations[0].evidence["partition"] == "6"
    fix = incident.actions[-1].started_at - incident.escalations[0].at
    assert SCALE.lab_minutes(fix.total_seconds()) == pytest.approx(10, abs=5)
    assert world.shop.fixes == 1
    assert not incident.is_open


async def test_one_human_makes_a_queue(world: World) -> None:
    for partition in "0123":
        world.shop.hung[partition] = True
        world.fire(partition=partition)
    await world.run(120)
    incidents = list(world.book.store.state.incidents.values())
    waited = [incident.seconds_to_acknowledge or 0 for incident in incidents]
    assert waited == sorted(waited)
    assert waited[-1] > waited[0] + SCALE.real(minutes=12)
    spans = sorted((a.started_at, a.ended_at) for incident in incidents for a in incident.actions)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


async def test_in_live_the_human_waits_for_an_escalation(world: World) -> None:
    world.shop.settings, world.shop.automation_up = LIVE, True
    world.shop.hung["3"] = True
    identity = world.fire(partition="3")
    await world.run(5)
    assert world.book.store.incident(identity).acknowledged_at is None
    world.book.escalations.escalate("bot", "cannot", None, identity)
    await world.run(30)
    assert world.shop.deleted == ["worker-3-0"]


async def test_in_live_the_human_steps_in_after_fifteen_minutes(world: World) -> None:
    world.shop.settings, world.desk.webhooks = LIVE, True
    world.shop.hung["3"] = True
    identity = world.fire(partition="3")
    await world.run(60)
    waited = world.book.store.incident(identity).seconds_to_acknowledge
    assert waited is not None
    assert SCALE.lab_minutes(waited) > 15
    assert world.shop.deleted == ["worker-3-0"]


@pytest.mark.parametrize(
    "control", [LIVE | {"killSwitch": "on"}, SHADOW, None, {}, {"mode": "live"}], ids=str
)
async def test_the_human_does_all_unless_live_is_certain(world: World, control: Any) -> None:
    world.shop.settings, world.shop.automation_up = control, True
    world.shop.hung["3"] = True
    world.fire(partition="3")
    await world.run(30)
    assert world.shop.deleted == ["worker-3-0"]


async def test_live_without_an_automation_is_the_humans(world: World) -> None:
    world.shop.settings = LIVE
    world.shop.hung["3"] = True
    world.fire(partition="3")
    await world.run(30)
    assert world.shop.deleted == ["worker-3-0"]


async def test_other_pages_are_noted_once_and_tickets_wake_nobody(world: World) -> None:
    burn = world.fire("ErrorBudgetBurn", short="5m", long="1h")
    low = world.fire("ToilAutomationSuccessRateLow", app="automation")
    odd = world.fire(partition="0; drop")
    ticket = world.fire("ErrorBudgetBurn", short="6h", long="3d", severity="warning")
    await world.run(30)
    for identity in (burn, low, odd):
        assert [action for action, _, _ in world.actions(identity)] == ["none"]
    assert world.book.store.incident(ticket).acknowledged_at is None
    assert world.shop.deleted == []


async def test_a_broken_tool_stops_nobody(world: World) -> None:
    world.shop.hung["3"] = True
    identity = world.fire(partition="3")
    world.shop.broken = True
    await world.run(20)
    assert world.shop.deleted == []
    world.shop.broken = False
    await world.run(30)
    assert world.actions(identity)[-1] == ("restart", "worker-3-0", "success")


async def test_the_same_seed_gives_the_same_shift() -> None:
    async def shift(seed: int) -> list[Any]:
        world = World(seed)
        for partition in "01":
            world.shop.hung[partition] = True
            world.fire(partition=partition)
        await world.run(60)
        return [incident.as_dict() for incident in world.book.store.state.incidents.values()]

    first, second, other = await asyncio.gather(shift(1), shift(1), shift(2))
    assert first == second
    assert first != other


def test_the_pace_is_a_persons() -> None:
    pace = Pace(1, SCALE)
    minutes = sorted(SCALE.lab_minutes(pace.seconds(ACKNOWLEDGE, n, "acknowledge")) for n in range(500))
    assert 3.5 < minutes[250] < 4.5
    assert 1 <= minutes[0] < 2.5
    assert 8 < minutes[-1] <= 20


async def test_symptoms_come_first(world: World) -> None:
    world.fire("ErrorBudgetBurn", short="5m", long="1h")
    waiting = world.fire(partition="1")
    duty = Duty(automation_works=False)
    incidents = await world.desk.incidents()
    found = next_incident(incidents, duty, SCALE, world.clock.now(), {})
    assert found is not None
    assert found[0].id == waiting
    later = {waiting: world.clock.now() + timedelta(seconds=1)}
    found = next_incident(incidents, duty, SCALE, world.clock.now(), later)
    assert found is not None
    assert found[0].alertname == "ErrorBudgetBurn"
    world.book.incidents.resolve(waiting, "ann")
    assert called_at(world.book.store.incident(waiting), duty, SCALE) is None
