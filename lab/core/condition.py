"""Conditions on a measured value: `result < 0.05`, `result >= 0.95 and result <= 1`.

    condition  = and-term { ("or" | "||") and-term }
    and-term   = not-term { ("and" | "&&") not-term }
    not-term   = ("not" | "!") not-term | "(" condition ")" | comparison
    comparison = operand ("<" | "<=" | ">" | ">=" | "==" | "!=") operand
    operand    = "result" | number

Nothing else can be said, so a condition can neither run code nor fail when it is used. A comparison with
NaN is never true, except `!=`; whoever measures decides on NaN before.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from lab.errors import UsageError

MAX_LENGTH = 200
MAX_DEPTH = 20
GRAMMAR = "write comparisons of `result` with numbers, joined by and, or, not: result < 0.05"

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_]+)"
    r"|(?P<sign><=|>=|==|!=|&&|\|\||[<>!()]))"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_SAME = {"&&": "and", "||": "or", "!": "not"}
_Test = Callable[[float], bool]
_Operand = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as it was written, ready to be asked."""

    text: str
    _test: _Test

    def holds(self, result: float) -> bool:
        """Whether it is true of a measured value."""
        return self._test(result)


def read_condition(text: str) -> Condition:
    """Understand a condition. Raises UsageError saying where it is wrong."""
    if not isinstance(text, str) or not text.strip():
        raise UsageError("a condition is empty", hint=GRAMMAR)
    if len(text) > MAX_LENGTH:
        raise UsageError(f"a condition is longer than {MAX_LENGTH} characters", hint=GRAMMAR)
    parser = _Parser(text)
    test = parser.either(0)
    if parser.next():
        raise parser.wrong()
    return Condition(text, test)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, int]] = []
        self._at = 0
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None:
                rest = text[place:].strip()[:20]
                raise UsageError(f"{text!r} cannot be read from {rest!r} on", hint=GRAMMAR)
            token = found.group().strip()
            self._tokens.append((_SAME.get(token, token), found.end()))
            place = found.end()

    def next(self) -> str:
        """The token in hand; empty at the end."""
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def wrong(self) -> UsageError:
        """Says what stands where something else was expected."""
        seen = f"{self.next()!r} is not expected" if self.next() else "it ends too early"
        return UsageError(f"{self._text!r} is not a condition: {seen}", hint=GRAMMAR)

    def either(self, depth: int) -> _Test:
        tests = [self._all(depth)]
        while self._take("or"):
            tests.append(self._all(depth))
        return tests[0] if len(tests) == 1 else lambda result: any(test(result) for test in tests)

    def _all(self, depth: int) -> _Test:
        tests = [self._one(depth)]
        while self._take("and"):
            tests.append(self._one(depth))
        return tests[0] if len(tests) == 1 else lambda result: all(test(result) for test in tests)

    def _one(self, depth: int) -> _Test:
        if depth > MAX_DEPTH:
            raise UsageError(f"{self._text!r} is nested too deeply", hint=GRAMMAR)
        if self._take("not"):
            inner = self._one(depth + 1)
            return lambda result: not inner(result)
        if self._take("("):
            test = self.either(depth + 1)
            if not self._take(")"):
                raise self.wrong()
            return test
        left = self._operand()
        compare = _COMPARE.get(self.next())
        if compare is None:
            raise self.wrong()
        self._at += 1
        right = self._operand()
        return lambda result: compare(left(result), right(result))

    def _operand(self) -> _Operand:
        if self._take("result"):
            return lambda result: result
        try:
            number = float(self.next()) if self.next()[:1] in "+-.0123456789" else None
        except ValueError:
            number = None
        if number is None:
            raise self.wrong()
        self._at += 1
        return lambda _: number

    def _take(self, token: str) -> bool:
        if self.next() == token:
            self._at += 1
            return True
        return False
