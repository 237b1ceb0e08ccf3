"""The conformance table of docs/localkube.md: what each client's verbs do against localkube, from a run.

A test that drives a real client says what it proves:

    @pytest.mark.conforms(client="kubectl", verb="cp", verdict="differs", reason="no symbolic links")

python -m tests.conforming           run those tests, all of them, and write the table
python -m tests.conforming FILE...   run those of some files; all other rows stay as they are
python -m tests.conforming --check   say where the table and the marked tests disagree; runs nothing
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "localkube.md"
BEGIN, END = "<!-- conformance table: `make clients` writes it -->", "<!-- end of the conformance table -->"
VERDICTS = ("works", "differs", "absent")
FAILS, SKIPPED = "fails", "skipped"
MISUSED = "conforms() takes client, verb, verdict (works, differs, absent) and, unless it works, a reason"


@dataclass(frozen=True, order=True)
class Claim:
    """What one mark says: this verb of this client works, differs (and why) or is absent (and why)."""

    client: str
    verb: str
    verdict: str = "works"
    reason: str = ""

    @classmethod
    def of(cls, mark: pytest.Mark) -> Claim:
        """The claim of a mark; a UsageError says what a mark takes."""
        try:
            claim = cls(*mark.args, **mark.kwargs)
        except TypeError:
            raise pytest.UsageError(f"{MISUSED}: {mark.args} {mark.kwargs}") from None
        texts = (claim.client, claim.verb, claim.verdict, claim.reason)
        plain = all(isinstance(text, str) and "|" not in text and "\n" not in text for text in texts)
        excused = claim.verdict == "works" or claim.reason
        if not (plain and claim.client and claim.verb and claim.verdict in VERDICTS and excused):
            raise pytest.UsageError(f"{MISUSED}, without | and line breaks: {texts}")
        return claim


@dataclass
class Recorder:
    """A pytest plugin: the claims that were collected, by test, and how each of their runs ended."""

    claims: dict[str, list[Claim]] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """(passed, skipped with its reason, or failed) by node id."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Read the marks."""
        for item in session.items:
            self.claims[item.nodeid] = [Claim.of(mark) for mark in item.iter_markers("conforms")]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of set-up, call and teardown."""
        if report.failed:
            self.outcomes[report.nodeid] = (FAILS, "")
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.outcomes[report.nodeid] = (SKIPPED, reason.removeprefix("Skipped: "))
        elif report.when == "call":
            self.outcomes[report.nodeid] = ("passed", "")


def _shown(nodeid: str) -> str:
    return nodeid.partition("[")[0].removeprefix("tests/")


def _row(client: str, verb: str, verdict: str, tests: Iterable[str], remark: str) -> str:
    names = ", ".join(f"`{test}`" for test in sorted(set(tests)))
    return f"| {client} | {verb} | {verdict} | {names} | {remark} |"


def _by_claim(claims: Mapping[str, Sequence[Claim]]) -> dict[Claim, list[str]]:
    found: dict[Claim, list[str]] = defaultdict(list)
    for nodeid, said in claims.items():
        for claim in said:
            found[claim].append(nodeid)
    return dict(sorted(found.items()))


def table(recorder: Recorder) -> list[str]:
    """The table's lines. A claim with a failed test fails, one whose tests were all skipped is skipped."""
    lines = ["| client | verb | verdict | shown by | remark |", "|---|---|---|---|---|"]
    for claim, nodeids in _by_claim(recorder.claims).items():
        ended = [recorder.outcomes.get(nodeid, (FAILS, "")) for nodeid in nodeids]
        results = {result for result, _ in ended}
        verdict = FAILS if FAILS in results else SKIPPED if results == {SKIPPED} else claim.verdict
        skips = sorted({reason.replace("|", "/") for result, reason in ended if result == SKIPPED})
        remark = "; ".join([*([claim.reason] if claim.reason else []), *(f"skipped: {why}" for why in skips)])
        lines.append(_row(claim.client, claim.verb, verdict, map(_shown, nodeids), remark))
    return lines


def _cells(line: str) -> list[str]:
    """The five cells of a row; an empty list for any other line."""
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    return cells if len(cells) == 5 and cells[0] not in ("client", "---") else []


def _rows(page: str) -> list[str]:
    """The rows of the table on a page."""
    return [line for line in page.partition(BEGIN)[2].partition(END)[0].splitlines() if _cells(line)]


def merged(kept: Sequence[str], made: Sequence[str]) -> list[str]:
    """The made table with the kept rows of other verbs, in order."""
    anew = {tuple(_cells(line)[:2]) for line in made[2:]}
    rows = [*made[2:], *(line for line in kept if tuple(_cells(line)[:2]) not in anew)]
    return [*made[:2], *sorted(rows, key=_cells)]


def problems(claims: Mapping[str, Sequence[Claim]], page: str) -> list[str]:
    """How the table on a page and the marked tests disagree, one sentence each."""
    written = {tuple(_cells(line)[:4]): line for line in _rows(page)}
    found = []
    for claim, nodeids in _by_claim(claims).items():
        tests = ", ".join(f"`{test}`" for test in sorted(set(map(_shown, nodeids))))
        seen = [written.pop((claim.client, claim.verb, v, tests), None) for v in (claim.verdict, SKIPPED)]
        if not any(seen):
            found.append(f"the table has no row: {claim.client} | {claim.verb} | {claim.verdict} | {tests}")
    return found + [f"no marked test says what this row says: {line}" for line in written.values()]


def _pytest(*arguments: str, quiet: bool = False, only: Sequence[str] = ()) -> tuple[int, Recorder]:
    """Run pytest on the files that use the mark, or on some of them."""
    marked = [str(path) for path in sorted(TESTS.rglob("test_*.py")) if "conforms" in path.read_text()]
    files = only or marked
    recorder = Recorder()
    out = io.StringIO()
    with contextlib.redirect_stdout(out if quiet else sys.stdout):
        code = pytest.main(["-q", "-m", "conforms", *arguments, *files], plugins=[recorder])
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        code = pytest.ExitCode.OK
    if quiet and code != pytest.ExitCode.OK:
        sys.stderr.write(out.getvalue())
    return int(code), recorder


def main() -> int:
    """Write or check the table; the exit code."""
    page = PAGE.read_text()
    if "--check" in sys.argv:
        code, recorder = _pytest("--collect-only", quiet=True)
        complaints = problems(recorder.claims, page)
        for complaint in complaints:
            sys.stderr.write(f"docs/localkube.md: {complaint}\n")
        return 1 if complaints or code else 0
    only = sys.argv[1:]
    code, recorder = _pytest(only=only)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return code  # nothing ran to its end, so nothing is known
    page = PAGE.read_text()  # it may have changed during the run
    lines = merged(_rows(page) if only else [], table(recorder))
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text("\n".join([before + BEGIN, "", *lines, "", END]) + after)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
