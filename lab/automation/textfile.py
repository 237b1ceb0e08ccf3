"""The textfile convention of node_exporter: `*.prom` files of the program, merged into one exposition.

Prometheus drops a whole scrape for one bad line, so files are parsed and written anew from what they mean. A
file that is not valid is left out and counted; it never takes the others, or the runner, with it.
"""

from __future__ import annotations

import math
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

MAX_FILE_BYTES = 1024 * 1024
MAX_FILES = 50
MAX_SAMPLES = 5000
MAX_LABEL_VALUE = 500
RESERVED_PREFIX = "toil_automation_"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "untyped", "unknown"})
_OWN_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}

Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Merged:
    """families: what all valid files say. errors: file name -> why it was left out."""

    families: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    seen: set[Series] = field(default_factory=set)

    def text(self) -> str:
        """The exposition, families together, each line ended."""
        return "".join(line + "\n" for lines in self.families.values() for line in lines)


def merge(directory: Path) -> Merged:
    """Read every `*.prom` file of the directory. Never raises for what a file holds."""
    merged = Merged()
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".prom"))
    except OSError as error:
        merged.errors["(directory)"] = error.strerror or str(error)
        return merged
    if len(names) > MAX_FILES:
        merged.errors[names[MAX_FILES]] = f"so are all after it: {len(names)} files, at most {MAX_FILES}"
    for name in names[:MAX_FILES]:
        try:
            _add(merged, _read(directory / name))
        except (
            ValueError,
            OSError,
            RecursionError,
            IndexError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:
            merged.errors[name] = " ".join(str(error).split())[:200] or type(error).__name__
    return merged


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        if found.st_size > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES // 1024} KiB")
        return stream.read(MAX_FILE_BYTES + 1).decode()


def _add(merged: Merged, text: str) -> None:
    families: dict[str, list[str]] = {}
    series: set[Series] = set()
    for family in text_string_to_metric_families(text):
        kind = family.type if family.type in _TYPES else "untyped"
        name = family.name + "_total" if kind == "counter" else family.name
        if name in merged.families:
            raise ValueError(f"{name} is already exported by another file")
        if name not in families:
            families[name] = [f"# TYPE {name} {'untyped' if kind == 'unknown' else kind}"]
        elif kind not in ("untyped", "unknown"):
            raise ValueError(f"{name} is given in two places of the file")
        families[name] += _lines(family, kind, series)
    if len(series) + len(merged.seen) > MAX_SAMPLES:
        raise ValueError(f"more than {MAX_SAMPLES} samples")
    if series & merged.seen:
        raise ValueError("a series is already exported by another file")
    merged.families.update(families)
    merged.seen |= series


def _lines(family: Metric, kind: str, series: set[Series]) -> list[str]:
    lines = []
    for sample in family.samples:
        if sample.timestamp is not None:
            raise ValueError("a sample has a time of its own; Prometheus would reject it as stale")
        if not _NAME.fullmatch(sample.name) or sample.name.startswith(RESERVED_PREFIX):
            raise ValueError(f"{sample.name[:80]!r} is not a name that a program may export")
        if kind in _OWN_SUFFIXES and sample.name not in {family.name + end for end in _OWN_SUFFIXES[kind]}:
            raise ValueError(f"{sample.name[:80]!r} does not belong to the {kind} {family.name[:80]!r}")
        labels = tuple(sorted(sample.labels.items()))
        if (sample.name, labels) in series:
            raise ValueError(f"{sample.name} is given twice with the same labels")
        series.add((sample.name, labels))
        lines.append(f"{sample.name}{_labels(labels)} {_number(sample.value)}")
    return lines


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    parts = []
    for name, value in labels:
        if not _LABEL.fullmatch(name) or name.startswith("__") or len(value) > MAX_LABEL_VALUE:
            raise ValueError(f"{name[:80]!r} is not a label that a program may export")
        escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        parts.append(f'{name}="{escaped}"')
    return "{" + ",".join(parts) + "}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
