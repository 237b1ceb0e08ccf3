"""What a graded run leaves for its readers, made from its evidence and its grade.

results/<run>/run.json      the whole run as plain values
              junit.xml     for continuous integration
              report.html   one file to take along
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.core.audit import Mode
from lab.core.exercise import Exercise, ShadowThresholds
from lab.core.verdict import Grade
from lab.economics.ledger import Ledger, ledger
from lab.engine.evidence import Evidence, load
from lab.engine.shadow import DEFAULTS, shadow_report
from lab.errors import ConfigError, LabError
from lab.grading.run import EVIDENCE_FOLDER
from lab.reports.html import html_report
from lab.reports.journal import Episode, RunJournal, write
from lab.reports.junit import junit_xml

REPORT_FILE = "report.html"
JUNIT_FILE = "junit.xml"
Rows = tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]


def publish(exercise: Exercise, grade: Grade, folder: Path) -> RunJournal:
    """Write run.json, junit.xml and report.html into a run's folder, anew when they are there.

    Raises LabError when they cannot be written.
    """
    journal = journal_of(exercise, grade, folder)
    write(journal, folder)
    try:
        (folder / JUNIT_FILE).write_bytes(junit_xml(grade))
        (folder / REPORT_FILE).write_text(html_report(journal), encoding="utf-8")
    except OSError as error:
        raise LabError(
            f"the report cannot be written to {folder}: {error.strerror}",
            hint="free some space and try again",
        ) from error
    return journal


def journal_of(exercise: Exercise, grade: Grade, folder: Path) -> RunJournal:
    """Everything a report needs, read from the run's folder. Groups without evidence are left out."""
    found = {}
    for group in exercise.groups:
        try:
            found[group.id] = load(folder / EVIDENCE_FOLDER / group.id)
        except ConfigError:
            continue
    made = run_ledger(exercise, tuple(found.values()), grade.seed)
    return RunJournal(
        id=grade.run,
        created_at=grade.started_at,
        kind="grade",
        exercise=exercise.title,
        automation=grade.automation,
        settings={"seed": grade.seed, "provider": grade.provider},
        grade=grade,
        episodes=tuple(
            episode(exercise.group(name).title, seen, exercise.shadow) for name, seen in found.items()
        ),
        ledger=made.as_dict() if made else None,
        notes=grade.notes,
    )


def run_ledger(exercise: Exercise, evidence: tuple[Evidence, ...], seed: int) -> Ledger | None:
    """The toil before and after: people alone, as in the shadow groups, against the automation in the live
    ones. None when no group left evidence."""
    if not evidence:
        return None
    return ledger(
        exercise.toil,
        evidence[0].scale,
        before=_rows(evidence, Mode.SHADOW),
        after=_rows(tuple(seen for seen in evidence if not _was_stopped(seen)), Mode.LIVE),
        seed=seed,
    )


def _was_stopped(evidence: Evidence) -> bool:
    """A run with the kill switch on says nothing about how quick the automation is."""
    return any(mark.what.startswith("kill-switch") for mark in evidence.marks)


def _rows(evidence: tuple[Evidence, ...], mode: Mode) -> Rows | None:
    of_mode = [seen for seen in evidence if seen.mode is mode]
    if not of_mode:
        return None
    incidents = [incident.as_dict() for seen in of_mode for incident in seen.incidents]
    return incidents, [entry for seen in of_mode for entry in seen.faults]


def episode(title: str, seen: Evidence, thresholds: ShadowThresholds = DEFAULTS) -> Episode:
    """One group's evidence in the form that reports read."""
    return Episode(
        id=seen.group,
        title=title,
        mode=seen.mode.value,
        started_at=seen.started_at,
        ended_at=seen.ended_at,
        hour_seconds=seen.hour_seconds,
        incidents=tuple(incident.as_dict() for incident in seen.incidents),
        history=tuple(entry.as_dict() for entry in seen.history),
        faults=seen.faults,
        audit=tuple(record.as_dict() for record in seen.mutations),
        posts=seen.posts,
        marks=tuple({"at": mark.at, "what": mark.what} for mark in seen.marks),
        shadow=shadow_report(seen, thresholds).as_dict() if seen.mode is Mode.SHADOW else None,
    )
