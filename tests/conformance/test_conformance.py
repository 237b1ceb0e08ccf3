"""Every behaviour case, against localkube or the server that CONFORMANCE_KUBECONFIG names."""

from __future__ import annotations

import pytest
from conformance_cases import Case
from conformance_running import Report


def test_case(case: Case, report: Report) -> None:
    outcome = report.outcomes[case.case]
    if outcome.verdict == "skipped":
        pytest.skip(outcome.why)
    assert outcome.verdict in ("passed", "deviates"), outcome.why


def test_nothing_is_left_behind(report: Report) -> None:
    assert report.left == []
