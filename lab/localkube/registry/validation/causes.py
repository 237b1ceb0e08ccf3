"""Collecting problems in the words of k8s.io/apimachinery/pkg/util/validation/field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (dict, list)):
        return orjson.dumps(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


class Causes:
    """Problems found so far: (field path, reason, message)."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str, str]] = []

    def required(self, path: str, why: str = "") -> None:
        """A field that must be there is not."""
        self.found.append((path, "FieldValueRequired", f"Required value: {why}" if why else "Required value"))

    def invalid(self, path: str, value: Any, why: str) -> None:
        """A value that cannot be."""
        self.found.append((path, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {why}"))

    def duplicate(self, path: str, value: Any) -> None:
        """A value that may occur once."""
        self.found.append((path, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}"))

    def unsupported(self, path: str, value: Any, supported: Iterable[str], *, ordered: bool = False) -> None:
        """A value outside an enumeration. Upstream sorts some of them, and keeps others in their order."""
        known = supported if ordered else sorted(supported)
        allowed = ", ".join(f'"{each}"' for each in known)
        message = f"Unsupported value: {_shown(value)}: supported values: {allowed}"
        self.found.append((path, "FieldValueNotSupported", message))

    def forbidden(self, path: str, why: str) -> None:
        """A value that may not be given here or now."""
        self.found.append((path, "FieldValueForbidden", f"Forbidden: {why}"))

    def not_found(self, path: str, value: Any) -> None:
        """A reference to something that is not there."""
        self.found.append((path, "FieldValueNotFound", f"Not found: {_shown(value)}"))
