"""The history as a page of text that a person reads in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lab.core.clock import rfc3339
from lab.core.incident import HistoryEntry, Incident

_WIDTH = 400


def plain(text: str, limit: int = _WIDTH) -> str:
    """One line without control characters: what a stranger wrote must not move the reader's cursor."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def history_text(entries: Iterable[HistoryEntry], incidents: Mapping[str, Incident]) -> str:
    """One line per entry, oldest first: time, kind, incident, who, text."""
    lines = [_line(entry, incidents.get(entry.incident)) for entry in entries]
    return "\n".join(lines) + "\n" if lines else "nothing has happened yet\n"


def _line(entry: HistoryEntry, incident: Incident | None) -> str:
    about = entry.incident or "-"
    if incident is not None and entry.kind in ("opened", "reopened"):
        labels = ", ".join(
            f"{name}={value}"
            for name, value in sorted(incident.labels.items())
            if name not in ("alertname", "severity")
        )
        about += f" [{incident.severity or 'no severity'}] {incident.alertname}{{{labels}}}"
    moment = rfc3339(entry.at)[:-4] + "Z"  # milliseconds are enough for a reader
    by = "" if entry.by == "alert" else f" by {plain(entry.by)}"
    said = f": {plain(entry.text)}" if entry.text else ""
    return f"{moment}  {entry.kind:<12}  {plain(about)}{by}{said}"
