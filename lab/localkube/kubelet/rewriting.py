"""What stands in for cluster DNS and mount namespaces: texts are rewritten before a program sees them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

_BEFORE = r"(?<![\w./-])"
_AFTER = r"(?![\w.-])"


def path_rewriter(mounts: Mapping[str, Path]) -> Callable[[str], str]:
    """A function that replaces each mounted path, also as the head of a longer one, by the real one.

    With /etc/app mounted, `--config=/etc/app/x.yaml` becomes `--config=<real>/x.yaml`; /etc/app2 stays.
    """
    places = {mount.rstrip("/"): str(real) for mount, real in mounts.items() if mount.rstrip("/")}
    if not places:
        return str
    longest_first = sorted(places, key=len, reverse=True)
    pattern = re.compile(_BEFORE + "(" + "|".join(re.escape(mount) for mount in longest_first) + ")" + _AFTER)

    def rewrite(text: str) -> str:
        return pattern.sub(lambda match: places[match[1]], text)

    return rewrite


_REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' `$(NAME)`: known names are replaced, unknown ones stay, `$$` is a `$`."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def references(text: str) -> set[str]:
    """The names that `expand` would look for."""
    return {match[1] for match in _REFERENCE.finditer(text) if match[0] != "$$"}
