"""Expressions of the Common Expression Language: compiled as upstream declares them, evaluated.

The library is loaded with the first policy, its extensions (optionals, strings) with the first expression
that needs one: 8 and 6 MiB, nearly all of it shared pages of code. Functions of Kubernetes' own, such as
quantity() or sum(), are not there: written in Python they would leak their arguments at every call.

Source: k8s.io/apiserver/pkg/admission/plugin/cel/{compile,composition,activation}.go.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab.localkube.registry.policies.fields import names_read, undefined_field

BOOL, STRING, NULL = "bool", "string", "null_type"
_ANY = "dyn"
_TYPED_UPSTREAM = frozenset({"request", "namespaceObject"})
_VARIABLE = re.compile(r"undeclared reference to 'variables\.(\w+)[\w.]*' \(in container ''\)")
_MISSING_KEY = re.compile(r'Key not found in map : "(.*)"')
_UNSET_VARIABLE = re.compile(r'No value with name "variables\.(\w+)" found')


class ExpressionError(Exception):
    """An expression that cannot be compiled, or whose evaluation failed."""


class Program:
    """A compiled expression. `type` is its static type in CEL's own notation, such as `list(string)`."""

    def __init__(self, text: str, compiled: Any) -> None:
        self.text = text
        self.declared = compiled.return_type()
        self.type = _type_name(self.declared)
        self._compiled = compiled

    def evaluate(self, values: Mapping[str, Any], broken: Mapping[str, str] | None = None) -> Any:
        """The value as plain Python. Raises ExpressionError.

        values: by variable; broken: why each variable that has no value has none.
        """
        try:
            result = self._compiled.eval(data=values)
            if result.type().name() != "ERROR":
                return _plain(result)
            why = _readable(str(result.value()))
        except (RuntimeError, TypeError) as error:
            why = _readable(str(error))
        unset = _UNSET_VARIABLE.search(why)
        if unset and broken and unset[1] in broken:
            why = f'composited variable "{unset[1]}" fails to evaluate: {broken[unset[1]]}'
        raise ExpressionError(f"expression '{self.text}' resulted in error: {why}")


class Compiler:
    """Compiles the expressions of one policy, which may use the variables declared before them."""

    def __init__(self, *, params: bool) -> None:
        self._params = params
        self._variables: dict[str, Any] = {}
        self._typed_upstream = set(_TYPED_UPSTREAM)

    def declare(self, name: str, program: Program) -> None:
        """Let the expressions that follow use `variables.<name>`."""
        self._variables[f"variables.{name}"] = program.declared
        if self._has_type_upstream(program):
            self._typed_upstream.add(f"variables.{name}")

    def _has_type_upstream(self, program: Program) -> bool:
        """May what has no static type here have one upstream, where `request` has a type?"""
        return program.type == _ANY and bool(names_read(program.text) & self._typed_upstream)

    def compile(self, text: str, returns: Sequence[str] = ()) -> Program:
        """Compile an expression that gives one of some types, any when none are named.

        Raises ExpressionError.
        """
        problem = undefined_field(text)
        if problem:
            raise ExpressionError(f"compilation failed: {problem}")
        program = compile_expression(text, self._environment)
        if returns and program.type not in returns and not self._has_type_upstream(program):
            wanted = returns[0] if len(returns) == 1 else f"one of [{' '.join(returns)}]"
            raise ExpressionError(f"must evaluate to {wanted} but got {program.type}")
        return program

    def _environment(self, extended: bool) -> Any:
        if self._variables:
            return _new_environment(self._params, extended, self._variables)
        return _environment(self._params, extended)


@functools.cache
def _environment(params: bool, extended: bool) -> Any:
    return _new_environment(params, extended, {})


def _new_environment(params: bool, extended: bool, variables: Mapping[str, Any]) -> Any:
    from cel_expr_python import cel

    known = {
        "object": cel.Type.DYN,
        "oldObject": cel.Type.DYN,
        "namespaceObject": cel.Type.DYN,
        "request": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
        **({"params": cel.Type.DYN} if params else {}),
        **variables,
    }
    return _declared(known, extended)


@functools.cache
def untyped_environment(names: tuple[str, ...], extended: bool) -> Any:
    """Variables that may be anything, for `compile_expression`."""
    from cel_expr_python import cel

    return _declared(dict.fromkeys(names, cel.Type.DYN), extended)


def _declared(variables: Mapping[str, Any], extended: bool) -> Any:
    from cel_expr_python import cel

    extensions: list[Any] = []
    if extended:
        from cel_expr_python.ext import ext_optional, ext_strings

        extensions = [ext_optional.ExtOptional(), ext_strings.ExtStrings()]
    return cel.NewEnv(variables=dict(variables), extensions=extensions)


def compile_expression(text: str, environment: Callable[[bool], Any]) -> Program:
    """Compile in the environment without extensions or, where that fails, in the one with them.

    Raises ExpressionError.
    """
    try:
        return Program(text, environment(False).compile(text))
    except RuntimeError:
        try:
            return Program(text, environment(True).compile(text))
        except RuntimeError as error:
            raise ExpressionError(f"compilation failed: {_compilation(str(error))}") from error


def _plain(value: Any) -> Any:
    """A result as plain Python.

    Not by the library's own conversion: cel-expr-python 0.1.3 drops a reference to None for every null
    that it converts, and Python 3.11 aborts when none are left.
    """
    kind = value.type().name()
    if kind == "NULL":
        return None
    if kind.startswith("LIST"):
        return [_plain(item) for item in value.value()]
    if kind.startswith("MAP"):
        return {key: _plain(item) for key, item in value.value().items()}
    return value.value()


def _type_name(declared: Any) -> str:
    name = repr(declared).lower().replace("<", "(").replace(">", ")")
    return NULL if name == "null" else name


def _compilation(message: str) -> str:
    """The library's complaint without its status code, in upstream's words where they differ."""
    text = message.removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
    return _VARIABLE.sub(r"undefined field '\1'", text)


def _readable(message: str) -> str:
    text = re.sub(r"^[A-Z_]+: ", "", message)
    text = re.sub(r" \[[A-Z_]+\]$", "", text)
    return _MISSING_KEY.sub(r"no such key: \1", text)
