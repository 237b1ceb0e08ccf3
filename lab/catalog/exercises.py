"""exercises/<id>/exercise.yaml -> Exercise."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from lab.core.canary import CanaryPlan, read_plan
from lab.core.exercise import (
    Allowed,
    ControlStep,
    Exercise,
    FaultStep,
    Group,
    LabNeeds,
    ShadowThresholds,
    Span,
    Toil,
)
from lab.core.places import data_root
from lab.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from lab.catalog.schema import WrittenExercise, WrittenGroup

FILE_NAME = "exercise.yaml"
_PARTS = ("README.md", "starter/automation.yaml", "checks", "solutions", "mutants/mutants.yaml")


def exercises(root: Path | None = None) -> tuple[Exercise, ...]:
    """Every exercise below exercises/, easiest first.

    Raises ConfigError with the problems of all of them.
    """
    folder = (root or data_root()) / "exercises"
    found: list[Exercise] = []
    problems: list[str] = []
    for path in sorted(folder.glob(f"*/{FILE_NAME}")):
        try:
            found.append(load_exercise(path.parent))
        except ConfigError as error:
            problems += error.problems or [error.message]
    if problems:
        raise ConfigError(f"the exercises in {folder} are not valid", problems)
    return tuple(sorted(found, key=lambda item: (item.level, item.id)))


def exercise(identity: str, root: Path | None = None) -> Exercise:
    """One exercise by id. Raises UsageError with the nearest names when there is none."""
    folder = (root or data_root()) / "exercises"
    known = sorted(path.parent.name for path in folder.glob(f"*/{FILE_NAME}"))
    if identity in known:
        return load_exercise(folder / identity)
    near = get_close_matches(identity, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
    raise UsageError(f"there is no exercise {identity[:80]!r}", hint=hint)


def load_exercise(folder: Path) -> Exercise:
    """Read one exercise folder. Raises ConfigError with every problem found."""
    from lab.catalog.schema import WrittenExercise, read

    path = folder / FILE_NAME
    written = read(path, WrittenExercise)
    problems = _problems(folder, written)
    canary: CanaryPlan | None = None
    try:
        canary = read_plan(written.canary) if written.canary is not None else None
    except ConfigError as error:
        problems += [f"canary: {text}" for text in error.problems]
    if problems:
        raise ConfigError(f"{path} is not valid", [f"{folder.name}: {text}" for text in problems])
    return Exercise(
        id=written.id,
        title=written.title,
        story=" ".join(written.story.split()),
        level=written.level,
        minutes=written.minutes,
        toil=Toil(**written.toil.model_dump()),
        modes=tuple(written.modes),
        allowed=tuple(Allowed(**item.model_dump()) for item in written.allowed),
        groups=tuple(_group(group) for group in written.groups),
        folder=folder,
        pass_points=written.pass_points,
        canary=canary,
        shadow=ShadowThresholds(**written.shadow.model_dump()),
        lab=LabNeeds(**written.lab.model_dump()),
    )


def _group(written: WrittenGroup) -> Group:
    return Group(
        id=written.id,
        title=written.title,
        mode=written.mode,
        lab_minutes=written.lab_minutes,
        seed_offset=written.seed_offset,
        draw_from=tuple(written.draw_from),
        draws=tuple(written.draws),
        faults=tuple(
            FaultStep(Span(*step.at), step.fault, step.for_minutes, dict(step.parameters))
            for step in written.faults
        ),
        control=tuple(ControlStep(Span(*step.at), step.action, step.reason) for step in written.control),
    )


def _problems(folder: Path, written: WrittenExercise) -> list[str]:
    problems = []
    if written.id != folder.name:
        problems.append(f"id is {written.id!r}, but the folder is {folder.name!r}")
    problems += [f"{part} is missing" for part in _PARTS if not (folder / part).exists()]
    for identity, count in Counter(group.id for group in written.groups).items():
        if count > 1:
            problems.append(f"group {identity} occurs {count} times")
    for offset, count in Counter(group.seed_offset for group in written.groups).items():
        if count > 1:
            problems.append(f"seedOffset {offset} occurs {count} times; groups must differ")
    for group in written.groups:
        problems += [f"group {group.id}: {text}" for text in _group_problems(group)]
        if group.mode not in written.modes:
            problems.append(f"group {group.id}: mode {group.mode} is not one of modes")
    return problems


def _group_problems(group: WrittenGroup) -> list[str]:
    problems = []
    if len(group.draws) > len(set(group.draw_from)):
        problems.append(f"draws {len(group.draws)} values from {len(set(group.draw_from))}")
    if len(set(group.draws)) != len(group.draws) or len(set(group.draw_from)) != len(group.draw_from):
        problems.append("draws and drawFrom must not repeat a value")
    times = [(step.fault, step.at) for step in group.faults]
    times += [(step.action.value, step.at) for step in group.control]
    for what, at in times:
        if at[0] > at[1]:
            problems.append(f"{what}: at goes backwards")
        if at[1] >= group.lab_minutes:
            problems.append(f"{what}: at is after the end of the group")
    for step in group.faults:
        for value in step.parameters.values():
            if isinstance(value, str) and value.startswith("$") and value[1:] not in group.draws:
                problems.append(f"{step.fault}: {value} is not drawn")
    return problems
