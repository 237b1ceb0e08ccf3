"""An exercise, as plain values: the story, the toil, the groups of a graded run, and what may be touched.

A group is one scenario on a fresh lab: a mode, a length, faults and control changes at given times. Times
are lab minutes. A time may be a range, and a parameter may be drawn from a list: the seed decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lab.core.audit import Mode
from lab.core.canary import CanaryPlan
from lab.core.seed import stream
from lab.core.staffing import DEAR, PARTITIONS


class ControlAction(StrEnum):
    """What happens to the control of the automation while a group runs."""

    KILL_SWITCH_ON = "kill-switch-on"
    KILL_SWITCH_OFF = "kill-switch-off"
    MODE_SHADOW = "mode-shadow"
    MODE_LIVE = "mode-live"


@dataclass(frozen=True, slots=True)
class Span:
    """A time in lab minutes, drawn evenly between two ends (which may be equal)."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class FaultStep:
    """A fault to inject. for_minutes: its lease in lab minutes, None for as long as the group lasts.

    A parameter value `$name` stands for a value drawn by the group (see `Group.draws`).
    """

    at: Span
    fault: str
    for_minutes: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ControlStep:
    """A change of mode or kill switch, with the reason that the gateway shows."""

    at: Span
    action: ControlAction
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """One scenario of a graded run. lab_minutes: its length. draws: names, each given a different value of
    the list it draws from: `{"victim": values, "decoy": values}`."""

    id: str
    title: str
    mode: Mode
    lab_minutes: float
    seed_offset: int = 0
    draw_from: tuple[int, ...] = ()
    draws: tuple[str, ...] = ()
    faults: tuple[FaultStep, ...] = ()
    control: tuple[ControlStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Toil:
    """The manual work that the automation takes away: how often, how long (minutes), at what cost an hour."""

    task: str
    per_week: float
    minutes: float
    hourly_cost: float


@dataclass(frozen=True, slots=True)
class Allowed:
    """Objects that the automation may change. name is a glob pattern."""

    namespace: str
    resource: str
    name: str = "*"

    def covers(self, namespace: str, resource: str, name: str) -> bool:
        """Whether an object is one of them. An empty name (a collection) is covered by no pattern but `*`."""
        if (namespace, resource) != (self.namespace, self.resource):
            return False
        return self.name == "*" or (bool(name) and fnmatchcase(name, self.name))


@dataclass(frozen=True, slots=True)
class ShadowThresholds:
    """What a shadow run must show before the automation is promoted.

    min_hangs: real hangs that happened. min_agreement: share of them that an intent names, 0 to 1.
    max_false_actions: intents that name something healthy. max_at_once: workers that its intents would have
    had down together. min_earlier_lab_minutes: how much earlier than the human, in the median; None for no
    such demand.
    """

    min_hangs: int = 1
    min_agreement: float = 0.9
    max_false_actions: int = 0
    max_at_once: int = 2
    min_earlier_lab_minutes: float | None = None


@dataclass(frozen=True, slots=True)
class LabNeeds:
    """What an exercise's labs are brought up with. workers: of the shop. starts: what a worker's start costs
    the database, `dear` or `cheap`. nodes: of the cluster."""

    workers: int = PARTITIONS
    starts: str = DEAR
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class Exercise:
    """One folder of exercises/. minutes: how long a candidate needs. pass_points: what the references reach
    at least, of 100. level: 1 (first) to 5. canary: its plan, None for the lab's own."""

    id: str
    title: str
    story: str
    level: int
    minutes: int
    toil: Toil
    modes: tuple[Mode, ...]
    allowed: tuple[Allowed, ...]
    groups: tuple[Group, ...]
    folder: Path
    pass_points: float = 80.0
    canary: CanaryPlan | None = None
    shadow: ShadowThresholds = ShadowThresholds()
    lab: LabNeeds = LabNeeds()

    def group(self, identity: str) -> Group:
        """The group of that id. Raises KeyError."""
        for group in self.groups:
            if group.id == identity:
                return group
        raise KeyError(identity)

    def may_change(self, namespace: str, resource: str, name: str) -> bool:
        """Whether the automation may change that object."""
        return any(allowed.covers(namespace, resource, name) for allowed in self.allowed)


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault with its time (lab minutes from the group's start) and everything drawn."""

    at: float
    fault: str
    for_minutes: float
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedControl:
    """A control change with its time (lab minutes from the group's start)."""

    at: float
    action: ControlAction
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A group made concrete by a seed. lab_seed: the seed of the group's lab."""

    lab_seed: int
    drawn: Mapping[str, int]
    faults: tuple[PlannedFault, ...]
    control: tuple[PlannedControl, ...]


def plan(exercise: Exercise, group: Group, seed: int) -> Plan:
    """What the group does with this seed: the same seed gives the same plan."""
    chance = stream(seed, exercise.id, group.id, "plan")
    drawn = dict(zip(group.draws, chance.sample(list(group.draw_from), len(group.draws)), strict=True))
    faults = []
    for step in group.faults:
        at = round(chance.uniform(step.at.least, step.at.most), 2)
        lasts = step.for_minutes if step.for_minutes is not None else group.lab_minutes - at + 60
        parameters = {
            key: drawn[value[1:]] if isinstance(value, str) and value.startswith("$") else value
            for key, value in step.parameters.items()
        }
        faults.append(PlannedFault(at, step.fault, lasts, parameters))
    control = [
        PlannedControl(round(chance.uniform(step.at.least, step.at.most), 2), step.action, step.reason)
        for step in group.control
    ]
    return Plan(
        lab_seed=seed * 1000 + group.seed_offset,
        drawn=drawn,
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
        control=tuple(sorted(control, key=lambda step: step.at)),
    )
