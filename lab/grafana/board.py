"""A dashboard, described: panels with their queries, and the JSON that Grafana imports.

The panels flow from left to right in the order of the description; none has a place of its own. Every query
reads from the data source that the dashboard's one variable names, so the JSON suits any Grafana.
Format: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lab.metrics.metric import Metric

COLUMNS = 24
SCHEMA_VERSION = 39
"""Of Grafana 11; later ones migrate it when they read it."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE_WINDOW = "$__rate_interval"
REFRESH = "5s"
SINCE = "now-15m"
Json = dict[str, Any]


class Unit(StrEnum):
    """How Grafana writes a value."""

    NUMBER = "short"
    SECONDS = "s"
    SHARE = "percentunit"
    PERCENT = "percent"
    PER_SECOND = "ops"
    BYTES = "bytes"
    ON_OFF = "bool_on_off"


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    legend: Grafana's template, such as `{{pod}}`. needs: what a lab lacks that has no series for it: `fault
    NAME`, `part NAME` (of `lab up --with`), or a key of `REASONS`; empty where no lab lacks it.
    """

    expression: str
    legend: str
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. now: the last value in large letters, rather than a curve. minimum, maximum: of the axis."""

    title: str
    unit: Unit
    description: str
    queries: tuple[Query, ...]
    now: bool = False
    minimum: float | None = 0
    maximum: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width in columns, and height."""
        return (6, 4) if self.now else (12, 8)


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. name: of its file, and of its address as `toil-lab-<name>`."""

    name: str
    title: str
    description: str
    panels: tuple[Panel, ...]

    @property
    def uid(self) -> str:
        """What Grafana knows it by."""
        return f"toil-lab-{self.name}"

    def document(self) -> Json:
        """What Grafana imports."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["toil-lab"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": REFRESH,
            "time": {"from": SINCE, "to": "now"},
            "timezone": "browser",
            "templating": {"list": [_variable()]},
            "annotations": {"list": []},
            "links": [_links()],
            "panels": _placed(self.panels),
        }


def rate(metric: Metric, *labels: str, needs: str = "", legend: str = "") -> Query:
    """How often a counter counts, by some of its labels."""
    return _by("sum", labels, f"(rate({metric.name}[{RATE_WINDOW}]))", needs, legend)


def counted(metric: Metric, *labels: str, needs: str = "", legend: str = "") -> Query:
    """How much a counter has counted in what the dashboard shows, by some of its labels."""
    return _by("sum", labels, f"(increase({metric.name}[$__range]))", needs, legend)


def largest(metric: Metric, *labels: str, needs: str = "", legend: str = "") -> Query:
    """The largest value of a gauge, by some of its labels."""
    return _by("max", labels, f"({metric.name})", needs, legend)


def _by(operator: str, labels: tuple[str, ...], of: str, needs: str, legend: str) -> Query:
    grouped = f"{operator} by ({', '.join(labels)}) " if labels else operator
    return Query(grouped + of, legend or _legend(labels), needs)


def quantile(metric: Metric, share: float, window: str = RATE_WINDOW, needs: str = "") -> Query:
    """A quantile of a histogram. window: of the observations that count."""
    return Query(
        f"histogram_quantile({share:g}, sum by (le) (rate({metric.name}_bucket[{window}])))",
        f"{share:.0%} within",
        needs,
    )


def _legend(labels: tuple[str, ...]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in labels)


def _variable() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "refresh": 1,
        "regex": "",
        "options": [],
        "current": {"text": "default", "value": "default"},  # Grafana's default Prometheus
        "skipUrlSync": False,
    }


def _links() -> Json:
    """The way to the lab's other dashboards."""
    return {
        "type": "dashboards",
        "title": "toil-lab",
        "tags": ["toil-lab"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def _placed(panels: tuple[Panel, ...]) -> list[Json]:
    placed: list[Json] = []
    x = y = row = 0
    for number, panel in enumerate(panels, 1):
        width, height = panel.size
        if x + width > COLUMNS or (placed and x and height != row):
            x, y = 0, y + row
        row = height
        placed.append(_panel(panel, number, {"x": x, "y": y, "w": width, "h": height}))
        x += width
    return placed


def _panel(panel: Panel, number: int, place: Json) -> Json:
    defaults: Json = {"unit": panel.unit.value}
    if panel.minimum is not None:
        defaults["min"] = panel.minimum
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if not panel.now:
        defaults["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 10,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
        }
    return {
        "id": number,
        "type": "stat" if panel.now else "timeseries",
        "title": panel.title,
        "description": described(panel),
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _NOW if panel.now else _CURVE,
        "targets": [_target(query, place) for place, query in enumerate(panel.queries)],
    }


def described(panel: Panel) -> str:
    """The panel's description, with what a panel needs that is empty in a quiet lab."""
    reasons = {query.needs: None for query in panel.queries if query.needs}
    return " ".join([panel.description, *(_reason(needs) for needs in reasons)])


def _reason(needs: str) -> str:
    what, _, name = needs.partition(" ")
    if what == "fault":
        return f"Empty until the fault {name} has bitten (lab break {name})."
    if what == "part":
        return f"Empty without the optional part (lab up --with {name})."
    return REASONS[needs]


def _target(query: Query, place: int) -> Json:
    return {
        "refId": chr(ord("A") + place),
        "datasource": DATASOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "editorMode": "code",
        "range": True,
        "instant": False,
    }


REASONS = {
    "automation": "Empty until an automation runs that exports it (lab run).",
    "budgets": "Empty until a budget of actions is set (docs/gateway.md).",
    "no answer": "Empty until a page goes unanswered.",
}
_NOW: Json = {
    "colorMode": "value",
    "graphMode": "area",
    "justifyMode": "auto",
    "orientation": "auto",
    "textMode": "auto",
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
}
_CURVE: Json = {
    "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
