"""Faults as data: what one is, what it takes, and what was really done.

Keys on the wire are camelCase. Spans are real seconds unless a name says lab minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from lab.core.clock import parse_rfc3339, rfc3339
from lab.errors import UsageError

MARK = "toil-lab/fault"
"""Annotation of an object that a fault has changed, and label of a pod that it has made; its value is the
journal entry."""
LONGEST_TEXT = 200
LONGEST_SECONDS = 86_400.0
"""No fault lasts, and no step of a plan starts, later than a day."""


class ParameterType(StrEnum):
    """What a parameter's value is."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of a fault. default None means: chosen by the fault when absent.

    choices: the texts that are taken; empty means any text of up to `LONGEST_TEXT` characters.
    several: the text is a list of such texts, separated by commas.
    """

    name: str
    type: ParameterType
    meaning: str
    default: int | float | bool | str | None = None
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    several: bool = False

    def problem(self, value: Any) -> str:
        """Why a value is not acceptable; empty when it is."""
        boolean = isinstance(value, bool)
        if self.type is ParameterType.BOOLEAN:
            return "" if boolean else f"{self.name} is true or false, not {value!r}"
        if self.type is ParameterType.TEXT:
            return self._text_problem(value)
        number = isinstance(value, int | float) and not boolean and math.isfinite(value)
        whole = self.type is ParameterType.INTEGER
        if not number or (whole and value != int(value)):
            return f"{self.name} is a {'whole ' if whole else ''}number, not {value!r}"
        if self.minimum is not None and value < self.minimum:
            return f"{self.name} is at least {self.minimum:g}, not {value:g}"
        if self.maximum is not None and value > self.maximum:
            return f"{self.name} is at most {self.maximum:g}, not {value:g}"
        return ""

    def _text_problem(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            return f"{self.name} is a text of at most {LONGEST_TEXT} characters, not {value!r:.80}"
        for one in split_texts(value) if self.several else (value,):
            if self.choices and one not in self.choices:
                return f"{self.name} is one of {', '.join(self.choices)}, not {one!r}"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "name": self.name,
            "type": self.type.value,
            "meaning": self.meaning,
            "default": self.default,
            "unit": self.unit,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "choices": list(self.choices),
            "several": self.several,
        }


def split_texts(value: str) -> tuple[str, ...]:
    """The texts of a list that is separated by commas; blanks around them do not count."""
    return tuple(one.strip() for one in value.split(",") if one.strip())


class Family(StrEnum):
    """What a fault hurts."""

    WORKLOAD = "workload"
    API = "kubernetes-api"
    MONITORING = "monitoring"
    STORE = "object-store"
    AUTOMATION = "automation"


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A kind of fault.

    decoy: it only looks like damage, its victims are healthy and must be left alone.
    lease_lab_minutes: how long it lasts when nobody says; None: until it is undone.
    on: the parameter that names the victim, which `lab break --on` sets; empty when there is none.
    instant: a single act, such as a kill. It is over once it is applied, and there is nothing to undo.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    decoy: bool = False
    family: Family = Family.WORKLOAD
    lease_lab_minutes: float | None = None
    on: str = ""
    instant: bool = False

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters with their values, defaults filled in; one without either is left out.

        Raises UsageError naming every problem.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        problems = [f"there is no parameter {name!r}" for name in given if name not in known]
        values: dict[str, Any] = {}
        for name, parameter in known.items():
            value = given.get(name)
            if value is None:
                value = parameter.default
            elif problem := parameter.problem(value):
                problems.append(problem)
            elif parameter.type is ParameterType.INTEGER:
                value = int(value)
            if value is not None:
                values[name] = value
        if problems:
            raise UsageError(
                f"fault {self.name}: {'; '.join(problems)}",
                hint="its parameters: " + (", ".join(known) or "none"),
            )
        return values

    def as_dict(self) -> dict[str, Any]:
        """The wire form, as the catalogue shows it."""
        return {
            "name": self.name,
            "summary": self.summary,
            "decoy": self.decoy,
            "family": self.family.value,
            "leaseLabMinutes": self.lease_lab_minutes,
            "on": self.on or None,
            "instant": self.instant,
            "parameters": [parameter.as_dict() for parameter in self.parameters],
        }


def read_span(value: Any, name: str, *, least: float = 0.0) -> float:
    """A span in seconds from the wire. Raises UsageError unless it is a number in [least, one day]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{name} is a number of seconds, not {value!r}")
    if not least <= value <= LONGEST_SECONDS:
        raise UsageError(f"{name} is between {least:g} and {LONGEST_SECONDS:g} s, not {value:g}")
    return float(value)


class FaultState(StrEnum):
    """The life of a journal entry: planned is written before anything is done."""

    PLANNED = "planned"
    ACTIVE = "active"
    UNDONE = "undone"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FaultTarget:
    """The object that a fault bites, and the partition of the queue that it holds, if any."""

    kind: str
    namespace: str
    name: str
    partition: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        wire: dict[str, Any] = {"kind": self.kind, "namespace": self.namespace, "name": self.name}
        return wire if self.partition is None else wire | {"partition": self.partition}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FaultTarget:
        """Read the wire form."""
        partition = data.get("partition")
        return cls(
            str(data.get("kind") or ""),
            str(data.get("namespace") or ""),
            str(data.get("name") or ""),
            None if partition is None else int(partition),
        )


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One fault on one target: what was meant, and what came of it.

    undone_by: `lease` (its time was over), `heal` (somebody asked), `restart` (its victim is gone), `repair`
    (somebody mended the damage), `itself` (it was a single act).
    undo: what was there before, when undoing needs it; written before anything is changed.
    error: why it failed.
    """

    id: str
    fault: str
    target: FaultTarget
    decoy: bool
    parameters: Mapping[str, Any]
    planned_at: datetime
    state: FaultState = FaultState.PLANNED
    applied_at: datetime | None = None
    expires_at: datetime | None = None
    undone_at: datetime | None = None
    undone_by: str = ""
    undo: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def open(self) -> bool:
        """Whether it bites, or is about to."""
        return self.state in (FaultState.PLANNED, FaultState.ACTIVE)

    def expired(self, now: datetime) -> bool:
        """Whether its lease is over."""
        return self.expires_at is not None and now >= self.expires_at

    def applied(self, now: datetime, for_seconds: float | None) -> JournalEntry:
        """The entry once the fault bites; its lease counts from now."""
        expires = None if for_seconds is None else now + timedelta(seconds=for_seconds)
        return replace(self, state=FaultState.ACTIVE, applied_at=now, expires_at=expires)

    def undone(self, now: datetime, by: str) -> JournalEntry:
        """The entry once the fault is gone."""
        return replace(self, state=FaultState.UNDONE, undone_at=now, undone_by=by)

    def failed(self, error: str) -> JournalEntry:
        """The entry of a fault that could not be applied."""
        return replace(self, state=FaultState.FAILED, error=error)

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        wire: dict[str, Any] = {
            "id": self.id,
            "fault": self.fault,
            "target": self.target.as_dict(),
            "decoy": self.decoy,
            "parameters": dict(self.parameters),
            "plannedAt": rfc3339(self.planned_at),
            "appliedAt": _text(self.applied_at),
            "expiresAt": _text(self.expires_at),
            "undoneAt": _text(self.undone_at),
            "undoneBy": self.undone_by or None,
            "state": self.state.value,
        }
        more = {"undo": dict(self.undo), "error": self.error}
        return wire | {key: value for key, value in more.items() if value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JournalEntry:
        """Read the wire form; unknown keys are ignored."""
        return cls(
            id=str(data["id"]),
            fault=str(data["fault"]),
            target=FaultTarget.from_dict(data["target"]),
            decoy=bool(data["decoy"]),
            parameters=dict(data.get("parameters") or {}),
            planned_at=parse_rfc3339(str(data["plannedAt"])),
            state=FaultState(data["state"]),
            applied_at=_instant(data.get("appliedAt")),
            expires_at=_instant(data.get("expiresAt")),
            undone_at=_instant(data.get("undoneAt")),
            undone_by=str(data.get("undoneBy") or ""),
            undo=dict(data.get("undo") or {}),
            error=str(data.get("error") or ""),
        )


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _instant(value: Any) -> datetime | None:
    return parse_rfc3339(str(value)) if value else None


def find_spec(name: Any, specs: Mapping[str, FaultSpec]) -> FaultSpec:
    """The spec of that name. Raises UsageError naming those that exist."""
    if not isinstance(name, str) or name not in specs:
        raise UsageError(f"there is no fault {name!r}", hint="known: " + ", ".join(sorted(specs)))
    return specs[name]
