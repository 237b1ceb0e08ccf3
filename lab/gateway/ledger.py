"""The automation's use of its budgets, over all actors: what acted, and what shadow only intended.

Checking and counting are one step without an await between them, so that requests at the same time cannot
each find the same last place free. An action that fails gives its place back; one whose outcome is unknown
keeps it. After a restart the counts are read from the audit log.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.core.clock import Clock, TimeScale
from lab.gateway.budgets import ACTIONS, COOLDOWN, DISRUPTIONS, MAX_COOLDOWN, SHARE, Budgets
from lab.gateway.disruption import Disruption, Workload, disruptions
from lab.gateway.tally import Action, Tally
from lab.kube.request import RequestInfo

Sizes = Mapping[Workload, int | None]


@dataclass(frozen=True, slots=True)
class Breach:
    """Budgets that an action does not fit in. retry_after: real seconds after which it would, None when time
    alone does not help."""

    texts: dict[str, str]
    retry_after: float | None = None

    def __str__(self) -> str:
        return "; ".join(self.texts.values())


@dataclass(slots=True)
class Place:
    """An action's place in the counts, until it is known whether it happened."""

    tallies: tuple[Tally, ...]
    actions: tuple[Action, ...]
    taken: tuple[Disruption, ...]

    def give_back(self) -> None:
        """It did not happen."""
        for tally, action in zip(self.tallies, self.actions, strict=True):
            tally.undo(action, self.taken)

    def took(self, taken: tuple[Disruption, ...]) -> None:
        """It happened, and this is what it took away."""
        for tally, action in zip(self.tallies, self.actions, strict=True):
            tally.take(action.at, taken)


@dataclass(slots=True)
class Ledger:
    """Two tallies: of what acted, and of that with what shadow intended."""

    clock: Clock
    scale: TimeScale
    settle_minutes: float
    keep_minutes: float = MAX_COOLDOWN
    acted: Tally = field(init=False)
    intended: Tally = field(init=False)
    _sizes: dict[Workload, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.acted = Tally(self.scale, self.settle_minutes, self.keep_minutes)
        self.intended = Tally(self.scale, self.settle_minutes, self.keep_minutes)

    def check(
        self, budgets: Budgets, target: Hashable, taken: tuple[Disruption, ...], sizes: Sizes, *, acts: bool
    ) -> Breach | None:
        """Would one more action break a budget? `sizes`: pods of each workload, None when not known."""
        tally, now = self._tally(acts), self.clock.monotonic()
        texts: dict[str, str] = {}
        waits: list[float | None] = []
        self._sizes |= {workload: size for workload, size in sizes.items() if size}

        def breach(budget: str, text: str, wait: float | None) -> None:
            texts[budget] = f"{budget}: {text}"
            waits.append(wait)

        if budgets.actions is not None and tally.actions + 1 > budgets.actions:
            text = f"{tally.actions} of {budgets.actions} actions were used in the last lab hour"
            breach(ACTIONS, text, tally.until_actions(budgets.actions, now))
        last = tally.last(target)
        if budgets.cooldown is not None and last is not None:
            left = last + self.scale.real(minutes=budgets.cooldown) - now
            if left > 0:
                breach(
                    COOLDOWN, f"this target was acted on less than {budgets.cooldown:g} lab minutes ago", left
                )
        new = tally.new(taken)
        more = sum(new.values())
        if budgets.disruptions is not None and more and tally.away + more > budgets.disruptions:
            text = f"{tally.away} pods are away already, {more} more would exceed {budgets.disruptions}"
            breach(DISRUPTIONS, text, tally.until_back(tally.away + more - budgets.disruptions, now))
        if budgets.share is not None:
            for workload, count in new.items():
                self._check_share(budgets.share, tally, workload, count, sizes.get(workload), breach)
        if not texts:
            return None
        known = [wait for wait in waits if wait is not None]
        return Breach(texts, max(known) if len(known) == len(waits) else None)

    def _check_share(
        self, share: float, tally: Tally, workload: Workload, count: int, size: int | None, breach: Any
    ) -> None:
        away = tally.shares().get(workload, 0)
        if not count:
            return
        if not size:
            breach(SHARE, f"how many pods {workload} has cannot be told", None)
            return
        over = math.ceil(away + count - share * size - 1e-9)
        if over > 0:
            text = f"{away + count} of {size} pods of {workload} would be away, at most {share:g} of them may"
            breach(SHARE, text, tally.until_back(over, self.clock.monotonic(), workload))

    def take(self, target: Hashable, taken: tuple[Disruption, ...], *, acts: bool, ago: float = 0.0) -> Place:
        """Count an action, `ago` real seconds in the past."""
        now = self.clock.monotonic()
        at = now - ago
        tallies = (self.acted, self.intended) if acts else (self.intended,)
        for tally in tallies:
            tally.forget(now)
        return Place(tallies, tuple(tally.act(at, target, taken) for tally in tallies), taken)

    def used(self, budgets: Budgets, *, acts: bool) -> dict[str, float]:
        """How much of each budget that is set is used now. Of the cooldown: targets that cool down."""
        tally, now = self._tally(acts), self.clock.monotonic()
        shares = (away / self._sizes.get(workload, away) for workload, away in tally.shares().items())
        cooling = tally.cooling(now - self.scale.real(minutes=budgets.cooldown or 0))
        known = {
            ACTIONS: float(tally.actions),
            DISRUPTIONS: float(tally.away),
            SHARE: max(shares, default=0.0),
            COOLDOWN: float(cooling),
        }
        return {name: known[name] for name in budgets.limits()}

    def recall(self, records: Iterable[tuple[float, dict[str, Any]]]) -> None:
        """Count what the audit log says: records, oldest first, each with its age in real seconds."""
        for ago, record in records:
            if not counts(record):
                continue
            info = info_of(record)
            taken = disruptions(info, record.get("before"), record.get("diff") or ())
            self.take(key_of(info), taken, acts=record["decision"] == "allowed", ago=ago)

    def _tally(self, acts: bool) -> Tally:
        tally = self.acted if acts else self.intended
        tally.forget(self.clock.monotonic())
        return tally


def counts(record: Mapping[str, Any]) -> bool:
    """Is a record that of an action: one that acted, may have acted, or that shadow intended?"""
    decision, code = record["decision"], int(record["code"])
    if not record["mutating"] or decision == "refused":
        return False
    if decision == "allowed" and record.get("dry_run"):
        return False
    return 100 <= code < 400 or (decision == "allowed" and is_unknown(code))


def is_unknown(code: int) -> bool:
    """Does an answer leave open whether the mutation was applied?"""
    return code == 0 or code >= 500


def key_of(info: RequestInfo) -> Hashable:
    """The object that a request aims at; a subresource aims at its object."""
    return (info.group, info.resource, info.namespace, info.name)


def info_of(record: Mapping[str, Any]) -> RequestInfo:
    """What a record was about."""
    parts = (str(record.get(part) or "") for part in ("resource", "namespace", "name", "subresource"))
    return RequestInfo("", str(record["verb"]), True, str(record.get("group") or ""), "", *parts)
