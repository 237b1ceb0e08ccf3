"""The report as one HTML file: nothing to fetch, light and dark, readable on paper and by a screen reader."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from lab.core.verdict import Verdict
from lab.reports import text
from lab.reports.figures import activity
from lab.reports.journal import Episode, RunJournal
from lab.reports.scorecard import findings, scorecard
from lab.reports.timeline import Chart, chart
from lab.reports.whisker import Plot, whiskers
from lab.version import __version__

TEMPLATE = "report.html.j2"
_WAYS = (("before", "people only"), ("after", "with the automation"))
_WORDS = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.ERROR: "lab error",
    Verdict.SKIPPED: "skipped",
}


@dataclass(frozen=True, slots=True)
class Part:
    """An episode with its chart; `problem` says why there is none."""

    episode: Episode
    chart: Chart | None
    shadow: text.Table | None
    problem: str = ""


def html_report(journal: RunJournal) -> str:
    """The whole page. Every text of the run is escaped."""
    grade, ledger = journal.grade, journal.ledger
    return _template().render(
        journal=journal,
        grade=grade,
        axes=scorecard(grade) if grade else (),
        findings=findings(grade) if grade else (),
        parts=[_part(episode) for episode in journal.episodes],
        activity=activity(journal.episodes),
        ledger=text.ledger_table(ledger) if ledger else None,
        recovery=_recovery(journal),
        plot=_recovery_plot(journal),
        words=_WORDS,
        number=text.number,
        version=__version__,
    )


def _part(episode: Episode) -> Part:
    shadow = text.shadow_table(episode.shadow) if episode.shadow else None
    try:
        return Part(episode, chart(episode), shadow)
    except (ValueError, KeyError, TypeError) as error:
        return Part(episode, None, shadow, f"no timeline: the records cannot be read ({error})")


def _recovery(journal: RunJournal) -> text.Table | None:
    """Minutes from fault to recovery, people against automation, each with its interval."""
    rows = []
    for name, title in _WAYS:
        measured = (journal.ledger or {}).get(f"{name}_measured")
        if measured and measured["recovery_median"] is not None:
            interval = measured["recovery_interval"]
            spread = (
                f"{text.number(interval['low'])} to {text.number(interval['high'])}"
                if interval
                else "too few"
            )
            values = (measured["recovery_median"], measured["recovery_p95"])
            rows.append((title, str(measured["faults"]), *map(text.number, values), spread))
    if not rows:
        return None
    columns = ("", "faults", "median", "95th percentile", "95 % interval of the median")
    return text.Table("Minutes from fault to recovery", columns, tuple(rows))


def _recovery_plot(journal: RunJournal) -> Plot | None:
    rows = []
    for name, title in _WAYS:
        measured = (journal.ledger or {}).get(f"{name}_measured")
        if measured and measured["recovery_median"] is not None:
            rows.append((title, measured["recovery_median"], measured["recovery_interval"]))
    return whiskers(rows) if rows else None


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE)
