"""The conformance table: what a run writes, and what the check finds wrong with it."""

from __future__ import annotations

import pytest
from conforming import BEGIN, END, Claim, Recorder, merged, problems, table

GET = "tests/localkube/clients/test_a.py::test_get"
CP = "tests/localkube/clients/test_a.py::test_cp"


def recorder(get: str = "passed", newer: str = "passed") -> Recorder:
    """Two runs of one test and one of another, with the outcomes of the first two."""
    works = [Claim("kubectl", "get")]
    return Recorder(
        {f"{GET}[1.30]": works, f"{GET}[1.33]": works, CP: [Claim("kubectl", "cp", "differs", "why")]},
        {f"{GET}[1.30]": (get, "no 1.30"), f"{GET}[1.33]": (newer, "no 1.33"), CP: ("passed", "")},
    )


def page(made: Recorder) -> str:
    return "\n".join(["# Page", BEGIN, *table(made), END, "| a | b | works | `c` | |"])


def test_a_row_for_each_claim() -> None:
    assert table(recorder())[2:] == [
        "| kubectl | cp | differs | `localkube/clients/test_a.py::test_cp` | why |",
        "| kubectl | get | works | `localkube/clients/test_a.py::test_get` |  |",
    ]


def test_skips_are_told_and_failures_are_not_works() -> None:
    assert table(recorder("skipped"))[3].endswith(
        "| works | `localkube/clients/test_a.py::test_get` | skipped: no 1.30 |"
    )
    assert "| skipped |" in table(recorder("skipped", "skipped"))[3]
    assert "| fails |" in table(recorder("skipped", "fails"))[3]


def test_a_run_of_some_files_keeps_the_other_rows() -> None:
    head, cp, get = table(recorder())[:2], *table(recorder())[2:]
    failed = get.replace("works", "fails")
    assert merged([cp, failed], [*head, get]) == [*head, cp, get]
    assert merged([], [*head, get, cp]) == [*head, cp, get]


def test_the_check_agrees_with_what_a_run_wrote() -> None:
    for made in (recorder(), recorder("skipped"), recorder("skipped", "skipped")):
        assert problems(made.claims, page(made)) == []


def test_the_check_finds_failures_missing_rows_and_lost_tests() -> None:
    made = recorder("fails")
    assert len(problems(made.claims, page(made))) == 2
    assert "no row: kubectl | get" in problems(recorder().claims, "")[1]
    lost = problems({CP: recorder().claims[CP]}, page(recorder()))
    assert len(lost) == 1
    assert "test_get" in lost[0]


@pytest.mark.parametrize(
    "mark",
    [
        pytest.mark.conforms(client="kubectl"),
        pytest.mark.conforms(client="kubectl", verb="cp", verdict="differs"),
        pytest.mark.conforms(client="kubectl", verb="cp", verdict="perhaps", reason="who knows"),
        pytest.mark.conforms(client="kubectl", verb="a|b"),
    ],
)
def test_a_wrong_mark_is_refused(mark: pytest.MarkDecorator) -> None:
    with pytest.raises(pytest.UsageError, match="conforms"):
        Claim.of(mark.mark)
