"""The run journal: everything a report needs, in one folder per run, written once.

    results/<run id>/run.json

It is made from the run's evidence and grade, and can be made again from them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lab.core.verdict import Axis, CheckResult, Grade, Severity, Verdict
from lab.errors import ConfigError, LabError

SCHEMA_VERSION = 1
FILE = "run.json"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Episode:
    """One stretch of lab time: a group of a graded run, or a run by hand.

    Times are RFC 3339. incidents, history and faults are in the wire forms of pager and injector, audit in
    the form of `AuditRecord.as_dict`. marks: what the harness did, `{at, what}`. shadow: the shadow report
    as plain values, when there is one.
    """

    id: str
    title: str
    mode: str
    started_at: str
    ended_at: str
    hour_seconds: float = 60.0
    incidents: tuple[Json, ...] = ()
    history: tuple[Json, ...] = ()
    faults: tuple[Json, ...] = ()
    audit: tuple[Json, ...] = ()
    posts: tuple[Json, ...] = ()
    marks: tuple[Json, ...] = ()
    shadow: Json | None = None


@dataclass(frozen=True, slots=True)
class RunJournal:
    """A run. kind: `grade`, `run` or `baseline`. ledger: `Ledger.as_dict()` or None. settings: what the lab
    was brought up with."""

    id: str
    created_at: str
    kind: str
    exercise: str = ""
    automation: str = ""
    settings: Json = field(default_factory=dict)
    grade: Grade | None = None
    episodes: tuple[Episode, ...] = ()
    ledger: Json | None = None
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


def write(journal: RunJournal, folder: Path) -> Path:
    """Write run.json into a run's folder and return it. The file appears whole or not at all.

    Raises LabError when it cannot be written.
    """
    target = folder / FILE
    temporary = target.with_suffix(".tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(as_json(journal), file, indent=1, ensure_ascii=False, default=str)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise LabError(
            f"the run cannot be written to {folder}: {error.strerror or error}",
            hint="is the disk full, or the directory read-only? LAB_RESULTS names another one",
        ) from error
    return target


def as_json(journal: RunJournal) -> Json:
    """The whole journal as plain values, with the totals of the grade spelt out."""
    values: Json = asdict(journal)
    if journal.grade is not None:
        grade = journal.grade
        values["grade"] |= {"earned": grade.earned, "possible": grade.possible, "verdict": grade.verdict}
    return values


def read(path: Path) -> RunJournal:
    """Read a run from its folder or its file.

    Raises ConfigError when it is not there, cannot be read, or is of another version.
    """
    file = path / FILE if path.is_dir() else path
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values.get("schema_version") != SCHEMA_VERSION:
            found = values.get("schema_version")
            raise ConfigError(f"{file} has schema version {found}; this lab reads {SCHEMA_VERSION}")
        return _journal(values)
    except OSError as error:
        raise ConfigError(
            f"there is no run at {path}: {error.strerror}", hint="lab grade makes one below results/"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file} is not a run that can be read: {error}") from error


def runs(root: Path) -> list[Path]:
    """The folders of all runs below `root`, newest first."""
    found = [file.parent for file in root.glob(f"*/{FILE}") if not file.parent.name.startswith(".")]
    return sorted(found, key=lambda folder: folder.name, reverse=True)


def _journal(values: Json) -> RunJournal:
    known = {f.name: values[f.name] for f in fields(RunJournal) if f.name in values}
    known["grade"] = _grade(values["grade"]) if values.get("grade") else None
    known["episodes"] = tuple(_episode(episode) for episode in values.get("episodes") or ())
    known["notes"] = tuple(values.get("notes") or ())
    return RunJournal(**known)


def _episode(values: Json) -> Episode:
    known: Json = {}
    for each in fields(Episode):
        if each.name in values:
            value = values[each.name]
            known[each.name] = tuple(value) if isinstance(value, list) else value
    return Episode(**known)


def _grade(values: Json) -> Grade:
    known = {f.name: values[f.name] for f in fields(Grade) if f.name in values}
    known["checks"] = tuple(_check(check) for check in values["checks"])
    known["notes"] = tuple(values.get("notes") or ())
    return Grade(**known)


def _check(values: Json) -> CheckResult:
    known = {f.name: values[f.name] for f in fields(CheckResult) if f.name in values}
    return CheckResult(
        **known
        | {
            "axis": Axis(values["axis"]),
            "verdict": Verdict(values["verdict"]),
            "severity": Severity(values.get("severity", Severity.RECOVERABLE)),
            "evidence": tuple(values.get("evidence") or ()),
        }
    )
