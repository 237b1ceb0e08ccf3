"""What a group left behind: the audit log, the fault journal, incidents, pods, samples. Saved to disk.

Checks read nothing else, so a saved run can be judged again after a check has changed.

    <folder>/meta.json  audit.jsonl  faults.json  incidents.json  history.json  posts.json
             pods.json  samples.json  automation.log
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.core.audit import AuditRecord, Decision, Mode
from lab.core.clock import TimeScale, parse_rfc3339
from lab.core.incident import HistoryEntry, Incident
from lab.errors import ConfigError

SCHEMA_VERSION = 1
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that the harness did, and when (RFC 3339)."""

    at: str
    what: str


@dataclass(frozen=True, slots=True)
class PodLife:
    """One pod of the shop as it was seen from outside. Times are Unix seconds, good to half a second.

    deleted_at: first seen with a deletion timestamp, or gone. restarts: of its container.
    """

    name: str
    uid: str
    app: str
    first_seen: float
    last_seen: float
    deleted_at: float | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """One time series of one query: (Unix seconds, value), a second apart."""

    query: str
    labels: Json
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Evidence:
    """One group's run. drawn: what the seed drew. Times in records are RFC 3339."""

    exercise: str
    group: str
    mode: Mode
    seed: int
    hour_seconds: float
    started_at: str
    ended_at: str
    drawn: Json = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    audit: tuple[AuditRecord, ...] = ()
    faults: tuple[Json, ...] = ()
    incidents: tuple[Incident, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    posts: tuple[Json, ...] = ()
    pods: tuple[PodLife, ...] = ()
    samples: tuple[Series, ...] = ()
    log: str = ""
    automation: str = ""

    @cached_property
    def scale(self) -> TimeScale:
        """The lab's time scale."""
        return TimeScale(self.hour_seconds)

    def lab_minute(self, when: str | float) -> float:
        """Lab minutes from the start of the group to an instant."""
        instant = seconds_of(when) if isinstance(when, str) else when
        return self.scale.lab_minutes(instant - seconds_of(self.started_at))

    def mark(self, what: str) -> str | None:
        """When the harness did that the first time, or None."""
        return next((mark.at for mark in self.marks if mark.what == what), None)

    @cached_property
    def mutations(self) -> tuple[AuditRecord, ...]:
        """Every mutating request of the automation, whatever became of it."""
        return tuple(record for record in self.audit if record.mutating)

    @cached_property
    def carried_out(self) -> tuple[AuditRecord, ...]:
        """Mutations that reached the cluster."""
        return tuple(
            r for r in self.mutations if r.decision is Decision.ALLOWED and not r.dry_run and r.code < 400
        )

    @cached_property
    def intents(self) -> tuple[AuditRecord, ...]:
        """Mutations that shadow mode validated and recorded instead."""
        return tuple(r for r in self.mutations if r.decision is Decision.SHADOWED and r.code < 400)

    def series(self, query: str, **labels: str) -> tuple[Series, ...]:
        """The series of one collected query with these labels."""
        return tuple(
            found
            for found in self.samples
            if found.query == query and all(found.labels.get(k) == v for k, v in labels.items())
        )


def seconds_of(instant: str) -> float:
    """Unix seconds of an RFC 3339 instant."""
    return parse_rfc3339(instant).timestamp()


def save(evidence: Evidence, folder: Path) -> Path:
    """Write the evidence below a new folder and return it. meta.json is written last: without it, nothing
    here counts."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record.as_dict(), default=str) + "\n" for record in evidence.audit)
    (folder / "audit.jsonl").write_text(lines)
    _dump(folder / "faults.json", evidence.faults)
    _dump(folder / "incidents.json", [incident.as_dict() for incident in evidence.incidents])
    _dump(folder / "history.json", [entry.as_dict() for entry in evidence.history])
    _dump(folder / "posts.json", evidence.posts)
    _dump(folder / "pods.json", [asdict(pod) for pod in evidence.pods])
    _dump(folder / "samples.json", [asdict(series) for series in evidence.samples])
    (folder / "automation.log").write_text(evidence.log)
    meta = {name: getattr(evidence, name) for name in _META} | {
        "schema_version": SCHEMA_VERSION,
        "marks": [asdict(mark) for mark in evidence.marks],
    }
    _dump(folder / "meta.json", meta)
    return folder


_META = (
    "exercise",
    "group",
    "mode",
    "seed",
    "hour_seconds",
    "started_at",
    "ended_at",
    "drawn",
    "automation",
)


def load(folder: Path) -> Evidence:
    """Read saved evidence. Raises ConfigError when it is not there, not complete, or of another version."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if meta.get("schema_version") != SCHEMA_VERSION:
            raise ConfigError(f"{folder} holds evidence of another version of the lab")
        audit = (folder / "audit.jsonl").read_text().splitlines()
        return Evidence(
            **{name: meta[name] for name in _META if name != "mode"},
            mode=Mode(meta["mode"]),
            marks=tuple(Mark(**mark) for mark in meta["marks"]),
            audit=tuple(AuditRecord.from_dict(json.loads(line)) for line in audit),
            faults=tuple(_read(folder / "faults.json")),
            incidents=tuple(Incident.from_dict(item) for item in _read(folder / "incidents.json")),
            history=tuple(HistoryEntry.from_dict(item) for item in _read(folder / "history.json")),
            posts=tuple(_read(folder / "posts.json")),
            pods=tuple(PodLife(**pod) for pod in _read(folder / "pods.json")),
            samples=tuple(_series(item) for item in _read(folder / "samples.json")),
            log=(folder / "automation.log").read_text(),
        )
    except FileNotFoundError as error:
        raise ConfigError(
            f"{folder} holds no complete evidence: {Path(error.filename).name} is missing",
            hint="lab grade keeps evidence below results/",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"the evidence in {folder} cannot be read: {error}") from error


def _series(item: Json) -> Series:
    return Series(item["query"], item["labels"], tuple((point[0], point[1]) for point in item["points"]))


def _read(path: Path) -> Sequence[Any]:
    value = json.loads(path.read_text())
    if not isinstance(value, list):
        raise ValueError(f"{path.name} is not a list")
    return value


def _dump(path: Path, value: Iterable[Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1, default=str))
    temporary.replace(path)
