"""Where a canary stands: one document, in ConfigMap lab-system/canary-status, written before each act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from lab.canary.analysis import MetricResult
from lab.canary.report import Item, summary
from lab.core.audit import Mode
from lab.core.canary import CanaryPlan, percent_text, read_plan
from lab.core.clock import parse_rfc3339, rfc3339

NAMESPACE = "lab-system"
PLAN, STATUS, CONTROL = "canary-plan", "canary-status", "automation-control"
"""ConfigMaps: what people ask for, this document, and what the gateway reads."""

KEPT_HISTORY = 100
KEPT_ITEMS = 200
KEPT_POSTS = 50


class CanaryPhase(StrEnum):
    """Of the whole canary."""

    IDLE = "Idle"  # none was started yet
    PROGRESSING = "Progressing"
    PAUSED = "Paused"  # a person decides: promote or abort
    ABORTING = "Aborting"  # the automation is being dropped to shadow
    ROLLING_BACK = "RollingBack"  # what it changed is being restored
    ABORTED = "Aborted"
    PROMOTED = "Promoted"
    SUPERSEDED = "Superseded"  # somebody set another mode or share by hand

    @property
    def active(self) -> bool:
        """Whether steps are being taken, or wait for a person."""
        return self in (CanaryPhase.PROGRESSING, CanaryPhase.PAUSED)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return not self.active and self not in (CanaryPhase.ABORTING, CanaryPhase.ROLLING_BACK)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the automation may go: what the control ConfigMap holds."""

    mode: Mode
    percent: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return {"mode": self.mode.value, "percent": self.percent}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reach:
        """Read the JSON form."""
        return cls(Mode(data["mode"]), float(data["percent"]))

    def same(self, other: Reach | None) -> bool:
        """Whether both mean the same; the share counts in canary mode only."""
        if other is None or self.mode is not other.mode:
            return False
        return self.mode is not Mode.CANARY or self.percent == other.percent

    def __str__(self) -> str:
        return f"{self.mode.value} {percent_text(self.percent)} %" if self.mode is Mode.CANARY else self.mode


NO_REACH = Reach(Mode.SHADOW, 0.0)


@dataclass(frozen=True, slots=True)
class Rollback:
    """One restoring. after, since: audit records above that number, and not before that time (RFC 3339, empty
    for any). reason: analysis-failed, analysis-error, manual or command. done: it is over."""

    reason: str
    by: str
    at: str
    after: int = 0
    since: str = ""
    dry_run: bool = False
    done: bool = False
    items: tuple[Item, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return {
            "reason": self.reason,
            "by": self.by,
            "at": self.at,
            "after": self.after,
            "since": self.since,
            "dryRun": self.dry_run,
            "done": self.done,
            "summary": summary(self.items),
            "items": [item.as_dict() for item in self.items[:KEPT_ITEMS]],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rollback:
        """Read the JSON form."""
        return cls(
            reason=str(data["reason"]),
            by=str(data["by"]),
            at=str(data["at"]),
            after=int(data["after"]),
            since=str(data["since"]),
            dry_run=bool(data["dryRun"]),
            done=bool(data["done"]),
            items=tuple(Item.from_dict(item) for item in data["items"]),
            warnings=tuple(data["warnings"]),
        )


@dataclass(frozen=True, slots=True)
class Status:
    """The document.

    step: index into the plan's steps. wanted, before: the reach to be set, and what it was when that was
    decided; applied: it is set. audit_from, audit_time: number and time of the last record before the canary;
    step_from: the same number for the step. judging: the actions that the plan asks for were seen, so that
    measurements count. actions: real ones on members, in this step. results: of the run since run_started_at.
    handled, answer: the last command, and what came of it. posts: what the team's channel has yet to be told.
    rollbacks: how many by reason, ever.
    """

    phase: CanaryPhase = CanaryPhase.IDLE
    plan: CanaryPlan = field(default_factory=CanaryPlan)
    step: int = 0
    started_at: str = ""
    step_started_at: str = ""
    run_started_at: str = ""
    wanted: Reach = NO_REACH
    before: Reach = NO_REACH
    applied: bool = True
    audit_from: int = 0
    audit_time: str = ""
    step_from: int = 0
    judging: bool = False
    actions: int = 0
    results: Mapping[str, MetricResult] = field(default_factory=dict)
    message: str = ""
    plan_error: str = ""
    handled: str = ""
    answer: str = ""
    rollback: Rollback | None = None
    rollbacks: Mapping[str, int] = field(default_factory=dict)
    posts: tuple[str, ...] = ()
    history: tuple[Mapping[str, str], ...] = ()

    @property
    def percent(self) -> float:
        """The share that the automation has now: 0 in shadow, 100 when live."""
        return {Mode.SHADOW: 0.0, Mode.LIVE: 100.0}.get(self.wanted.mode, self.wanted.percent)

    @property
    def is_rolling_back(self) -> bool:
        """Whether a rollback is under way, or is next."""
        waits = self.phase is CanaryPhase.ABORTING
        return self.rollback is not None and not self.rollback.done and not waits

    def told(self, now: datetime, event: str, text: str, *, post: bool = True) -> Status:
        """With one more line of history, which also goes to the team's channel."""
        line = {"at": rfc3339(now), "event": event, "text": text}
        return replace(
            self,
            message=text,
            history=(*self.history, line)[-KEPT_HISTORY:],
            posts=(*self.posts, text)[-KEPT_POSTS:] if post else self.posts,
        )

    def fresh_run(self, now: datetime, **more: Any) -> Status:
        """With the measurements begun anew."""
        return replace(self, results={}, run_started_at=rfc3339(now), **more)

    @property
    def run_began(self) -> datetime:
        """When the measurements were begun. Raises ValueError before the first canary."""
        return parse_rfc3339(self.run_started_at)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values, as they are stored."""
        return {
            "phase": self.phase.value,
            "plan": self.plan.as_dict() if self.plan.run_id else None,
            "step": self.step,
            "percent": self.percent,
            "startedAt": self.started_at,
            "stepStartedAt": self.step_started_at,
            "runStartedAt": self.run_started_at,
            "wanted": self.wanted.as_dict(),
            "before": self.before.as_dict(),
            "applied": self.applied,
            "auditFrom": self.audit_from,
            "auditTime": self.audit_time,
            "stepFrom": self.step_from,
            "judging": self.judging,
            "actions": self.actions,
            "results": {name: result.as_dict() for name, result in self.results.items()},
            "message": self.message,
            "planError": self.plan_error,
            "handled": self.handled,
            "answer": self.answer,
            "rollback": self.rollback.as_dict() if self.rollback else None,
            "rollbacks": dict(self.rollbacks),
            "posts": list(self.posts),
            "history": [dict(line) for line in self.history],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Status:
        """Read the stored form. Raises ValueError, KeyError, TypeError or ConfigError on a foreign one."""
        return cls(
            phase=CanaryPhase(data["phase"]),
            plan=read_plan(data["plan"]) if data["plan"] else CanaryPlan(),
            step=int(data["step"]),
            started_at=str(data["startedAt"]),
            step_started_at=str(data["stepStartedAt"]),
            run_started_at=str(data["runStartedAt"]),
            wanted=Reach.from_dict(data["wanted"]),
            before=Reach.from_dict(data["before"]),
            applied=bool(data["applied"]),
            audit_from=int(data["auditFrom"]),
            audit_time=str(data["auditTime"]),
            step_from=int(data["stepFrom"]),
            judging=bool(data["judging"]),
            actions=int(data["actions"]),
            results={name: MetricResult.from_dict(result) for name, result in data["results"].items()},
            message=str(data["message"]),
            plan_error=str(data["planError"]),
            handled=str(data["handled"]),
            answer=str(data["answer"]),
            rollback=Rollback.from_dict(data["rollback"]) if data["rollback"] else None,
            rollbacks={str(reason): int(count) for reason, count in data["rollbacks"].items()},
            posts=tuple(str(post) for post in data["posts"]),
            history=tuple(data["history"]),
        )
