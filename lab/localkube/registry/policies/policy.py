"""One policy, compiled: its judgement of a request.

Source: k8s.io/apiserver/pkg/admission/plugin/policy/validating/validator.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lab.kube.objects import KubeObject, name_of
from lab.localkube.registry.policies.expressions import (
    BOOL,
    NULL,
    STRING,
    Compiler,
    ExpressionError,
    Program,
)
from lab.localkube.registry.policies.fields import reads_user_only
from lab.localkube.registry.policies.matching import Matcher, read_matcher

_MOST_USERS = 1_000
"""Remembered verdicts."""

_LONGEST_MESSAGE = 5 * 1024
"""Bytes; a longer result of a messageExpression is not used."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request may not go on. `reason` is one of a Status; empty when an evaluation failed."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Validation:
    """One validation: the expression must be true."""

    program: Program
    message: str
    message_program: Program | None
    reason: str


@dataclass(frozen=True, slots=True)
class Binding:
    """A ValidatingAdmissionPolicyBinding. Without a matcher it holds wherever its policy does."""

    name: str
    matcher: Matcher | None
    actions: frozenset[str]


class Policy:
    """A ValidatingAdmissionPolicy with its bindings."""

    def __init__(self, obj: KubeObject, bindings: Sequence[Binding]) -> None:
        spec = obj["spec"]
        self.name = name_of(obj)
        self.bindings = bindings
        self.matcher = read_matcher(spec["matchConstraints"])
        self.has_params = spec.get("paramKind") is not None
        self._lenient = spec.get("failurePolicy") == "Ignore"
        self._problem = ""
        self._user_conditions: list[Program] = []
        self._spared: dict[bytes, bool] = {}
        try:
            self._compile(spec)
        except ExpressionError as error:  # it compiled when it was written, with another library
            self._problem = f"compilation error: {error}"

    def _compile(self, spec: KubeObject) -> None:
        alone, compiler = Compiler(params=self.has_params), Compiler(params=self.has_params)
        self._conditions = [
            alone.compile(condition["expression"], (BOOL,)) for condition in spec.get("matchConditions") or ()
        ]
        self._user_conditions = [program for program in self._conditions if reads_user_only(program.text)]
        self._variables: list[tuple[str, Program]] = []
        for variable in spec.get("variables") or ():
            program = compiler.compile(variable["expression"])
            compiler.declare(variable["name"], program)
            self._variables.append((variable["name"], program))
        self._validations = [_validation(compiler, source) for source in spec.get("validations") or ()]
        self._annotations = [
            compiler.compile(source["valueExpression"], (STRING, NULL))
            for source in spec.get("auditAnnotations") or ()
        ]

    def spares(self, user: KubeObject) -> bool:
        """Does a match condition rule a user out, whatever they do? Remembered for each user.

        Policies are often about some users only, and most writes are by the cluster's own controllers.
        """
        if not self._user_conditions:
            return False
        key = orjson.dumps(user)
        spared = self._spared.get(key)
        if spared is None:
            if len(self._spared) >= _MOST_USERS:
                self._spared.clear()
            spared = self._spared[key] = any(_is_false(program, user) for program in self._user_conditions)
        return spared

    def judge(self, values: Mapping[str, Any]) -> tuple[list[Denial], list[Denial]]:
        """Every validation that a request fails, and every audit annotation that cannot be evaluated.

        Failures of evaluation count unless the failure policy is Ignore. The values of annotations are
        dropped: there is no audit log.
        """
        if self._problem:
            return self._failed(self._problem), []
        try:
            if not self._concerned(values):
                return [], []
        except ExpressionError as error:
            return self._failed(str(error)), []
        known, broken = self._with_variables(values)
        denials: list[Denial] = []
        errors: list[Denial] = []
        for validation in self._validations:
            try:
                if validation.program.evaluate(known, broken) is not True:
                    denials.append(Denial(validation.reason, _message(validation, known, broken)))
            except ExpressionError as error:
                denials += self._failed(str(error))
        for program in self._annotations:
            try:
                program.evaluate(known, broken)
            except ExpressionError as error:
                errors += self._failed(str(error))
        return denials, errors

    def _failed(self, why: str) -> list[Denial]:
        return [] if self._lenient else [Denial("", why)]

    def _concerned(self, values: Mapping[str, Any]) -> bool:
        """Are all match conditions true? One that is false decides, whatever the others fail with."""
        failed: ExpressionError | None = None
        for program in self._conditions:
            try:
                if program.evaluate(values) is False:
                    return False
            except ExpressionError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return True

    def _with_variables(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """The values with those of the variables, and why some have none: that matters to who uses them."""
        if not self._variables:
            return values, {}
        known, broken = dict(values), dict[str, str]()
        for name, program in self._variables:
            try:
                known[f"variables.{name}"] = program.evaluate(known, broken)
            except ExpressionError as error:
                broken[name] = str(error)
        return known, broken


def _is_false(program: Program, user: KubeObject) -> bool:
    """A condition that fails is not false: the judgement deals with it."""
    nothing = dict.fromkeys(("object", "oldObject", "namespaceObject", "params"))
    try:
        return program.evaluate({"request": {"userInfo": user}} | nothing) is False
    except ExpressionError:
        return False


def _validation(compiler: Compiler, source: KubeObject) -> Validation:
    expression = source.get("messageExpression")
    return Validation(
        compiler.compile(source["expression"], (BOOL,)),
        str(source.get("message") or "").strip(),
        compiler.compile(expression, (STRING,)) if expression else None,
        source.get("reason") or "Invalid",
    )


def _message(validation: Validation, values: Mapping[str, Any], broken: Mapping[str, str]) -> str:
    """The result of the messageExpression if it is one line, else the message, else the expression."""
    message = ""
    if validation.message_program is not None:
        try:
            result = validation.message_program.evaluate(values, broken)
            message = result.strip() if isinstance(result, str) else ""
        except ExpressionError:
            message = ""  # as upstream: the plain message stands in for it
    if len(message.encode()) > _LONGEST_MESSAGE or "\n" in message:
        message = ""
    return message or validation.message or f"failed expression: {validation.program.text.strip()}"
