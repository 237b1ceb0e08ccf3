"""Is an image's name one? Source: github.com/distribution/reference."""

from __future__ import annotations

import re

_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?:{_DOMAIN}/)?{_WORD}(?:/{_WORD})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@{_DIGEST})?"
)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_LONGEST = 255


def reference_problem(image: str) -> str:
    """What is wrong with an image's name, in the words of container tools; empty when nothing is."""
    if _IDENTIFIER.fullmatch(image):
        return f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"
    name = _path(image)
    if name != name.lower():
        return f"invalid reference format: repository name ({name}) must be lowercase"
    if not _REFERENCE.fullmatch(image):
        return "invalid reference format"
    if len(name) > _LONGEST:
        return f"repository name must not be more than {_LONGEST} characters"
    return ""


def _path(image: str) -> str:
    """The repository below its registry, without tag and digest."""
    first, slash, rest = image.partition("/")
    has_domain = slash and (set(".:") & set(first) or first == "localhost" or first != first.lower())
    path = rest if has_domain else image
    name = path.partition("@")[0].partition(":")[0]
    return name if has_domain or "/" in name else f"library/{name}"
