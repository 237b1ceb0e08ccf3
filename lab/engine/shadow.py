"""The shadow report: what the automation would have done, against the truth and against the human.

    intent ──► names a real hang?   yes: agreement, and how much earlier than the human
                                    no: a false action, with the look-alike that it fell for
    hang   ──► named by no intent?  a miss
    intents close together ──► more workers down at once than the shop can spare?  a harmful order

The verdict is promote or hold, by thresholds that an exercise may set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from lab.core.exercise import ShadowThresholds
from lab.core.incident import NO_ACTION, Action
from lab.engine.effects import Restart, Trouble, hangs, restarts, troubles, victims
from lab.engine.evidence import Evidence

DEFAULTS = ShadowThresholds()
DOWN_LAB_MINUTES = 2.0
"""For so long a restarted worker counts as down: until its successor is ready and holds the partition."""

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
class Crowd:
    """Intents that together would have had too many workers down at once, and when (lab minutes)."""

    at: float
    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What a shadow run shows.

    agreement: named hangs / hangs (1.0 without any). misses: hangs that no intent names. decoys: look-alikes
    that were there, and whether an intent fell for each. earlier_lab_minutes: the median lead over the human,
    where both acted. at_once: the most workers that its intents would have had down together; crowds: where
    that was too many. verdict: promote or hold, by the thresholds; reasons: what speaks against promoting.
    """

    matches: tuple[Match, ...]
    misses: tuple[str, ...]
    false_actions: tuple[FalseAction, ...]
    decoys: tuple[tuple[str, bool], ...]
    intents: int
    agreement: float
    earlier_lab_minutes: float | None
    at_once: int
    crowds: tuple[Crowd, ...]
    thresholds: ShadowThresholds
    verdict: str
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return asdict(self)


def shadow_report(evidence: Evidence, thresholds: ShadowThresholds = DEFAULTS) -> ShadowReport:
    """Compare the intents of a shadow run with the fault journal and with the human's actions."""
    wanted = restarts(evidence, evidence.intents)
    matches = tuple(_match(evidence, trouble, wanted) for trouble in hangs(evidence))
    false = tuple(_false_actions(evidence, wanted))
    down = _down(evidence, wanted)
    crowds = tuple(Crowd(at, tuple(sorted(pods))) for at, pods in down if len(pods) > thresholds.max_at_once)
    agreement = sum(match.intent is not None for match in matches) / len(matches) if matches else 1.0
    earlier = [match.earlier for match in matches if match.earlier is not None]
    lead = median(earlier) if earlier else None
    reasons = tuple(_against(len(matches), agreement, len(false), lead, crowds, thresholds))
    return ShadowReport(
        matches=matches,
        misses=tuple(match.trouble for match in matches if match.intent is None),
        false_actions=false,
        decoys=tuple(
            (str(trouble), any(trouble.pod in restart.workers for restart in wanted))
            for trouble in troubles(evidence)
            if trouble.decoy
        ),
        intents=len(wanted),
        agreement=agreement,
        earlier_lab_minutes=lead,
        at_once=max((len(pods) for _, pods in down), default=0),
        crowds=crowds,
        thresholds=thresholds,
        verdict="hold" if reasons else "promote",
        reasons=reasons,
    )


def _against(
    hung: int,
    agreement: float,
    false: int,
    lead: float | None,
    crowds: Sequence[Crowd],
    thresholds: ShadowThresholds,
) -> list[str]:
    """What speaks against promoting."""
    reasons = []
    if not hung:
        reasons.append("no hang happened, so nothing is shown")
    elif hung < thresholds.min_hangs:
        reasons.append(f"hangs that happened: {hung}, at least {thresholds.min_hangs} are needed")
    if false > thresholds.max_false_actions:
        allowed = f"; {thresholds.max_false_actions} are allowed" if thresholds.max_false_actions else ""
        reasons.append(f"intents that name workers that were not hung: {false}{allowed}")
    if agreement < thresholds.min_agreement:
        reasons.append(f"agreement is {agreement:.0%}, {thresholds.min_agreement:.0%} is needed")
    if crowds:
        most = max(len(crowd.pods) for crowd in crowds)
        limit = thresholds.max_at_once
        reasons.append(f"{most} workers would have been down at once; {limit} at most can be spared")
    needed = thresholds.min_earlier_lab_minutes
    if needed is not None and (lead is None or lead < needed):
        seen = "never" if lead is None else f"{lead:.1f} lab minutes"
        reasons.append(f"earlier than the human by: {seen}; {needed:g} lab minutes are needed (median)")
    return reasons


def _down(evidence: Evidence, wanted: Sequence[Restart]) -> list[tuple[float, frozenset[str]]]:
    """After each restart, in lab minutes, the workers that would have been down: those restarted just now."""
    times = [(evidence.lab_minute(restart.at), restart.workers) for restart in wanted]
    return [
        (
            at,
            frozenset().union(*(workers for then, workers in times if at - DOWN_LAB_MINUTES < then <= at)),
        )
        for at, _ in times
    ]


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
