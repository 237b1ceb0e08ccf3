"""The pytest plugin: points and axes on tests, saved evidence as fixtures, verdicts instead of outcomes.

    @pytest.mark.group("live")                           the group whose evidence the test reads
    @pytest.mark.points(10, axis="Impact", severity=…)   what it is worth

    fixtures: evidence, exercise, check

A failed `check` or a plain assertion is a fail; `inconclusive(reason)` is inconclusive; evidence that the lab
could not bring is an error; every other exception is an error of the check. Errors cost nobody points.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path

import pytest

from lab.catalog import load_exercise
from lab.core.exercise import Exercise
from lab.core.verdict import Axis, CheckResult, Severity, Verdict
from lab.engine.evidence import Evidence, load
from lab.errors import LabError
from lab.grading.finding import ERROR_FILE, Finding, Inconclusive, Unmet

Check = Callable[[Finding], None]

_RESULTS = pytest.StashKey[list[CheckResult]]()
_FINDING = pytest.StashKey[Finding]()
_EVIDENCE = pytest.StashKey[dict[str, Evidence]]()


class GroupFailed(LabError):
    """The lab could not run the group."""


class GroupNotRun(LabError):
    """The group was not asked for."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the exercise and the evidence are, and where the results go."""
    group = parser.getgroup("lab")
    group.addoption("--lab-exercise", type=Path, help="folder of the exercise")
    group.addoption("--lab-evidence", type=Path, help="folder with one folder of evidence per group")
    group.addoption("--lab-results", type=Path, help="file to write the check results to")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "points(n, axis, severity): what a check is worth")
    config.addinivalue_line("markers", "group(id): the group whose evidence a check reads")
    config.stash[_RESULTS] = []
    config.stash[_EVIDENCE] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every check says what it is worth and which group it reads; together they are worth 100."""
    problems = []
    total = 0
    for item in items:
        try:
            total += _worth(item)[0]
            _group_of(item)
        except (ValueError, TypeError) as error:
            problems.append(f"{item.nodeid}: {error}")
    if not problems and total != 100:
        problems.append(f"the checks are worth {total} points, not 100")
    if problems:
        raise pytest.UsageError(*problems)


def _worth(item: pytest.Item) -> tuple[int, Axis, Severity]:
    mark = item.get_closest_marker("points")
    if mark is None:
        raise ValueError("has no points marker")
    points, axis = mark.args[0], Axis(mark.kwargs["axis"]) if "axis" in mark.kwargs else None
    if not isinstance(points, int) or points < 0 or axis is None:
        raise ValueError("points needs a whole number and an axis")
    return points, axis, Severity(mark.kwargs.get("severity", Severity.RECOVERABLE))


def _group_of(item: pytest.Item) -> str:
    mark = item.get_closest_marker("group")
    if mark is None:
        raise ValueError("has no group marker")
    return str(mark.args[0])


@pytest.fixture(scope="session")
def exercise(request: pytest.FixtureRequest) -> Exercise:
    """The exercise that is graded."""
    return load_exercise(request.config.getoption("--lab-exercise"))


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """What the check's group left behind."""
    group = _group_of(request.node)
    known = request.config.stash[_EVIDENCE]
    if group not in known:
        known[group] = _load(request.config.getoption("--lab-evidence") / group, group)
    return known[group]


def _load(folder: Path, group: str) -> Evidence:
    failure = folder / ERROR_FILE
    if failure.is_file():
        raise GroupFailed(str(json.loads(failure.read_text())["message"]))
    if not folder.is_dir():
        raise GroupNotRun(f"group {group} was not run")
    return load(folder)


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Check:
    """Record a finding; the test fails here when it is not ok."""

    def record(finding: Finding) -> None:
        request.node.stash[_FINDING] = finding
        if not finding.ok:
            raise Unmet(finding)

    return record


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the outcome of a check into its result."""
    report = yield
    if report.when == "call" or (report.when == "setup" and call.excinfo is not None):
        problem = call.excinfo.value if call.excinfo else None
        item.config.stash[_RESULTS].append(_result(item, problem, call.duration))
    return report


def _result(item: pytest.Item, problem: BaseException | None, seconds: float) -> CheckResult:
    points, axis, severity = _worth(item)
    group = _group_of(item)
    name = item.name.removeprefix("test_").replace("_", "-")
    document = (getattr(getattr(item, "function", None), "__doc__", None) or name).strip()
    verdict, finding = _verdict(item, problem)
    earned = {Verdict.PASS: float(points), Verdict.FAIL: points * finding.share}.get(verdict, 0.0)
    return CheckResult(
        id=f"{group}.{name}",
        title=document.splitlines()[0],
        axis=axis,
        points=points,
        verdict=verdict,
        earned=round(earned, 2),
        severity=severity,
        group=group,
        expected=finding.expected,
        seen=finding.seen,
        evidence=finding.evidence,
        look_at=finding.look_at,
        next_command=finding.next_command,
        seconds=round(seconds, 4),
    )


def _verdict(item: pytest.Item, problem: BaseException | None) -> tuple[Verdict, Finding]:
    recorded = item.stash.get(_FINDING, Finding(True, "", ""))
    match problem:
        case None:
            return Verdict.PASS, recorded
        case Unmet():
            return Verdict.FAIL, problem.finding
        case Inconclusive():
            return Verdict.INCONCLUSIVE, Finding(False, recorded.expected, str(problem))
        case GroupNotRun():
            return Verdict.SKIPPED, Finding(False, "", problem.message)
        case GroupFailed():
            return Verdict.ERROR, Finding(
                False, "", problem.message, look_at="the lab itself, not your program"
            )
        case AssertionError():
            return Verdict.FAIL, Finding(False, recorded.expected, str(problem).splitlines()[0])
        case _:
            last = tuple(line.rstrip() for line in traceback.format_exception(problem)[-2:])
            return Verdict.ERROR, Finding(False, "", f"{type(problem).__name__}: {problem}", last)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write all results at once."""
    target: Path | None = session.config.getoption("--lab-results")
    if target is not None:
        results = [asdict(result) for result in session.config.stash[_RESULTS]]
        temporary = target.with_suffix(".tmp")
        temporary.write_text(json.dumps(results, indent=1))
        temporary.replace(target)
