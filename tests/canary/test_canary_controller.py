"""The controller on a real API server behind a real gateway: its steps, and being killed at every one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from canary_stage import MovedClock, Place, Stage
from prometheus_client import CollectorRegistry, generate_latest

from lab.canary.analysis import Sample
from lab.canary.commands import Command
from lab.canary.controller import Controller
from lab.canary.objects import CanaryObjects
from lab.canary.report import Outcome
from lab.canary.restore import Restorer
from lab.canary.rollback import Rollbacker
from lab.canary.services import GatewayAudit
from lab.canary.status import CanaryPhase, Status
from lab.core.clock import TimeScale
from lab.kube.client import KubeClient
from lab.kube.status import StatusError

pytestmark = pytest.mark.safety

GOOD, BAD, NONE = Sample(0.0, 0.0), Sample(1.0, 0.0), Sample()
METRIC = {"name": "errors", "query": "x", "successCondition": "result < 0.5", "interval": 1}
SYSTEM = "lab-system"


class Killed(BaseException):
    """SIGKILL, as far as the code can tell: nothing catches it."""


@dataclass
class Bomb:
    """Kills right after the n-th act, which is as well right before the next one; or after each, once."""

    at: int = 0
    every: bool = False
    acts: int = 0
    killed: set[str] = field(default_factory=set)

    def tick(self, act: str) -> None:
        self.acts += 1
        if self.acts == self.at or (self.every and act not in self.killed):
            self.killed.add(act)
            raise Killed


class BombedKube(KubeClient):
    """A client whose writes may be the last thing that happens."""

    bomb = Bomb()

    async def request(self, method: str, path: str, **more: Any) -> Any:
        answer = await super().request(method, path, **more)
        if method != "GET" and not more.get("query"):
            body = {key: value for key, value in more["body"].items() if key != "metadata"}
            self.bomb.tick(f"{method} {path} {json.dumps(body)}")
        return answer


@dataclass
class Rig:
    """A controller that can be killed and started anew, and what is around it."""

    stage: Stage
    canary: BombedKube
    clock: MovedClock = field(default_factory=MovedClock)
    bomb: Bomb = field(default_factory=Bomb)
    value: Sample = GOOD
    said: list[str] = field(default_factory=list)
    deaf: bool = False
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.canary.bomb = self.bomb
        self.registry = CollectorRegistry()
        audit: GatewayAudit = self.stage.audit
        self.controller = Controller(
            CanaryObjects(self.canary),
            self,
            audit,
            self,
            Rollbacker(audit, Restorer(self.canary, self.clock), self.clock),
            clock=self.clock,
            scale=TimeScale(60),
            registry=self.registry,
        )

    async def sample(self, _: Any) -> Sample:
        return self.value

    async def post(self, text: str) -> None:
        if self.deaf:
            raise ConnectionError("the pager is away")
        self.said.append(text)
        self.bomb.tick(text)

    async def look(self, times: int = 1) -> Status:
        """Some looks, a second apart; a killed controller is started anew."""
        for _ in range(times):
            try:
                await self.controller.look()
            except Killed:
                self.start()
            self.clock.seconds += 1
        return await self.status()

    async def until(self, phase: CanaryPhase, most: int = 60) -> Status:
        for _ in range(most):
            found = await self.look()
            if found.phase is phase:
                return found
        raise AssertionError(f"{found.phase}, not {phase}: {found.message}")

    async def status(self) -> Status:
        return await CanaryObjects(self.stage.kube).load()

    async def control(self) -> dict[str, str]:
        return dict((await self.stage.kube.get("configmaps", "automation-control", SYSTEM))["data"])

    async def set_control(self, **data: str) -> None:
        await self.stage.kube.patch("configmaps", "automation-control", {"data": data}, SYSTEM)

    async def ask(self, **plan: Any) -> None:
        given = {"runId": f"run-{id(self)}", "by": "ann", "steps": [10, 100], "analysis": [METRIC]} | plan
        await self.stage.kube.patch(
            "configmaps", "canary-plan", {"data": {"plan": json.dumps(given)}}, SYSTEM
        )

    async def command(self, action: str, **more: Any) -> None:
        text = Command(f"{action}-{self.clock.seconds}", action, "ann", **more).as_json()
        await self.stage.kube.patch("configmaps", "canary-plan", {"data": {"command": text}}, SYSTEM)

    def metric(self, line: str) -> bool:
        return line in generate_latest(self.registry).decode()


@pytest.fixture
async def rig(place: Place, stage: Stage) -> AsyncIterator[Rig]:
    for name in ("canary-plan", "canary-status"):
        await stage.kube.patch(
            "configmaps", name, {"data": {"plan": None, "command": None, "status": None}}, SYSTEM
        )
    shadow = {"mode": "shadow", "killSwitch": "off", "canaryPercent": "10"}
    await stage.kube.patch("configmaps", "automation-control", {"data": shadow}, SYSTEM)
    async with BombedKube(place.canary) as canary:
        yield Rig(stage, canary)


async def config(stage: Stage, name: str) -> None:
    await stage.kube.create("configmaps", {"metadata": {"name": name}, "data": {"a": "1"}}, "shop")


async def value_of(stage: Stage, name: str) -> str:
    return str((await stage.kube.get("configmaps", name, "shop"))["data"]["a"])


async def test_successes_promote_step_by_step_until_it_is_live(rig: Rig):
    await rig.ask(automation="fixer")
    first = await rig.look(2)
    assert (first.phase, first.percent, first.applied) == (CanaryPhase.PROGRESSING, 10, True)
    assert (await rig.control())["mode"] == "canary"
    assert (await rig.control())["canaryPercent"] == "10"
    assert rig.metric('toil_canary_phase{phase="Progressing"} 1.0')
    assert rig.metric("toil_canary_percent 10.0")
    done = await rig.until(CanaryPhase.PROMOTED)
    done = await rig.look(3)
    assert (await rig.control())["mode"] == "live"
    assert [line["event"] for line in done.history] == ["started", "promoted", "promoted"]
    assert rig.said == [line["text"] for line in done.history]
    assert "starts with 10 % of the targets" in rig.said[0]
    assert (await rig.control())["by"] == "canary"


async def test_time_alone_promotes_nothing(rig: Rig):
    rig.value = NONE
    await rig.ask(analysis=[METRIC | {"inconclusiveLimit": -1}])
    waiting = await rig.look(15)
    assert (waiting.phase, waiting.step) == (CanaryPhase.PROGRESSING, 0)
    rig.value = GOOD
    assert (await rig.until(CanaryPhase.PROMOTED)).step == 1


async def test_measurements_count_from_the_actions_on_that_the_plan_asks_for(rig: Rig):
    await config(rig.stage, "acted-on")
    await rig.ask(actionsToPromote=1, steps=[100])
    waiting = await rig.look(12)
    assert (waiting.phase, waiting.judging, waiting.actions) == (CanaryPhase.PROGRESSING, False, 0)
    await rig.stage.automation.patch("configmaps", "acted-on", {"data": {"a": "2"}}, "shop")
    judging = await rig.look(1)
    assert (judging.judging, judging.actions) == (True, 1)
    assert (await rig.until(CanaryPhase.PROMOTED)).step == 0


async def test_a_failed_analysis_drops_to_shadow_and_restores_what_was_changed(rig: Rig):
    for name in ("spoiled", "disputed"):
        await config(rig.stage, name)
    await rig.ask(steps=[100])
    await rig.look(2)
    for name in ("spoiled", "disputed"):
        await rig.stage.automation.patch("configmaps", name, {"data": {"a": "2"}}, "shop")
    await rig.stage.kube.patch("configmaps", "disputed", {"data": {"a": "of ann"}}, "shop")
    await rig.command("rollback", dry_run=True)
    rehearsed = await rig.look()
    assert rehearsed.phase is CanaryPhase.PROGRESSING
    assert rehearsed.rollback is not None
    assert {item.outcome for item in rehearsed.rollback.items} == {Outcome.WOULD_RESTORE, Outcome.CONFLICT}
    rig.value = BAD
    done = await rig.until(CanaryPhase.ABORTED)
    assert (await rig.control())["mode"] == "shadow"
    assert (await rig.control())["canaryPercent"] == "0"
    assert "errors: failed 1 > failureLimit 0 (1 is not result < 0.5)" in (await rig.control())["reason"]
    assert (await value_of(rig.stage, "spoiled"), await value_of(rig.stage, "disputed")) == ("1", "of ann")
    assert done.rollback is not None
    assert {item.target.rpartition("/")[2]: item.outcome for item in done.rollback.items} == {
        "spoiled": Outcome.RESTORED,
        "disputed": Outcome.CONFLICT,
    }
    assert rig.metric('toil_rollbacks_total{reason="analysis-failed"} 1.0')
    await rig.look(3)
    assert any("1 restored, 1 conflict" in text for text in rig.said)
    with pytest.raises(StatusError):  # nothing more gets through: in shadow it is only rehearsed
        await rig.stage.automation.create("configmaps", {"metadata": {"name": "x/"}}, "shop")
    await rig.stage.automation.patch("configmaps", "spoiled", {"data": {"a": "3"}}, "shop")
    assert await value_of(rig.stage, "spoiled") == "1"


async def test_errors_in_a_row_abort_and_a_person_may_too(rig: Rig):
    rig.value = Sample(error="Prometheus is away")
    await rig.ask(analysis=[METRIC | {"consecutiveErrorLimit": 2}])
    done = await rig.until(CanaryPhase.ABORTED)
    assert done.rollback is not None
    assert (done.rollback.reason, done.rollbacks) == ("analysis-error", {"analysis-error": 1})
    rig.value = GOOD
    await rig.ask(runId="second", analysis=[METRIC | {"consecutiveSuccessLimit": 99}])
    await rig.look(3)
    await rig.command("abort", reason="it is late")
    done = await rig.until(CanaryPhase.ABORTED)
    assert done.rollback is not None
    assert (done.rollback.reason, done.rollback.by, done.answer) == ("manual", "ann", "done")
    assert "by ann: it is late" in (await rig.control())["reason"]


async def test_no_data_pause_it_and_a_person_decides(rig: Rig):
    rig.value = NONE
    await rig.ask(analysis=[METRIC | {"inconclusiveLimit": 1}])
    paused = await rig.until(CanaryPhase.PAUSED)
    assert "inconclusive 2 > inconclusiveLimit 1 (there is no data)" in paused.message
    assert (await rig.look(10)).phase is CanaryPhase.PAUSED
    assert (await rig.control())["canaryPercent"] == "10"
    await rig.command("promote")
    moved = await rig.look(2)
    assert (moved.phase, moved.step, moved.percent) == (CanaryPhase.PROGRESSING, 1, 100)
    await rig.until(CanaryPhase.PAUSED)
    rig.value = BAD
    assert (await rig.until(CanaryPhase.ABORTED)).rollbacks == {"analysis-failed": 1}
    await rig.command("promote")
    refused = await rig.look()
    assert "refused: no canary is in progress (it is Aborted)" in refused.answer


async def test_the_kill_switch_holds_it_and_what_was_measured_before_does_not_count(rig: Rig):
    await rig.ask(successesToPromote=4)
    assert (await rig.look(4)).results["errors"].successful >= 2
    await rig.set_control(killSwitch="on")
    held = await rig.look(10)
    assert (held.step, dict(held.results)) == (0, {})
    await rig.set_control(killSwitch="off")
    assert (await rig.look(1)).results["errors"].successful == 1
    assert (await rig.until(CanaryPhase.PROMOTED)).step == 1


async def test_a_mode_that_a_person_sets_ends_the_canary_and_stays(rig: Rig):
    await rig.ask()
    await rig.look(2)
    await rig.set_control(mode="live", by="ann")
    over = await rig.look(5)
    assert over.phase is CanaryPhase.SUPERSEDED
    assert (await rig.control())["mode"] == "live"
    assert rig.metric("toil_canary_percent 100.0")


async def test_a_plan_that_cannot_be_used_is_said_and_the_running_one_goes_on(rig: Rig):
    await rig.ask()
    await rig.look(2)
    await rig.ask(runId="broken", steps=[50, 10], analysis=[])
    said = await rig.look()
    assert "steps: each is larger" in said.plan_error
    assert "analysis" in said.plan_error
    assert said.phase is CanaryPhase.PROGRESSING
    await rig.ask()
    assert (await rig.look()).plan_error == ""


async def test_a_rollback_on_request_waits_until_nothing_acts_any_more(rig: Rig):
    await config(rig.stage, "on-request")
    await rig.set_control(mode="live")
    begun = datetime.now(UTC).isoformat()
    await rig.stage.automation.patch("configmaps", "on-request", {"data": {"a": "2"}}, "shop")
    await rig.command("rollback", since=begun)
    assert "refused: the automation may still act" in (await rig.look()).answer
    await rig.command("rollback", since=begun, dry_run=True)
    rehearsed = (await rig.look()).rollback
    assert rehearsed is not None
    assert [item.outcome for item in rehearsed.items] == [Outcome.WOULD_RESTORE]
    assert await value_of(rig.stage, "on-request") == "2"
    await rig.set_control(killSwitch="on")
    await rig.command("rollback", since=begun)
    done = (await rig.look()).rollback
    assert done is not None
    assert (done.done, [item.outcome for item in done.items]) == (True, [Outcome.RESTORED])
    assert await value_of(rig.stage, "on-request") == "1"
    assert rig.metric('toil_rollbacks_total{reason="command"} 1.0')


async def test_a_channel_that_is_away_holds_nothing_up_and_hears_it_later(rig: Rig):
    rig.deaf = True
    await rig.ask()
    await rig.until(CanaryPhase.PROMOTED)
    rig.deaf = False
    await rig.look(5)
    assert len(rig.said) == 3


async def canary_that_fails(rig: Rig, number: int, bomb: Bomb) -> int:
    """A whole canary: a step, a promotion, actions, a failure, a restore. How many acts it took."""
    name, rig.bomb, rig.value = f"killed-{number}", bomb, GOOD
    rig.start()
    await config(rig.stage, name)
    await rig.set_control(mode="shadow")
    await rig.ask(runId=name, successesToPromote=1)
    for _ in range(40):
        status = await rig.look()
        if (status.plan.run_id, status.step, status.applied) == (name, 1, True):
            break
    await rig.stage.automation.patch("configmaps", name, {"data": {"a": "2"}}, "shop")
    made = {"metadata": {"name": f"{name}-made"}, "data": {}}
    await rig.stage.automation.create("configmaps", made, "shop")
    rig.value = BAD
    status = await rig.until(CanaryPhase.ABORTED, 60)
    while status.posts:
        status = await rig.look()
    case = f"killed after act {bomb.at}"
    assert await value_of(rig.stage, name) == "1", case
    with pytest.raises(StatusError):
        await rig.stage.kube.get("configmaps", f"{name}-made", "shop")
    assert (await rig.control())["mode"] == "shadow", case
    assert [line["event"] for line in status.history][-4:] == [
        "started",
        "promoted",
        "aborted",
        "rolled-back",
    ]
    assert status.rollback is not None
    assert status.rollback.done
    assert len(status.rollback.items) == 2
    ours = {item.target.rpartition("/")[2]: item.outcome for item in status.rollback.items}
    assert ours[name] is Outcome.RESTORED, case
    assert {text.split(" ")[0] for text in rig.said} == {"canary", "rollback"}
    return bomb.acts


async def test_killed_after_each_of_its_acts_it_goes_on_and_ends_the_same(rig: Rig):
    bomb = Bomb(every=True)
    await canary_that_fails(rig, 0, bomb)
    assert len(bomb.killed) >= 15


@pytest.mark.slow
async def test_killed_at_any_one_act_it_goes_on_and_ends_the_same(rig: Rig):
    acts = await canary_that_fails(rig, 1000, Bomb())
    for at in range(1, acts + 1):
        rig.said.clear()
        await canary_that_fails(rig, at, Bomb(at))
