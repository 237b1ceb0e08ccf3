"""A plan of faults: which, when, for how long. Spans are real seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.core.fault import FaultSpec, find_spec, read_span
from lab.errors import UsageError


@dataclass(frozen=True, slots=True)
class Step:
    """One fault of a plan. at_seconds: after the plan's start. for_seconds None: until undone."""

    at_seconds: float
    fault: str
    for_seconds: float | None = None
    parameters: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        wire: dict[str, Any] = {"atSeconds": self.at_seconds, "fault": self.fault}
        if self.for_seconds is not None:
            wire["forSeconds"] = self.for_seconds
        return wire | {"parameters": dict(self.parameters or {})}


@dataclass(frozen=True, slots=True)
class Plan:
    """Faults in the order in which they start. The seed chooses the victims of each step."""

    seed: int
    steps: tuple[Step, ...]

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"seed": self.seed, "steps": [step.as_dict() for step in self.steps]}

    @classmethod
    def from_dict(cls, data: Any, specs: Mapping[str, FaultSpec]) -> Plan:
        """Read and check the wire form. Raises UsageError naming every wrong step."""
        if not isinstance(data, Mapping) or not isinstance(data.get("steps"), list):
            raise UsageError("a schedule is {seed, steps: [{atSeconds, fault, forSeconds?, parameters?}]}")
        seed = data.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise UsageError(f"seed is a whole number, not {seed!r}")
        steps: list[Step] = []
        problems: list[str] = []
        for number, raw in enumerate(data["steps"]):
            try:
                steps.append(_read_step(raw, specs))
            except UsageError as error:
                problems.append(f"step {number}: {error.message}")
        if problems:
            raise UsageError("; ".join(problems))
        return cls(seed, tuple(sorted(steps, key=lambda step: step.at_seconds)))


def _read_step(raw: Any, specs: Mapping[str, FaultSpec]) -> Step:
    if not isinstance(raw, Mapping):
        raise UsageError(f"is an object, not {raw!r}")
    spec = find_spec(raw.get("fault"), specs)
    given = raw.get("parameters") or {}
    if not isinstance(given, Mapping):
        raise UsageError("parameters is an object")
    spec.read(given)
    lasting = raw.get("forSeconds")
    return Step(
        read_span(raw.get("atSeconds", 0), "atSeconds"),
        spec.name,
        None if lasting is None else read_span(lasting, "forSeconds", least=0.1),
        dict(given),
    )
