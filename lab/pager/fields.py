"""The fields of a request's body, declared once: they are read by the declaration and documented from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lab.core.clock import parse_rfc3339
from lab.errors import UsageError

MAX_BY = 128
MAX_TEXT = 8192
MAX_NAME = 253
MAX_EVIDENCE = 64 * 1024

Schema = dict[str, Any]


class Kind(Enum):
    """What a field holds."""

    TEXT = "a string"
    NUMBER = "a number"
    INSTANT = "an RFC 3339 string, like 2026-01-31T12:00:00Z"
    OBJECT = "an object"
    LIST = "a list"
    ANY = "any JSON"


_TYPES: dict[Kind, Schema] = {
    Kind.TEXT: {"type": "string"},
    Kind.NUMBER: {"type": "number"},
    Kind.INSTANT: {"type": "string", "format": "date-time"},
    Kind.OBJECT: {"type": "object"},
    Kind.LIST: {"type": "array"},
    Kind.ANY: {},
}


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a body.

    limit: the most characters, of the JSON text for anything but a string. is_author: the value is who
    speaks. schema: what the value looks like inside, in the words of JSON Schema.
    """

    name: str
    meaning: str
    kind: Kind = Kind.TEXT
    required: bool = True
    limit: int = MAX_TEXT
    is_author: bool = False
    schema: Mapping[str, Any] = field(default_factory=dict)

    def read(self, body: Mapping[str, Any]) -> Any:
        """The value; "" or None when it is absent and may be. Raises UsageError."""
        value = body.get(self.name)
        if value is None or value == "":
            if self.required:
                raise UsageError(f"{self.name} is missing")
            return "" if self.kind is Kind.TEXT else None
        if not self._fits(value):
            raise UsageError(f"{self.name} must be {self.kind.value}, not {type(value).__name__}")
        characters = len(value) if isinstance(value, str) else len(json.dumps(value))
        if characters > self.limit:
            raise UsageError(f"{self.name} has {characters} characters; {self.limit} is the limit")
        if self.kind is Kind.INSTANT:
            try:
                return parse_rfc3339(value)
            except (ValueError, OverflowError) as error:
                raise UsageError(f"{self.name} {value[:60]!r} is not {Kind.INSTANT.value}") from error
        return value

    def _fits(self, value: Any) -> bool:
        if self.kind is Kind.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool)
        types: dict[Kind, type] = {
            Kind.TEXT: str,
            Kind.INSTANT: str,
            Kind.OBJECT: dict,
            Kind.LIST: list,
        }
        return isinstance(value, types.get(self.kind, object))

    def as_schema(self) -> Schema:
        """The JSON Schema of the value. What is optional may be null, or for a text empty."""
        schema: Schema = {**_TYPES[self.kind], **self.schema, "description": self.meaning}
        if self.kind is Kind.TEXT:
            schema["maxLength"] = self.limit
            schema |= {"minLength": 1} if self.required else {}
        if not self.required and "type" in schema:
            schema["type"] = [schema["type"], "null"]
        return schema


def read_fields(fields: Sequence[Field], body: Any) -> dict[str, Any]:
    """Every declared value of a body, which must be an object; other keys are ignored. Raises UsageError."""
    if not isinstance(body, dict):
        raise UsageError(f"the body must be an object, not {type(body).__name__}")
    return {one.name: one.read(body) for one in fields}


def fields_schema(fields: Sequence[Field]) -> Schema:
    """The JSON Schema of the whole body."""
    required = [one.name for one in fields if one.required]
    schema: Schema = {"type": "object", "properties": {one.name: one.as_schema() for one in fields}}
    return schema | ({"required": required} if required else {})


def author(name: str = "by", meaning: str = "Who speaks: a person's or program's name.") -> Field:
    """The field that names the author."""
    return Field(name, meaning, limit=MAX_BY, is_author=True)
