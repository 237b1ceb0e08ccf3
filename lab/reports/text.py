"""Rows for the command line: plain tables that something else prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.core.verdict import Grade, Verdict
from lab.reports.figures import described
from lab.reports.scorecard import findings
from lab.reports.scorecard import scorecard as axes

Json = dict[str, Any]
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table of text. notes stand below it."""

    title: str
    columns: Row
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def grade_table(grade: Grade) -> Table:
    """One row per check, and what to look at below."""
    rows = tuple(
        (
            check.verdict.value,
            check.axis.value,
            _points(check.earned, check.points, check.verdict),
            check.title,
        )
        for check in grade.checks
    )
    notes = [f"{number(grade.earned)} of {grade.possible} points: {grade.verdict.value}"]
    for check in findings(grade):
        notes.append(f"{check.verdict.value}: {check.title}")
        parts = [("expected", check.expected), ("seen", check.seen), ("look at", check.look_at)]
        parts.append(("next", check.next_command))
        notes += [f"  {label}: {text}" for label, text in parts if text]
        notes += [f"  evidence: {text}" for text in check.evidence[:5]]
    title = f"{grade.exercise}: {grade.automation}, seed {grade.seed}"
    return Table(title, ("verdict", "axis", "points", "check"), rows, tuple(notes) + grade.notes)


def scorecard_table(grade: Grade) -> Table:
    """One row per axis."""
    rows = tuple(
        (
            score.axis.value,
            score.colour,
            f"{number(score.earned)}/{score.possible}",
            "; ".join(check.title for check in score.failed) or ("" if score.checks else "no check"),
        )
        for score in axes(grade)
    )
    return Table("Scorecard", ("axis", "colour", "points", "lost to"), rows)


def ledger_table(ledger: Json) -> Table:
    """The ledger (`Ledger.as_dict()`): one row per way of working."""
    rows = tuple(_ledger_row(ledger[name]) for name in ("before", "after") if ledger.get(name))
    columns = ("way of working", "minutes of people each", "times a month", "hours a month", "cost a month")
    title = f"{ledger['task']}: {number(ledger['per_week'])} a week, {number(ledger['hourly_cost'])} an hour"
    return Table(title, columns, rows, tuple(ledger_notes(ledger)))


def ledger_notes(ledger: Json) -> list[str]:
    """What was measured, what was declared, what follows, what is not shown."""
    notes = [_measured_note(name, ledger.get(f"{name}_measured")) for name in ("before", "after")]
    if ledger["before"]["source"] == "declared":
        notes.append("before: no run without automation was measured; the minutes are the exercise's claim")
    if ledger.get("saved_hours_per_month") is not None:
        interval = interval_text(ledger.get("saved_interval"))
        notes.append(f"saved: {number(ledger['saved_hours_per_month'])} hours a month{interval}")
    if ledger.get("recovery_saved"):
        interval = interval_text(ledger["recovery_saved"])
        said = "quicker recovery is shown" if ledger.get("shown") else "quicker recovery is not shown"
        notes.append(f"{said}: minutes saved by the median{interval}")
    if ledger.get("investment"):
        spent = ledger["investment"]
        back = ledger.get("break_even_months")
        roi = ledger.get("return_on_investment")
        notes.append(
            f"invested (declared): {number(spent['build_hours'])} hours, {number(spent['upkeep_hours'])} a "
            f"month; earned back {'never' if back is None else f'after {number(back)} months'}"
            + ("" if roi is None else f"; return over 12 months {roi:.0%}")
        )
    notes.append("frequency and rate are declared; minutes are lab minutes; the rest follows from them")
    return [note for note in notes if note]


def intents_table(records: Iterable[Json]) -> Table:
    """What shadow mode recorded instead of doing."""
    rows = tuple(
        (
            str(record.get("time", ""))[11:19],
            described(record),
            str(record.get("incident") or ""),
            str(record.get("note") or ""),
            str(record.get("code", "")),
        )
        for record in records
    )
    return Table("Intents", ("time", "would have", "incident", "reason given", "answer"), rows)


def shadow_table(shadow: Json) -> Table:
    """The shadow report (`ShadowReport.as_dict()`): each hang, who named it when, and the verdict."""
    rows = tuple(
        (
            str(match.get("trouble", "")),
            number(match.get("began")),
            number(match.get("intent")) or "never",
            number(match.get("human")) or "never",
        )
        for match in shadow.get("matches") or ()
    )
    notes = [f"agreement {float(shadow.get('agreement') or 0):.0%}; verdict: {shadow.get('verdict', '')}"]
    if shadow.get("earlier_lab_minutes") is not None:
        lead = float(shadow["earlier_lab_minutes"])
        way = "earlier" if lead >= 0 else "later"
        notes.append(f"{number(abs(lead))} lab minutes {way} than the human, in the median")
    notes += [f"missed: {trouble}" for trouble in shadow.get("misses") or ()]
    notes += [_false_action(false) for false in shadow.get("false_actions") or ()]
    notes += [f"left alone, rightly: {name}" for name, fooled in shadow.get("decoys") or () if not fooled]
    notes += [
        f"too many at once, at lab minute {number(crowd['at'])}: {', '.join(crowd['pods'])}"
        for crowd in shadow.get("crowds") or ()
    ]
    notes += [f"against promoting: {reason}" for reason in shadow.get("reasons") or ()]
    columns = ("hang", "began (min)", "automation (min)", "human (min)")
    return Table("Shadow against the human", columns, rows, tuple(notes))


def _false_action(false: Json) -> str:
    """What it would have done to something healthy, and the look-alike that it fell for."""
    decoy = f" (fell for the {false['look_alike']})" if false.get("look_alike") else ""
    return f"false action: {false.get('record', '')}{decoy}"


def interval_text(interval: Json | None) -> str:
    """`, 95 % interval 1.2 to 3.4`, or nothing."""
    if not interval:
        return ""
    low, high = number(interval["low"]), number(interval["high"])
    return f", {interval['level']:.0%} interval {low} to {high}"


def _ledger_row(row: Json) -> Row:
    interval = row.get("interval")
    spread = f" ({number(interval['low'])} to {number(interval['high'])})" if interval else ""
    return (
        f"{row['name']} ({row['source']})",
        f"{number(row['minutes'])}{spread}",
        number(row["per_month"]),
        number(row["hours_per_month"]),
        number(row["cost_per_month"]),
    )


def _measured_note(name: str, measured: Json | None) -> str:
    if not measured or not measured["occurrences"]:
        return ""
    text = f"{name}: {_count(measured['occurrences'], 'occurrence')}"
    text += f", {_count(measured['incidents'], 'incident')}"
    text += f", {measured['by_human']} handled by people"
    text += f", {measured['by_automation']} by the automation"
    if measured["resolve_median"] is not None:
        median, p95 = number(measured["resolve_median"]), number(measured["resolve_p95"])
        text += f"; minutes to resolve: median {median}, 95th percentile {p95}"
    if measured["recovery_median"] is not None:
        median = number(measured["recovery_median"])
        text += f"; fault to recovery: median {median} ({_count(measured['faults'], 'fault')})"
    return text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _points(earned: float, points: int, verdict: Verdict) -> str:
    return f"{number(earned)}/{points}" if verdict in (Verdict.PASS, Verdict.FAIL) else f"-/{points}"


def number(value: Any) -> str:
    """A figure as people write it; an empty text for None."""
    if value is None:
        return ""
    number = float(value)
    return f"{number:,.0f}" if abs(number) >= 100 or number == round(number) else f"{number:,.1f}"
