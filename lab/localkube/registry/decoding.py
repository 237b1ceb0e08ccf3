"""Reading an object as Kubernetes' typed decoder would: unknown fields dropped, nulls dropped, types checked.

What Go's JSON leaves out when it is empty is left out, and what it always writes is there (`schema.zeros`),
unless the object is to be kept as it was sent.

Source: k8s.io/apimachinery/pkg/runtime/serializer/json and sigs.k8s.io/json (the messages).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any

import orjson

from lab.kube.objects import KubeObject
from lab.kube.schema import Schema, definition_name, definitions, reference, resolve, zeros
from lab.kube.status import StatusError, bad_request
from lab.localkube.registry.times import read_micro_time, read_time

Reader = Callable[[Any, str, list[str]], Any]
"""(value, path, unknown fields found) -> the value as the type holds it."""

_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_SCHEMA_OR_ELSE = frozenset(f"{_SCHEMA}Or{other}" for other in ("Array", "Bool"))
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_TIMES = {f"{_META}Time": read_time, f"{_META}MicroTime": read_micro_time}
_GO_TYPES = {"string": "string", "boolean": "bool", "number": "float64"}
_INDEX = re.compile(r"\[\d+\]")
_INT32 = 1 << 31


class DecodingError(StatusError):
    """400: a field has the wrong JSON type. `why` is Go's sentence about it."""

    def __init__(self, kind: str, version: str, why: str) -> None:
        message = f'{kind} in version "{version}" cannot be handled as a {kind}: {why}'
        super().__init__(400, "BadRequest", message)
        self.why = why


class _TypeMismatch(Exception):
    """A value of the wrong JSON type. owner: the Go type of the field's struct, once it is known."""

    def __init__(self, seen: str, path: str, wanted: str) -> None:
        self.seen, self.path, self.wanted, self.owner = seen, _INDEX.sub("", path), wanted, ""

    def __str__(self) -> str:
        where = f"Go struct field {self.owner}.{self.path}" if self.path else "Go value"
        return f"json: cannot unmarshal {self.seen} into {where} of type {self.wanted}"


class _BadTime(_TypeMismatch):
    """A text that is no instant."""

    def __init__(self, why: str) -> None:
        super().__init__("string", "", "string")
        self._why = why

    def __str__(self) -> str:
        return self._why


def thaw(obj: KubeObject) -> KubeObject:
    """A deep copy of a shared snapshot, to write to."""
    copied: KubeObject = orjson.loads(orjson.dumps(obj))
    return copied


def read_json(body: bytes) -> tuple[Any, list[str]]:
    """Parse JSON; also the `duplicate field "a.b"` complaints, which a plain parser swallows.

    Raises StatusError 400 when it is not JSON.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    return value, _duplicates(body) if body.count(b'"') else []


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its members in order, doubled ones included."""


def _duplicates(body: bytes) -> list[str]:
    found: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, _Pairs):
            seen: set[str] = set()
            for key, member in value:
                at = f"{path}.{key}" if path else key
                if key in seen and f'duplicate field "{at}"' not in found:
                    found.append(f'duplicate field "{at}"')
                seen.add(key)
                walk(member, at)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, f"{path}[{index}]")

    walk(json.loads(body, object_pairs_hook=_Pairs), "")
    return found


def conform(
    obj: KubeObject, group: str, version: str, kind: str, *, as_sent: bool = False
) -> tuple[KubeObject, list[str]]:
    """A fresh copy of an object as its type holds it, and the `unknown field "a.b"` complaints.

    as_sent: neither drop nor fill in what is empty, as in an apply, where it matters who said what.
    Raises StatusError 400 when a field has the wrong type. A kind without a schema is copied as it is.
    """
    name = definition_name(group, version, kind)
    if name is None:
        return thaw(obj), []
    unknown: list[str] = []
    try:
        value: KubeObject = _reader_of(name, as_sent)(obj, "", unknown)
    except RecursionError:
        raise bad_request("the object is nested too deeply") from None
    except _TypeMismatch as error:
        raise DecodingError(kind, version, str(error)) from error
    return value, unknown


def conform_as(
    definition: str, value: Any, path: str, unknown: list[str], version: str, kind: str
) -> KubeObject:
    """A fresh copy of the part of an object that has a type of its own, such as metadata; see `conform`.

    Raises StatusError 400 when a field has the wrong type.
    """
    try:
        result: KubeObject = _reader_of(definition, False)(value, path, unknown)
    except _TypeMismatch as error:
        raise DecodingError(kind, version, str(error)) from error
    return result


def strict_error(kind: str, version: str, complaints: list[str]) -> StatusError:
    """The 400 of fieldValidation=Strict."""
    return bad_request(
        f'{kind} in version "{version}" cannot be handled as a {kind}: '
        f"strict decoding error: {', '.join(complaints)}"
    )


@functools.cache
def blank(group: str, version: str, kind: str) -> KubeObject:
    """What an object of a kind has without anybody saying anything. Do not write to it."""
    return conform({}, group, version, kind)[0]


@functools.cache
def _reader_of(name: str, as_sent: bool) -> Reader:
    """The reader of a definition; built on first use, so that recursive types work."""
    schema = definitions()[name]
    if name in _SCHEMA_OR_ELSE:
        return functools.partial(_read_schema_or_else, as_sent)
    if name in _TIMES:
        return functools.partial(_read_time, _TIMES[name])
    if "oneOf" in schema:
        wanted = (str, int) if schema.get("format") == "int-or-string" else (str, int, float)
        return functools.partial(_read_union, wanted)
    if "properties" not in schema:
        return _reader(schema, as_sent) if schema.get("type") != "object" else _read_any
    return _struct(schema, name, as_sent)


def _read_any(value: Any, path: str, unknown: list[str]) -> Any:
    return orjson.loads(orjson.dumps(value))


def _read_time(reader: Callable[[str], str], value: Any, path: str, unknown: list[str]) -> Any:
    if not isinstance(value, str):
        raise _TypeMismatch(_json_type(value), path, "string")
    try:
        return reader(value)
    except ValueError as error:
        raise _BadTime(str(error)) from error


def _read_schema_or_else(as_sent: bool, value: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(value, dict):
        return _reader_of(_SCHEMA, as_sent)(value, path, unknown)
    return _read_any(value, path, unknown)


def _read_union(wanted: tuple[type, ...], value: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise _TypeMismatch(_json_type(value), path, "int32" if int in wanted else "string")
    if isinstance(value, int) and float not in wanted and not -_INT32 <= value < _INT32:
        raise _TypeMismatch(f"number {value}", path, "int32")
    return value


def _struct(schema: Schema, name: str, as_sent: bool) -> Reader:
    properties: dict[str, Schema] = schema["properties"]
    readers: dict[str, Reader] = {}
    go_type = _go_name(name)
    known = zeros().get(name)
    dropped = _omitted_when_empty(schema) if as_sent or known is None else known.dropped
    filled = {} if as_sent or known is None else known.filled

    def read(value: Any, path: str, unknown: list[str]) -> Any:
        if not isinstance(value, dict):
            raise _TypeMismatch(_json_type(value), path, go_type)
        result: KubeObject = {}
        try:
            for key, member in value.items():
                reader = readers.get(key)
                if reader is None:
                    if key not in properties:
                        unknown.append(f'unknown field "{path}.{key}"' if path else f'unknown field "{key}"')
                        continue
                    reader = readers[key] = _reader(properties[key], as_sent)
                if member is None:
                    continue
                held = reader(member, f"{path}.{key}" if path else key, unknown)
                if held or key not in dropped:
                    result[key] = held
        except _TypeMismatch as error:
            error.owner = error.owner or go_type.rpartition(".")[2]
            raise
        for key, zero in filled.items():
            if key not in result:
                result[key] = _reader(properties[key], False)({}, "", []) if zero == {} else zero
        return result

    return read


def _omitted_when_empty(schema: Schema) -> frozenset[str]:
    """The maps and lists of a type that are stored only with something in them."""
    required = schema.get("required", ())
    return frozenset(
        key
        for key, prop in schema["properties"].items()
        if key not in required
        and not reference(prop)
        and (prop.get("type") == "array" or isinstance(prop.get("additionalProperties"), dict))
    )


def _reader(schema: Schema, as_sent: bool) -> Reader:
    name = reference(schema)
    if name:
        return _reader_of(name, as_sent)
    kind = schema.get("type")
    if kind == "array":
        return _array(_reader(schema.get("items", {}), as_sent), _go_type(schema))
    if kind == "object":
        extra = schema.get("additionalProperties")
        if not isinstance(extra, dict):
            return _read_any
        return _map(_reader(extra, as_sent), _go_type(schema), _zero(extra), keyed=bool(reference(extra)))
    if kind is None:
        return _read_any
    return functools.partial(_read_scalar, kind, _go_type(schema))


def _go_name(definition: str) -> str:
    return ".".join(definition.split(".")[-2:])


def _go_type(schema: Schema) -> str:
    """A type as Go calls it: `v1.Container`, `[]v1.Container`, `map[string]string`, `int32`."""
    name = reference(schema)
    if name:
        return _go_name(name)
    kind = schema.get("type", "")
    if kind == "array":
        return f"[]{_go_type(schema.get('items', {}))}"
    if kind == "object":
        return f"map[string]{_go_type(schema.get('additionalProperties') or {})}"
    if kind == "integer":
        return str(schema.get("format") or "int64")
    return _GO_TYPES.get(kind, "interface {}")


def _array(item: Reader, go_type: str) -> Reader:
    def read(value: Any, path: str, unknown: list[str]) -> Any:
        if not isinstance(value, list):
            raise _TypeMismatch(_json_type(value), path, go_type)
        return [item(member, f"{path}[{i}]", unknown) for i, member in enumerate(value) if member is not None]

    return read


def _zero(schema: Schema) -> Callable[[], Any]:
    """Makes what Go's zero value of a type is in JSON: a null in a map is read as that."""
    kind = resolve(schema).get("type")
    zeros: dict[str, Callable[[], Any]] = {
        "object": dict,
        "array": list,
        "integer": int,
        "number": float,
        "boolean": bool,
    }
    return zeros.get(str(kind), str)


def _map(item: Reader, go_type: str, zero: Callable[[], Any], *, keyed: bool) -> Reader:
    """keyed: are the keys part of a path in it? Not in Go's sentences about plain values."""

    def read(value: Any, path: str, unknown: list[str]) -> Any:
        if not isinstance(value, dict):
            raise _TypeMismatch(_json_type(value), path, go_type)
        return {
            key: zero() if member is None else item(member, f"{path}.{key}" if keyed else path, unknown)
            for key, member in value.items()
        }

    return read


def _read_scalar(kind: str, go_type: str, value: Any, path: str, unknown: list[str]) -> Any:
    if kind == "string" and isinstance(value, str):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind in ("integer", "number") and isinstance(value, (int, float)) and not isinstance(value, bool):
        if kind == "number":
            return value
        most = _INT32 if go_type == "int32" else 1 << 63
        if (isinstance(value, int) or value.is_integer()) and -most <= value < most:
            return int(value)
        raise _TypeMismatch(f"number {value}", path, go_type)
    raise _TypeMismatch(_json_type(value), path, go_type)


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
