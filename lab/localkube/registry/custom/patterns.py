"""The patterns of schemas: Go's regular expressions, read as Python's where both mean the same.

    $ → the very end   \\z → the very end   [[:alpha:]] → [a-zA-Z]   \\d, \\w, \\s and \\b → ASCII
    a(?i)b|c → a(?i:b)|(?i:c)

What Python does not know (`\\pL`, `\\Q…\\E`, `(?U)`) is refused, never misread. Source: the syntax of RE2.
"""

from __future__ import annotations

import functools
import re

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": r"a-zA-Z0-9_",
    "xdigit": "0-9a-fA-F",
}
_TOKEN = re.compile(r"\\.|(?<!^)\(\?[is]+\)|\[:(\^?)(\w+):\]|\[\^?\]?|.", re.DOTALL)
_END = {"\\z": r"\Z", "\\Z": None, "$": r"\Z"}
"""Go does not know \\Z."""


@functools.lru_cache(maxsize=512)
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern as Python's. Raises re.error when it cannot be read, or not with its meaning."""
    multiline = re.match(r"\(\?[a-zA-Z]*m", pattern) is not None
    out, in_set, flags = [], False, _Flags()
    for match in _TOKEN.finditer(pattern):
        token = match[0]
        if in_set:
            out.append(_in_set(match))
            in_set = token != "]"
        elif token in _END and not (token == "$" and multiline):
            end = _END[token]
            if end is None:
                raise re.error(f"invalid escape sequence: {token}")
            out.append(end)
        else:
            in_set = token.startswith("[") and not match[2]
            out.append(flags.around(token))
    return re.compile("".join(out) + flags.end(), re.ASCII)


class _Flags:
    """Flags in the midst of a pattern: in Go they hold to the end of their group, over its alternatives."""

    def __init__(self) -> None:
        self._groups: list[list[str]] = [[]]
        """The flags that have been set in each open group."""

    def around(self, token: str) -> str:
        """What stands for the token."""
        here = self._groups[-1]
        if token.startswith("(?") and token.endswith(")"):
            here.append(f"{token[:-1]}:")
            return here[-1]
        if token == "|":
            return f"{')' * len(here)}|{''.join(here)}"
        if token == "(":
            self._groups.append([])
        elif token == ")" and len(self._groups) > 1:
            return self.end() + token
        return token

    def end(self) -> str:
        """What ends the flags of the innermost group."""
        return ")" * len(self._groups.pop())


def _in_set(match: re.Match[str]) -> str:
    """A token between brackets. A lone `[` is escaped: Python has plans for it."""
    if match[2]:
        if match[1] or match[2] not in _CLASSES:
            raise re.error(f"invalid character class range: {match[0]}")
        return _CLASSES[match[2]]
    return "\\" + match[0] if match[0].startswith("[") else match[0]
