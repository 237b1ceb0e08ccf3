"""Counting actions over time: how many in the last lab hour, on which targets, and which pods are away."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass

from lab.core.clock import TimeScale
from lab.gateway.disruption import Disruption, Workload


@dataclass(frozen=True, slots=True, eq=False)
class Action:
    """One counted action. at: a monotonic instant. previous: when its target was acted on before, if ever."""

    at: float
    target: Hashable
    previous: float | None


class Tally:
    """Actions and disruptions of the recent past. A pod counts as away for `settle_minutes` lab minutes, as
    long as its replacement needs to become ready."""

    def __init__(self, scale: TimeScale, settle_minutes: float, keep_minutes: float) -> None:
        self.hour = scale.real(hours=1)
        self.settle = scale.real(minutes=settle_minutes)
        self._keep = scale.real(minutes=keep_minutes)
        self._actions: deque[Action] = deque()
        self._last: dict[Hashable, float] = {}
        self._away: deque[tuple[float, str]] = deque()
        self._workload: dict[str, Workload] = {}
        self._by_workload: Counter[Workload] = Counter()

    def forget(self, now: float) -> None:
        """Let go of what is too long ago to count."""
        while self._actions and self._actions[0].at <= now - self.hour:
            self._actions.popleft()
        while self._away and self._away[0][0] <= now - self.settle:
            self._return(self._away.popleft()[1])
        while self._last and (oldest := next(iter(self._last))) and self._last[oldest] <= now - self._keep:
            del self._last[oldest]

    def act(self, at: float, target: Hashable, taken: tuple[Disruption, ...]) -> Action:
        """Count an action and the pods that it takes away."""
        action = Action(at, target, self._last.pop(target, None))
        self._last[target] = at  # at the end: the dictionary stays in order of time
        self._actions.append(action)
        self.take(at, taken)
        return action

    def take(self, at: float, taken: tuple[Disruption, ...]) -> None:
        """Count pods that an action, counted already, turned out to take away."""
        for disruption in taken:
            for pod in disruption.pods:
                if pod not in self._workload:
                    self._away.append((at, pod))
                    self._workload[pod] = disruption.workload
                    self._by_workload[disruption.workload] += 1

    def undo(self, action: Action, taken: tuple[Disruption, ...]) -> None:
        """Uncount an action that did not happen."""
        for back, known in enumerate(reversed(self._actions), 1):  # it is among the newest
            if known is action:
                del self._actions[-back]
                break
        if self._last.get(action.target) == action.at:
            del self._last[action.target]
            if action.previous is not None:
                self._last = {action.target: action.previous} | self._last
        gone = {pod for disruption in taken for pod in disruption.pods}
        if not gone:
            return
        kept = deque(entry for entry in self._away if entry != (action.at, entry[1]) or entry[1] not in gone)
        for _, pod in set(self._away) - set(kept):
            self._return(pod)
        self._away = kept

    @property
    def actions(self) -> int:
        """Actions in the last lab hour."""
        return len(self._actions)

    @property
    def away(self) -> int:
        """Pods that are away now."""
        return len(self._away)

    def shares(self) -> dict[Workload, int]:
        """Pods that are away, by workload."""
        return dict(self._by_workload)

    def new(self, taken: tuple[Disruption, ...]) -> dict[Workload, int]:
        """How many pods would be away in addition."""
        found: Counter[Workload] = Counter()
        for disruption in taken:
            found[disruption.workload] += sum(pod not in self._workload for pod in disruption.pods)
        return dict(found)

    def last(self, target: Hashable) -> float | None:
        """When the target was last acted on."""
        return self._last.get(target)

    def until_actions(self, most: int, now: float) -> float | None:
        """Seconds until one more action stays within `most` an hour; None when none ever does."""
        over = len(self._actions) + 1 - most
        return self._actions[over - 1].at + self.hour - now if 0 < over <= len(self._actions) else None

    def until_back(self, count: int, now: float, workload: Workload | None = None) -> float | None:
        """Seconds until `count` pods (of one workload) are back; None when fewer than that are away."""
        times = [at for at, pod in self._away if workload in (None, self._workload[pod])]
        return times[count - 1] + self.settle - now if 0 < count <= len(times) else None

    def cooling(self, since: float) -> int:
        """Targets acted on after an instant."""
        found = 0
        for at in reversed(self._last.values()):
            if at <= since:
                break
            found += 1
        return found

    def _return(self, pod: str) -> None:
        workload = self._workload.pop(pod)
        self._by_workload[workload] -= 1
        if not self._by_workload[workload]:
            del self._by_workload[workload]
