"""An episode as a chart: what was broken, what was paged, what was done. Geometry only; the page draws it.

faults      ▇▇▇▇▇▇▇            ▇▇▇▇
incidents      ▇▇▇▇▇▇▇           ▇▇▇
actions          ○  ●                ✕
            ├────┼────┼────┼────┼────┤  lab minutes
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.core.clock import TimeScale, parse_rfc3339
from lab.core.incident import NO_ACTION
from lab.economics.handling import is_human
from lab.reports.figures import described, fate
from lab.reports.journal import Episode

Json = dict[str, Any]
LEFT, RIGHT, ROW, GAP, TOP = 84.0, 12.0, 16.0, 10.0, 8.0
WIDTH = 960.0
MAX_ROWS = 12
MAX_MARK_ROWS = 3
MAX_MARKS = 600
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440)
_WIDEST_MARK = 10.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A span. x, y, width, in the chart's own units; style names its look; text is said on hover."""

    x: float
    y: float
    width: float
    style: str
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment."""

    x: float
    y: float
    style: str
    text: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A horizontal band with its name."""

    name: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the table that says the same as the chart. minute: lab minutes from the start."""

    minute: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything to draw. ticks: (x, label) of the axis, in lab minutes. moments: what the harness did."""

    width: float
    height: float
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    moments: tuple[tuple[float, str], ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    start: float
    end: float
    style: str
    text: str


def chart(episode: Episode) -> Chart:
    """Lay an episode out. Raises ValueError when its times cannot be read."""
    axis = _Axis(episode)
    faults = [_fault(axis, entry) for entry in episode.faults if entry.get("appliedAt")]
    incidents = [_incident(axis, incident) for incident in episode.incidents]
    actions = sorted(_actions(axis, episode), key=lambda span: span.start)[:MAX_MARKS]
    frame = _Frame(axis)
    frame.add_bars("Faults", faults)
    frame.add_bars("Incidents", incidents)
    frame.add_marks("Automation", [span for span in actions if span.style != "human"])
    frame.add_marks("Human", [span for span in actions if span.style == "human"])
    moments = [(axis.minute(mark["at"]), str(mark["what"])) for mark in episode.marks]
    events = [Event(span.start, kind, span.text) for kind, span in _kinds(faults, incidents, actions)]
    events += [Event(minute, "harness", text) for minute, text in moments]
    return Chart(
        width=WIDTH,
        height=frame.y + 18,
        lanes=tuple(frame.lanes),
        bars=tuple(frame.bars),
        marks=tuple(frame.marks),
        ticks=axis.ticks(),
        moments=tuple((axis.x(minute), text) for minute, text in moments),
        events=tuple(sorted(events, key=lambda event: event.minute)),
    )


class _Axis:
    """Lab minutes from the episode's start, and their place."""

    def __init__(self, episode: Episode) -> None:
        self._scale = TimeScale(episode.hour_seconds)
        self._start = parse_rfc3339(episode.started_at)
        self.length = max(self.minute(episode.ended_at), 1.0)

    def minute(self, instant: str) -> float:
        return self._scale.lab_minutes((parse_rfc3339(instant) - self._start).total_seconds())

    def x(self, minute: float) -> float:
        share = min(max(minute / self.length, 0.0), 1.0)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)

    def minutes_of(self, width: float) -> float:
        return width / (WIDTH - LEFT - RIGHT) * self.length

    def ticks(self) -> tuple[tuple[float, str], ...]:
        step = next((s for s in _STEPS if self.length / s <= 12), math.ceil(self.length / 12))
        return tuple((self.x(m), str(m)) for m in range(0, math.floor(self.length) + 1, step))


class _Frame:
    """Lanes from top to bottom."""

    def __init__(self, axis: _Axis) -> None:
        self._axis = axis
        self.y = TOP
        self.lanes: list[Lane] = []
        self.bars: list[Bar] = []
        self.marks: list[Mark] = []

    def add_bars(self, name: str, spans: list[_Span]) -> None:
        rows = self._lane(name, spans, MAX_ROWS)
        for span, y in zip(spans, rows, strict=True):
            x = self._axis.x(span.start)
            width = max(self._axis.x(span.end) - x, 2.0)
            self.bars.append(Bar(min(x, WIDTH - RIGHT - width), y + 2, width, span.style, span.text))

    def add_marks(self, name: str, spans: list[_Span]) -> None:
        wide = self._axis.minutes_of(_WIDEST_MARK)
        rows = self._lane(name, [replace(span, end=span.start + wide) for span in spans], MAX_MARK_ROWS)
        for span, y in zip(spans, rows, strict=True):
            self.marks.append(Mark(self._axis.x(span.start), y + ROW / 2, span.style, span.text))

    def _lane(self, name: str, spans: list[_Span], most: int) -> list[float]:
        rows = [min(row, most - 1) for row in _stack(spans)]
        height = ROW * (max(rows, default=0) + 1)
        tops = [self.y + ROW * row for row in rows]
        self.lanes.append(Lane(name, self.y, height))
        self.y += height + GAP
        return tops


def _fault(axis: _Axis, entry: Json) -> _Span:
    target = entry.get("target") or {}
    where = str(target.get("name") or "")
    if target.get("partition") is not None:
        where += f" (partition {target['partition']})"
    end = axis.minute(entry["undoneAt"]) if entry.get("undoneAt") else axis.length
    kind = "look-alike, to be left alone" if entry.get("decoy") else "fault"
    cure = f", over by {entry['undoneBy']}" if entry.get("undoneBy") else ", not over"
    style = "decoy" if entry.get("decoy") else "fault"
    return _Span(axis.minute(entry["appliedAt"]), end, style, f"{kind} {entry['fault']} {where}{cure}")


def _incident(axis: _Axis, incident: Json) -> _Span:
    end = axis.minute(incident["resolvedAt"]) if incident.get("resolvedAt") else axis.length
    labels = incident.get("labels") or {}
    about = f" partition {labels['partition']}" if "partition" in labels else ""
    status = f"resolved by {incident['resolvedBy']}" if incident.get("resolvedBy") else "not resolved"
    text = f"{incident['id']} {incident['alertname']}{about}, {status}"
    return _Span(axis.minute(incident["openedAt"]), end, "incident", text)


def _actions(axis: _Axis, episode: Episode) -> list[_Span]:
    found = []
    for record in episode.audit:
        style = fate(record)
        if style == "reads" or not record.get("mutating"):
            continue
        minute = axis.minute(record["time"])
        text = f"#{record['seq']} {described(record)}: {style.replace('_', ' ')}, {record['code']}"
        if record.get("reason"):
            text += f" ({record['reason']})"
        found.append(_Span(minute, minute, style, text))
    for incident in episode.incidents:
        for action in incident.get("actions") or ():
            if not is_human(str(action.get("by", ""))) or action.get("action") == NO_ACTION:
                continue
            minute = axis.minute(action["startedAt"])
            name = (action.get("target") or {}).get("name") or ""
            text = f"{action['by']}: {action['action']} {name} {action.get('outcome') or ''}".rstrip()
            found.append(_Span(minute, minute, "human", text))
    return found


def _stack(spans: Sequence[_Span]) -> list[int]:
    """A row for each span so that none overlap: the first row that is free again."""
    rows: list[int] = []
    ends: list[float] = []
    order = sorted(range(len(spans)), key=lambda index: spans[index].start)
    placed = dict.fromkeys(order, 0)
    for index in order:
        span = spans[index]
        row = next((r for r, end in enumerate(ends) if end <= span.start), len(ends))
        if row == len(ends):
            ends.append(span.end)
        ends[row] = span.end
        placed[index] = row
    rows = [placed[index] for index in range(len(spans))]
    return rows


def _kinds(faults: list[_Span], incidents: list[_Span], actions: list[_Span]) -> list[tuple[str, _Span]]:
    pairs = [("fault", span) for span in faults] + [("incident", span) for span in incidents]
    return pairs + [("human" if span.style == "human" else "automation", span) for span in actions]
