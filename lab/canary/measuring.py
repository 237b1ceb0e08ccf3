"""From a metric to a sample: the query to Prometheus, and how old the data behind its answer are.

Prometheus stamps the answer of an expression with the time of the evaluation, so the age has to be asked for:
`timestamp()` of each selector of the query, the newest series of each, and the oldest of those. A scrape that
fails ends the series at once, which is no data; a scrape that comes late shows as age.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from lab.canary.analysis import Sample
from lab.core.canary import SPAN, CanaryMetric
from lab.core.clock import TimeScale
from lab.jsonhttp import HttpJson
from lab.slo.windows import prometheus_duration, window_seconds

_HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0}
_GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "bool", "inf", "nan", "atan2", "start", "end"})
_STRING = r"""\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`"""
_TOKEN = re.compile(
    rf"""(?P<comment>\#[^\n]*)
    |(?P<labels>\{{(?:{_STRING}|[^{{}}"'`])*\}})
    |(?P<string>{_STRING})
    |(?P<range>\[[^\]]*\])
    |(?P<moved>\b(?:offset\s+-?|@\s*)[\w.]+|@\s*[\w.]+)
    |(?P<number>(?<![\w:])[\d.][\w.]*)
    |(?P<word>[a-zA-Z_:][\w:]*)
    |(?P<open>\()|(?P<close>\))|\s+|.""",
    re.VERBOSE | re.DOTALL,
)


class Measure(Protocol):
    """Takes one sample. Never raises for what goes wrong outside: that is a sample with an error."""

    async def sample(self, metric: CanaryMetric) -> Sample: ...


class PrometheusMeasure(HttpJson):
    """Samples from Prometheus' query API."""

    def __init__(self, base: str, scale: TimeScale) -> None:
        super().__init__(base)
        self._scale = scale

    async def sample(self, metric: CanaryMetric) -> Sample:
        """The value of the query, and the age of its data."""
        try:
            found = await self._query(in_real_time(metric.query, self._scale))
            if found is None:
                return Sample()
            return Sample(found[1], await self._age(metric))
        except ConnectionError as error:
            return Sample(error=str(error)[:300])

    async def _age(self, metric: CanaryMetric) -> float | None:
        given = [metric.freshness] if metric.freshness else freshness(metric.query)
        ages = []
        for query in given:
            found = await self._query(in_real_time(query, self._scale))
            if found is None:
                return None
            ages.append(found[0] - found[1])
        return max(ages, default=None)

    async def _query(self, expression: str) -> tuple[float, float] | None:
        """Time of evaluation and value; None without a series. Raises ConnectionError."""
        answer = await self.call("GET", "/api/v1/query", query={"query": expression})
        try:
            return _one(answer["data"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ConnectionError(f"Prometheus answered something else: {error}") from error


def _one(data: dict[str, Any]) -> tuple[float, float] | None:
    if data["resultType"] == "scalar":
        return float(data["result"][0]), float(data["result"][1])
    if data["resultType"] != "vector":
        raise ValueError(f"the query gives a {data['resultType']}; a canary needs one number")
    if len(data["result"]) > 1:
        raise ValueError(f"the query gives {len(data['result'])} series; aggregate them to one")
    if not data["result"]:
        return None
    moment, value = data["result"][0]["value"]
    return float(moment), float(value)


def in_real_time(query: str, scale: TimeScale) -> str:
    """The query with `${5m}` of lab time written as Prometheus' duration, never below five scrapes."""

    def real(span: re.Match[str]) -> str:
        hours = float(span[1]) * _HOURS[span[2]]
        return prometheus_duration(window_seconds(hours, scale))

    return SPAN.sub(real, query)


def freshness(query: str) -> list[str]:
    """PromQL for the Unix time of the newest sample of each selector of a query."""
    return [f"max(timestamp({selector}))" for selector in selectors(query)]


def selectors(query: str) -> list[str]:
    """The instant selectors in a query: `name{labels}`, without ranges; each once."""
    tokens = [
        (str(match.lastgroup), match.group())
        for match in _TOKEN.finditer(SPAN.sub("1s", query))
        if match.lastgroup not in (None, "comment")
    ]
    found: dict[str, None] = {}
    skipping = False  # the labels of by (...), on (...)
    for place, (kind, text) in enumerate(tokens):
        following, after = tokens[place + 1] if place + 1 < len(tokens) else ("", "")
        if skipping:
            skipping = kind != "close"
        elif kind == "word" and text.lower() in _GROUPING:
            skipping = following == "open"
        elif kind == "labels":
            named = place > 0 and tokens[place - 1][0] == "word"
            found[tokens[place - 1][1] + text if named else text] = None
        elif kind == "word" and _names_a_series(text, following, after):
            found[text] = None
    return list(found)


def _names_a_series(word: str, following: str, after: str) -> bool:
    """Not a function, not an aggregation, not an operator, and not the name before its own labels."""
    if following in ("open", "labels") or after.lower() in _GROUPING:
        return False
    return word.lower() not in _WORDS
