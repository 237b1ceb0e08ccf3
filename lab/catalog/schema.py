"""exercise.yaml and mutants.yaml as they are written, in camelCase. What is unknown is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from lab.core.audit import Mode
from lab.core.exercise import ControlAction
from lab.core.staffing import DEAR, MOST_NODES, MOST_WORKERS, PARTITIONS
from lab.errors import ConfigError

_ID = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
Model = TypeVar("Model", bound=BaseModel)


def _as_range(value: Any) -> Any:
    return [value, value] if isinstance(value, int | float) and not isinstance(value, bool) else value


Minutes = Annotated[float, Field(ge=0, le=600)]
Range = Annotated[tuple[Minutes, Minutes], BeforeValidator(_as_range)]
Identity = Annotated[str, Field(pattern=_ID, max_length=40)]
Line = Annotated[str, Field(min_length=1, max_length=200)]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class WrittenFault(_Written):
    """One step of a group's schedule."""

    at: Range
    fault: Identity
    for_minutes: Annotated[float, Field(gt=0, le=600)] | None = None
    parameters: dict[str, Any] = {}


class WrittenControl(_Written):
    """One change of control."""

    at: Range
    action: ControlAction
    reason: str = ""


class WrittenGroup(_Written):
    """One scenario."""

    id: Identity
    title: Line
    mode: Mode
    lab_minutes: Annotated[float, Field(gt=0, le=600)]
    seed_offset: Annotated[int, Field(ge=0, lt=1000)] = 0
    draw_from: list[int] = []
    draws: list[Identity] = []
    faults: list[WrittenFault] = []
    control: list[WrittenControl] = []


class WrittenToil(_Written):
    """The work that is taken away."""

    task: Line
    per_week: Annotated[float, Field(gt=0)]
    minutes: Annotated[float, Field(gt=0)]
    hourly_cost: Annotated[float, Field(gt=0)]


class WrittenAllowed(_Written):
    """Objects that may be changed."""

    namespace: Line
    resource: Line
    name: Line = "*"


class WrittenShadow(_Written):
    """What a shadow run must show before the automation is promoted."""

    min_hangs: Annotated[int, Field(ge=1, le=100)] = 1
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.9
    max_false_actions: Annotated[int, Field(ge=0, le=1000)] = 0
    max_at_once: Annotated[int, Field(ge=1, le=1000)] = 2
    min_earlier_lab_minutes: Annotated[float, Field(ge=-600, le=600)] | None = None


class WrittenLab(_Written):
    """What its labs are brought up with."""

    workers: Annotated[int, Field(ge=PARTITIONS, le=MOST_WORKERS)] = PARTITIONS
    starts: Literal["cheap", "dear"] = DEAR
    nodes: Annotated[int, Field(ge=1, le=MOST_NODES)] = 1


class WrittenExercise(_Written):
    """exercise.yaml."""

    api_version: Literal["toil-lab/v1"]
    kind: Literal["Exercise"]
    id: Identity
    title: Line
    story: Annotated[str, Field(min_length=1, max_length=2000)]
    level: Annotated[int, Field(ge=1, le=5)]
    minutes: Annotated[int, Field(ge=5, le=480)]
    toil: WrittenToil
    modes: Annotated[list[Mode], Field(min_length=1)]
    allowed: Annotated[list[WrittenAllowed], Field(min_length=1)]
    groups: Annotated[list[WrittenGroup], Field(min_length=1)]
    pass_points: Annotated[float, Field(ge=0, le=100)] = 80.0
    canary: dict[str, Any] | None = None
    shadow: WrittenShadow = WrittenShadow()
    lab: WrittenLab = WrittenLab()


class WrittenEdit(_Written):
    """A text of one file of the base solution that is replaced. `find` must occur exactly once."""

    file: Line
    find: Annotated[str, Field(min_length=1)]
    replace: str


class WrittenMutant(_Written):
    """One known-bad solution."""

    id: Identity
    title: Line
    base: Identity = "python"
    edits: list[WrittenEdit] = []
    fails: Annotated[list[str], Field(min_length=1)]


class WrittenMutants(_Written):
    """mutants.yaml: the mutants, and what the starter fails."""

    api_version: Literal["toil-lab/v1"]
    kind: Literal["Mutants"]
    starter_at_most: Annotated[float, Field(ge=0, le=100)] = 60.0
    starter_fails: Annotated[list[str], Field(min_length=1)]
    mutants: list[WrittenMutant]


def read(path: Path, model: type[Model]) -> Model:
    """Read and validate one file. Raises ConfigError with every problem."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is missing", hint="docs/exercises.md says what an exercise holds"
        ) from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read", [" ".join(str(error).split())[:300]]) from error
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, found['loc'])) or 'the document'}: {found['msg']}"
            for found in error.errors()
        ]
        raise ConfigError(
            f"{path} is not valid", problems, hint="docs/exercises.md lists the keys"
        ) from error
