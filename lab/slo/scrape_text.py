"""Editing what a target answers: Prometheus' text exposition format, by metric name.

A pattern has shell wildcards (`shop_queue_*`). It selects samples by their name or by the name of the metric
that they belong to, so `shop_order_confirmation_seconds` takes a histogram's buckets with it.
Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache

EVERY = "*"
_NAME_END = re.compile(r"[{\s]")


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def name_matches(name: str, pattern: str) -> bool:
    """Whether a name is one of the pattern's."""
    return pattern == EVERY or _compiled(pattern).match(name) is not None


def split(text: str, pattern: str) -> tuple[str, str]:
    """The lines of the pattern's metrics, and all others, each in their order."""
    if pattern == EVERY:
        return text, ""
    chosen: list[str] = []
    others: list[str] = []
    for line, names in _lines(text):
        matches = any(name_matches(name, pattern) for name in names)
        (chosen if matches else others).append(line)
    return "".join(chosen), "".join(others)


def stamp(text: str, milliseconds: int) -> str:
    """The text with a timestamp at every sample that has none, in milliseconds since 1970."""
    stamped = []
    for line, _ in _lines(text):
        body = line.rstrip()
        if body and not body.startswith("#") and len(body[body.rfind("}") + 1 :].split()) == _bare(body):
            line = f"{body} {milliseconds}\n"
        stamped.append(line)
    return "".join(stamped)


def _bare(line: str) -> int:
    """How many words follow the labels of a sample without timestamp; the name is one when there are none."""
    return 1 if "}" in line else 2


def _lines(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each line with the names it goes by: its own, and that of the metric that it belongs to."""
    family = ""
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            words = line.split(maxsplit=3)
            if len(words) > 2 and words[1] in ("HELP", "TYPE"):
                family = words[2]
                yield line, (family,)
            else:
                yield line, ()
        elif line.strip():
            name = _NAME_END.split(line, maxsplit=1)[0]
            yield line, (name, family) if family and name.startswith(family) else (name,)
        else:
            yield line, ()
