"""Behaviour cases as data: what a case file may say, and reading it.

A file in `cases/` is a YAML list of cases. `<ns>` stands for the case's own namespace, which is also a name
that nobody else uses; `<x>` for what an earlier step saved as `x`. docs/conformance.md has the whole format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from conformance_matching import check_expected
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FOLDER = Path(__file__).parent / "cases"
PLACEHOLDER = re.compile(r"<([a-z]\w*)>")
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_LITERALS = ("none", "nil", "unset", "unknown", "invalid")
"""What the API writes in angle brackets itself."""

Need = Literal["nodes", "metrics"]
"""What not every server has: nodes that run pods; the metrics.k8s.io group."""


class CaseError(ValueError):
    """A case file that says something that means nothing."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Envelope(_Strict):
    """A protobuf body: the kind, and the message as pairs of field number and value (a list is a message)."""

    kind: str
    fields: list[Any]


class Expected(_Strict):
    """What an answer has to be. The body is matched by `matching`: maps as subsets, the rest as equal.

    code: by default 201 after POST, else 200; a list where it is an option of the server.
    error: a whole Status failure, details exactly.
    """

    code: int | list[int] | None = None
    answer: Any = None
    error: dict[str, Any] | None = None
    text: Any = None
    header: dict[str, Any] = Field(default_factory=dict)

    @property
    def wanted_codes(self) -> list[int]:
        """The status that the answer must have, or one of them; empty when any will do."""
        if self.error is not None:
            return [int(self.error["code"])]
        if self.code is None:
            return []
        return self.code if isinstance(self.code, list) else [self.code]


class Step(Expected):
    """One request, or one watch with what is done during it and the events that must come, in this order.

    A path without a slash in front is in the case's namespace: `configmaps/a`, `apps/v1/deployments`.
    eventually: asked again until the answer is as expected; for what a controller does.
    ends: the server must end the watch by itself.
    """

    request: str = ""
    watch: str = ""
    query: dict[str, str | list[str]] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    user: str = ""
    groups: list[str] = Field(default_factory=list)
    bearer: str | None = None
    patch: Literal["json", "merge", "strategic", "apply"] | None = None
    body: Any = None
    raw: str | None = None
    protobuf: Envelope | None = None
    save: dict[str, str] = Field(default_factory=dict)
    eventually: bool = False
    during: list[Step] = Field(default_factory=list)
    events: list[Any] = Field(default_factory=list)
    ends: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Step:
        if bool(self.request) == bool(self.watch):
            raise ValueError("a step has either a request or a watch")
        if self.request and len(self.request.split()) != 2:
            raise ValueError(f"a request is a method and a path, not {self.request!r}")
        if sum(given is not None for given in (self.body, self.raw, self.protobuf)) > 1:
            raise ValueError("a request has one body")
        if self.watch and not (self.events or self.ends or self.error):
            raise ValueError("a watch expects events, its end or an error")
        return self

    @property
    def method(self) -> str:
        """GET for a watch."""
        return self.request.split()[0] if self.request else "GET"

    @property
    def path(self) -> str:
        """The path as the case has it."""
        return self.request.split()[1] if self.request else self.watch

    @property
    def wanted_codes(self) -> list[int]:
        """The status that the answer must have, or one of them."""
        return super().wanted_codes or [201 if self.method == "POST" else 200]


class Deviation(_Strict):
    """Where a server answers otherwise on purpose: the step (counted from 1), what it answers, and why."""

    why: str
    step: int
    expect: Expected


class Case(_Strict):
    """One behaviour. source: where upstream says so. removes: paths that are deleted at the end."""

    case: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    shows: str
    source: str
    needs: list[Need] = Field(default_factory=list)
    steps: list[Step] = Field(min_length=1)
    removes: list[str] = Field(default_factory=list)
    deviates: dict[str, Deviation] = Field(default_factory=dict)

    @property
    def has_pods(self) -> bool:
        """Does it create pods, which want their ServiceAccount first?"""
        return any(step.method == "POST" and step.path.split("?")[0] == "pods" for step in self.steps)


def load(folder: Path = FOLDER) -> Mapping[str, Case]:
    """All cases by name, in order of files. Raises CaseError for the first that cannot be used."""
    cases: dict[str, Case] = {}
    for path in sorted(folder.glob("*.yaml")):
        for case in read(path.read_text(), path.name):
            if case.case in cases:
                raise CaseError(f"{path.name}: there are two cases {case.case}")
            cases[case.case] = case
    return cases


def read(text: str, origin: str) -> list[Case]:
    """The cases of one file. Raises CaseError."""
    cases = []
    for entry in yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or ():
        name = entry.get("case", "?") if isinstance(entry, dict) else "?"
        try:
            case = Case.model_validate(entry)
        except ValidationError as error:
            raise CaseError(f"{origin}: {name}: {error}") from error
        _check_matchers(case, origin)
        _check_placeholders(case, origin)
        _check_deviations(case, origin)
        cases.append(case)
    return cases


def _check_matchers(case: Case, origin: str) -> None:
    for step in (*_flat(case.steps), *(each.expect for each in case.deviates.values())):
        events = step.events if isinstance(step, Step) else []
        for expected in (step.answer, step.error, step.text, step.header, events):
            try:
                check_expected(expected)
            except (ValueError, re.error) as error:
                raise CaseError(f"{origin}: {case.case}: {error}") from error


def _check_deviations(case: Case, origin: str) -> None:
    for server, deviation in case.deviates.items():
        if not 1 <= deviation.step <= len(case.steps):
            raise CaseError(
                f"{origin}: {case.case}: {server} deviates in step {deviation.step}, which is not there"
            )


def _check_placeholders(case: Case, origin: str) -> None:
    known = {"ns", *_LITERALS}
    for step in _flat(case.steps):
        content = step.model_dump(exclude={"during", "save"})
        for text in _texts(content):
            unknown = set(PLACEHOLDER.findall(text)) - known
            if unknown:
                raise CaseError(f"{origin}: {case.case}: nothing was saved as {', '.join(sorted(unknown))}")
        known |= set(step.save)


def _flat(steps: list[Step]) -> Iterator[Step]:
    """Steps in the order in which they act: what happens during a watch comes before its events."""
    for step in steps:
        yield from _flat(step.during)
        yield step


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)


def fill(value: Any, variables: Mapping[str, Any]) -> Any:
    """The value with each `<x>` that is known put in; a text that is nothing but one keeps its type."""
    if isinstance(value, str):
        whole = PLACEHOLDER.fullmatch(value)
        if whole and whole[1] in variables:
            return variables[whole[1]]
        return PLACEHOLDER.sub(lambda match: str(variables.get(match[1], match[0])), value)
    if isinstance(value, dict):
        return {fill(key, variables): fill(member, variables) for key, member in value.items()}
    if isinstance(value, list):
        return [fill(member, variables) for member in value]
    return value
