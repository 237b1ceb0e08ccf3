"""Proves an exercise: references pass every check, the starter stays low, each mutant fails as named.

subject      wanted
solution     every check passes, and pass_points are reached
starter      at most starter_at_most points; every check of `starter_fails` fails, and no other
mutant       every check of `fails` fails, and no other
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.catalog import apply_mutant, load_mutants
from lab.catalog.mutants import Mutant, Mutants, Starter
from lab.core.exercise import Exercise
from lab.core.verdict import Grade, Verdict
from lab.errors import ConfigError, LabError, UsageError

GradeOne = Callable[[Path, str], Grade]
"""Grades one workspace; the second value is the subject's name, for progress."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found for one subject. kind: solution, starter or mutant. problems: empty when as wanted.

    failed: ids of the checks that failed. wanted: what had to be so.
    """

    subject: str
    kind: str
    points: float
    failed: tuple[str, ...]
    wanted: str
    problems: tuple[str, ...]
    run: str = ""

    @property
    def ok(self) -> bool:
        """As wanted?"""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return asdict(self) | {"ok": self.ok}


def subjects(exercise: Exercise) -> tuple[str, ...]:
    """Names of all that is proved: `python`, `starter`, `mutant restarts-all` …"""
    solutions = sorted(path.name for path in (exercise.folder / "solutions").iterdir() if path.is_dir())
    return (*solutions, "starter", *(mutant.id for mutant in load_mutants(exercise).mutants))


def verify(
    exercise: Exercise,
    grade: GradeOne,
    *,
    only: Sequence[str] | None = None,
    on_proof: Callable[[Proof], None] = lambda proof: None,
) -> tuple[Proof, ...]:
    """Grade every subject (or those named) and compare with what it must get.

    Raises UsageError for an unknown subject, ConfigError for a broken exercise.
    """
    mutants = load_mutants(exercise)
    known = subjects(exercise)
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise UsageError(
            f"{exercise.id} has no {unknown[0]!r} to verify", hint=f"there are: {', '.join(known)}"
        )
    proofs = []
    for name in known:
        if not only or name in only:
            proof = _prove(exercise, mutants, name, grade)
            proofs.append(proof)
            on_proof(proof)
    return tuple(proofs)


def _prove(exercise: Exercise, mutants: Mutants, name: str, grade: GradeOne) -> Proof:
    mutant = next((item for item in mutants.mutants if item.id == name), None)
    try:
        if mutant is not None:
            with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
                found = grade(apply_mutant(exercise, mutant, Path(folder) / mutant.id), name)
            return judge_mutant(mutant, found)
        if name == "starter":
            return judge_starter(mutants.starter, grade(exercise.folder / "starter", name))
        return judge_solution(name, exercise.pass_points, grade(exercise.folder / "solutions" / name, name))
    except ConfigError:
        raise
    except LabError as error:
        kind = "mutant" if mutant else "starter" if name == "starter" else "solution"
        return Proof(name, kind, 0.0, (), "a graded run", (f"the lab failed: {error.message}",))


def judge_solution(name: str, pass_points: float, found: Grade) -> Proof:
    """Every check of a reference passes."""
    problems = [f"{c.id}: {c.verdict}: {c.seen}" for c in found.checks if c.verdict is not Verdict.PASS]
    if found.earned < pass_points:
        problems.append(f"{found.earned:g} points, {pass_points:g} are needed")
    return _proof(name, "solution", found, "passes every check", problems)


def judge_starter(wanted: Starter, found: Grade) -> Proof:
    """The starter is judged fairly, low, and for what is wrong with it."""
    problems = _not_as_named(wanted.fails, found)
    if found.earned > wanted.at_most:
        problems.append(f"{found.earned:g} points, at most {wanted.at_most:g} are wanted")
    text = f"at most {wanted.at_most:g} points, fails {', '.join(wanted.fails)}"
    return _proof("starter", "starter", found, text, problems)


def judge_mutant(mutant: Mutant, found: Grade) -> Proof:
    """A mutant fails exactly the checks that are named for it."""
    problems = _not_as_named(mutant.fails, found)
    return _proof(mutant.id, "mutant", found, f"fails {', '.join(mutant.fails)}", problems)


def _not_as_named(fails: Sequence[str], found: Grade) -> list[str]:
    known = {check.id for check in found.checks}
    problems = [f"{name} is not a check" for name in fails if name not in known]
    problems += _unjudged(found)
    failed = _failed(found)
    problems += [f"{name} did not fail" for name in fails if name in known and name not in failed]
    return problems + [f"{name} failed too" for name in failed if name not in fails]


def _failed(found: Grade) -> tuple[str, ...]:
    return tuple(check.id for check in found.checks if check.verdict is Verdict.FAIL)


def _unjudged(found: Grade) -> list[str]:
    judged = (Verdict.PASS, Verdict.FAIL)
    return [f"{c.id}: {c.verdict}: {c.seen}" for c in found.checks if c.verdict not in judged]


def _proof(name: str, kind: str, found: Grade, wanted: str, problems: Sequence[str]) -> Proof:
    return Proof(name, kind, found.earned, _failed(found), wanted, tuple(problems), found.run)
