"""Runs the chosen cases against one server and gives each test its outcome.

CONFORMANCE_KUBECONFIG names the server; without it a localkube of our own is started: with its kubelet for
`make conformance` (CONFORMANCE_WHOLE=1), without one in the default suite, where a second counts.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest
from conformance_cases import Case, load
from conformance_running import Report, run_cases
from conformance_servers import localkube

from lab.kube.kubeconfig import load_kubeconfig

CASES = load()
_report = pytest.StashKey[Report]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each case."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """How each chosen case went; they run side by side, before the first test that asks."""
    chosen: dict[str, Case] = {}
    for item in request.session.items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")
        if isinstance(case, Case):
            chosen[case.case] = case
    named = os.environ.get("CONFORMANCE_KUBECONFIG")
    if named:
        found = asyncio.run(run_cases(load_kubeconfig(Path(named)), chosen.values()))
    else:
        options = [] if os.environ.get("CONFORMANCE_WHOLE") else ["--api-only"]
        with localkube(*options) as kubeconfig:
            found = asyncio.run(run_cases(load_kubeconfig(kubeconfig), chosen.values()))
    request.config.stash[_report] = found
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How many cases passed, deviate on purpose and were skipped; and each that deviates, with its reason."""
    report = config.stash.get(_report, None)
    if report is None:
        return
    found = report.outcomes
    counts = Counter(outcome.verdict for outcome in found.values())
    terminalreporter.write_sep("=", "behaviour cases")
    for name, outcome in found.items():
        if outcome.verdict in ("deviates", "skipped"):
            terminalreporter.write_line(f"{outcome.verdict} {name}: {outcome.why}")
    terminalreporter.write_line(
        f"{len(found)} cases: {counts['passed']} passed, {counts['deviates']} deviate on purpose, "
        f"{counts['skipped']} skipped, {counts['failed']} failed"
    )
