"""The shadow report: what the automation would have done, against the truth and against the human.

    intent ──► names a real hang?   yes: agreement, and how much earlier than the human
                                    no: a false action
    hang   ──► named by no intent?  a miss

Promote only without a false action, and with enough agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from lab.core.incident import NO_ACTION, Action
from lab.engine.effects import Restart, Trouble, hangs, restarts, troubles, victims
from lab.engine.evidence import Evidence

PROMOTE_AGREEMENT = 0.9
MIN_HANGS = 1
HUMAN = "human:"


@dataclass(frozen=True, slots=True)
class Match:
    """One real hang: when it began and who named it when, in lab minutes from the start; None for never."""

    trouble: str
    partition: str
    began: float
    intent: float | None
    human: float | None

    @property
    def earlier(self) -> float | None:
        """Lab minutes by which the automation was ahead of the human; None when one of them did nothing."""
        return None if self.intent is None or self.human is None else self.human - self.intent


@dataclass(frozen=True, slots=True)
class FalseAction:
    """An intent that names a pod which was not hung. look_alike: the decoy it fell for, if any."""

    at: float
    pods: tuple[str, ...]
    look_alike: str
    record: str


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What a shadow run shows. agreement: named hangs / hangs (1.0 without any). verdict: promote or hold."""

    matches: tuple[Match, ...]
    false_actions: tuple[FalseAction, ...]
    intents: int
    agreement: float
    earlier_lab_minutes: float | None
    verdict: str
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return asdict(self)


def shadow_report(evidence: Evidence, *, promote_agreement: float = PROMOTE_AGREEMENT) -> ShadowReport:
    """Compare the intents of a shadow run with the fault journal and with the human's actions."""
    wanted = restarts(evidence, evidence.intents)
    real = hangs(evidence)
    matches = tuple(_match(evidence, trouble, wanted) for trouble in real)
    false = tuple(_false_actions(evidence, wanted))
    agreement = sum(match.intent is not None for match in matches) / len(matches) if matches else 1.0
    earlier = [match.earlier for match in matches if match.earlier is not None]
    reasons = []
    if len(matches) < MIN_HANGS:
        reasons.append("no hang happened, so nothing is shown")
    if false:
        reasons.append(f"{len(false)} intents name workers that were not hung")
    if agreement < promote_agreement:
        reasons.append(f"agreement is {agreement:.0%}, {promote_agreement:.0%} is needed")
    return ShadowReport(
        matches=matches,
        false_actions=false,
        intents=len(wanted),
        agreement=agreement,
        earlier_lab_minutes=median(earlier) if earlier else None,
        verdict="hold" if reasons else "promote",
        reasons=tuple(reasons),
    )


def _match(evidence: Evidence, trouble: Trouble, wanted: Sequence[Restart]) -> Match:
    names = victims(evidence, trouble)
    named = [r.at for r in wanted if r.workers & names and r.at >= trouble.began]
    human = human_restart(evidence, trouble)
    return Match(
        trouble=str(trouble),
        partition=trouble.partition,
        began=evidence.lab_minute(trouble.began),
        intent=evidence.lab_minute(min(named)) if named else None,
        human=evidence.lab_minute(_restarted_at(trouble, human)) if human else None,
    )


def _restarted_at(trouble: Trouble, human: Action) -> float:
    """When the human's restart ended the hang: the action itself begins with the diagnosis."""
    begins, ends = human.started_at.timestamp(), human.ended_at.timestamp()
    if trouble.ended is not None and begins <= trouble.ended <= ends:
        return trouble.ended
    return ends


def _false_actions(evidence: Evidence, wanted: Sequence[Restart]) -> list[FalseAction]:
    decoys = {trouble.pod: str(trouble) for trouble in troubles(evidence) if trouble.decoy}
    found = []
    for restart in wanted:
        wrong = sorted(restart.workers - hung_at(evidence, restart.at))
        if wrong:
            look_alike = next((decoys[name] for name in wrong if name in decoys), "")
            at = evidence.lab_minute(restart.at)
            found.append(FalseAction(at, tuple(wrong), look_alike, str(restart)))
    return found


def hung_at(evidence: Evidence, at: float, slack: float = 2.0) -> frozenset[str]:
    """Workers that were hung at that time (Unix seconds), or up to `slack` seconds before it: the automation
    cannot know of a cure that is that fresh."""
    names: set[str] = set()
    for trouble in hangs(evidence):
        if trouble.began <= at and (trouble.ended is None or trouble.ended >= at - slack):
            names |= victims(evidence, trouble)
    return frozenset(names)


def human_restart(evidence: Evidence, trouble: Trouble) -> Action | None:
    """The first thing that a human did to a hung worker."""
    names = victims(evidence, trouble)
    actions = [
        action
        for incident in evidence.incidents
        for action in incident.actions
        if action.by.startswith(HUMAN) and action.action != NO_ACTION and action.target.name in names
    ]
    return min(actions, key=lambda action: action.started_at, default=None)
