"""exercises/<id>/mutants/mutants.yaml: known-bad solutions, each a reference with one flaw."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lab.core.exercise import Exercise
from lab.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Edit:
    """A text of one file, and what stands in its place."""

    file: str
    find: str
    replace: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A solution that must fail. fails: the checks that must catch it; every other check must pass."""

    id: str
    title: str
    base: str
    edits: tuple[Edit, ...]
    fails: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Starter:
    """What the starter must get. at_most: its points. fails: as a mutant's."""

    at_most: float
    fails: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mutants:
    """All known-bad solutions of an exercise: its starter and its mutants."""

    starter: Starter
    mutants: tuple[Mutant, ...]


def load_mutants(exercise: Exercise) -> Mutants:
    """Read and check mutants.yaml, its edits too. Raises ConfigError with every problem."""
    from lab.catalog.schema import WrittenMutants, read

    path = exercise.folder / "mutants" / "mutants.yaml"
    written = read(path, WrittenMutants)
    mutants = tuple(
        Mutant(
            id=item.id,
            title=item.title,
            base=item.base,
            edits=tuple(Edit(edit.file, edit.find, edit.replace) for edit in item.edits),
            fails=tuple(item.fails),
        )
        for item in written.mutants
    )
    problems = [f"mutant {name} occurs twice" for name, n in Counter(m.id for m in mutants).items() if n > 1]
    for mutant in mutants:
        problems += [f"mutant {mutant.id}: {text}" for text in _problems(exercise, mutant)]
    if problems:
        raise ConfigError(f"{path} is not valid", problems)
    return Mutants(Starter(written.starter_at_most, tuple(written.starter_fails)), mutants)


def _base(exercise: Exercise, mutant: Mutant) -> Path:
    return exercise.folder / "solutions" / mutant.base


def _overrides(exercise: Exercise, mutant: Mutant) -> Path:
    return exercise.folder / "mutants" / mutant.id


def _problems(exercise: Exercise, mutant: Mutant) -> list[str]:
    base = _base(exercise, mutant)
    if not base.is_dir():
        return [f"there is no solution {mutant.base!r}"]
    problems = []
    if not mutant.edits and not _overrides(exercise, mutant).is_dir():
        problems.append("neither edits nor a folder of changed files")
    for edit in mutant.edits:
        target = base / edit.file
        if not target.is_file() or base not in target.resolve().parents:
            problems.append(f"{edit.file} is not a file of the solution {mutant.base}")
        elif (count := target.read_text().count(edit.find)) != 1:
            problems.append(
                f"the text to find occurs {count} times in {edit.file}: {edit.find.strip()[:60]!r}"
            )
    return problems


def apply_mutant(exercise: Exercise, mutant: Mutant, target: Path) -> Path:
    """Write the mutant's workspace into the new folder `target` and return it."""
    shutil.copytree(_base(exercise, mutant), target, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in mutant.edits:
        path = target / edit.file
        path.write_text(path.read_text().replace(edit.find, edit.replace))
    overrides = _overrides(exercise, mutant)
    if overrides.is_dir():
        shutil.copytree(overrides, target, dirs_exist_ok=True)
    return target
