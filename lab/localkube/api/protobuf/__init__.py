"""Reading protobuf request bodies, which kubectl sends for `create`, `drain` and `auth` since 1.32.

A body is the magic `k8s\\0`, then a runtime.Unknown with the type and the message's bytes. Messages are
read by a table of field numbers (`generate.py` makes it). Answers are JSON, which every client accepts.

Go writes a plain field also when it is zero, a pointer only when it is set. The wire does not say which is
which, so zeros are kept here; reading the object as its type drops those that are none (`schema.zeros`).
"""

from __future__ import annotations

import base64
import functools
import json
import lzma
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, TypeAlias

import orjson

from lab.kube.status import StatusError, bad_request

MAGIC = b"k8s\x00"
TABLE = "messages.json.xz"
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1."
_DEEPEST = 40

Value: TypeAlias = int | bytes
Message: TypeAlias = Mapping[str, tuple[str, str, str]]
"""Field number -> (JSON name, type, flag); the flag is r (repeated), m (map), i (inlined) or empty."""


def decode_object(content: bytes) -> Any:
    """The object in a protobuf body, as JSON has it. Raises StatusError 400."""
    if not content.startswith(MAGIC):
        raise bad_request("the body is not in the Kubernetes protobuf envelope")
    try:
        return _envelope(content[len(MAGIC) :])
    except (ValueError, IndexError, struct.error, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"the protobuf body cannot be read: {error}") from error


def _envelope(content: bytes) -> Any:
    fields = dict(_fields(content))
    kind = dict(_fields(_bytes(fields.get(1, b""))))
    api_version, kind_name = _bytes(kind.get(1, b"")).decode(), _bytes(kind.get(2, b"")).decode()
    name = _roots().get(f"{api_version}/{kind_name}") or _roots().get(f"*/{kind_name}")
    if name is None:
        raise _unread(api_version, kind_name)
    obj: dict[str, Any] = {"kind": kind_name, "apiVersion": api_version}
    return obj | _message(name, _bytes(fields.get(2, b"")), 0)


def _unread(api_version: str, kind: str) -> StatusError:
    message = f'no kind "{kind}" is registered for version "{api_version}" in the protobuf table'
    return StatusError(415, "UnsupportedMediaType", message)


@functools.cache
def _table() -> Mapping[str, Any]:
    packed = files(__package__).joinpath(TABLE).read_bytes()
    table: Mapping[str, Any] = json.loads(lzma.decompress(packed))
    return table


def _roots() -> Mapping[str, str]:
    roots: Mapping[str, str] = _table()["roots"]
    return roots


def _message(name: str, content: bytes, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    fields: Message = _table()["messages"][name]
    out: dict[str, Any] = {}
    for number, raw in _fields(content):
        known = fields.get(str(number))
        if known is None:
            continue
        key, kind, flag = known
        if flag == "i":
            out |= _message(kind, _bytes(raw), depth + 1)
        elif flag == "m":
            entry_key, entry_value = _entry(kind, _bytes(raw), depth)
            out.setdefault(key, {})[entry_key] = entry_value
        elif flag == "r":
            out.setdefault(key, []).append(_value(kind, raw, depth))
        else:
            value = _value(kind, raw, depth)
            if value is not None:
                out[key] = value
    return out


def _union(other: str, content: bytes, depth: int) -> Any:
    """A schema, or something else that JSON writes in its place; the schema counts when it is there."""
    chosen: list[Any] = []
    for number, raw in _fields(content):
        if other == "boolean" and number == 1:
            chosen.append(_SCALARS["boolean"](raw))
        elif number == (2 if other == "boolean" else 1):
            return _message(f"{_EXTENSIONS}JSONSchemaProps", _bytes(raw), depth + 1)
        elif number == 2:
            chosen.append(_value(other, raw, depth + 1))
    return (chosen or [False])[-1] if other == "boolean" else chosen


def _entry(kind: str, content: bytes, depth: int) -> tuple[str, Any]:
    key, value = "", None
    for number, raw in _fields(content):
        if number == 1:
            key = _bytes(raw).decode()
        elif number == 2:
            value = _value(kind, raw, depth)
    return key, "" if value is None else value


def _value(kind: str, raw: Value, depth: int) -> Any:
    if kind in _SCALARS:
        return _SCALARS[kind](raw)
    if kind in _UNIONS:
        return _union(_UNIONS[kind], _bytes(raw), depth)
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(_bytes(raw))
    if kind in _table()["lists"]:
        return [_value(_table()["lists"][kind], item, depth + 1) for _, item in _fields(_bytes(raw))]
    return _message(kind, _bytes(raw), depth + 1)


def _fields(content: bytes) -> Iterator[tuple[int, Value]]:
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        wire = tag & 7
        value: Value
        if wire == 0:
            value, position = _varint(content, position)
        elif wire in (1, 2, 5):
            size, position = _varint(content, position) if wire == 2 else ({1: 8, 5: 4}[wire], position)
            if position + size > len(content):
                raise ValueError("a field ends behind the message")
            value, position = content[position : position + size], position + size
        else:
            raise ValueError(f"wire type {wire} is not known")
        yield tag >> 3, value


def _varint(content: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = content[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _bytes(raw: Value) -> bytes:
    if not isinstance(raw, bytes):
        raise ValueError("a number where bytes belong")
    return raw


def _integer(raw: Value) -> int:
    if not isinstance(raw, int):
        raise ValueError("bytes where a number belongs")
    return raw - (1 << 64) if raw >> 63 else raw


def _numbers(content: bytes) -> dict[int, Value]:
    return dict(_fields(content))


def _time(content: bytes) -> str | None:
    return _instant(content, micro=False)


def _micro_time(content: bytes) -> str | None:
    return _instant(content, micro=True)


def _instant(content: bytes, *, micro: bool) -> str | None:
    fields = _numbers(content)
    if not fields:
        return None
    seconds, nanos = _integer(fields.get(1, 0)), _integer(fields.get(2, 0))
    try:
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (OverflowError, OSError) as error:
        raise ValueError(f"{seconds} is no time") from error
    return f"{text}.{nanos // 1000:06d}Z" if micro else f"{text}Z"


def _int_or_string(content: bytes) -> int | str:
    fields = _numbers(content)
    if _integer(fields.get(1, 0)) == 0:
        return _integer(fields.get(2, 0))
    return _bytes(fields.get(3, b"")).decode()


def _quantity(content: bytes) -> str:
    return _bytes(_numbers(content).get(1, b"")).decode() or "0"


def _raw(content: bytes) -> Any:
    inner = _bytes(_numbers(content).get(1, b""))
    return orjson.loads(inner) if inner else None


def _duration(content: bytes) -> str:
    return f"{_integer(_numbers(content).get(1, 0)) / 1e9:g}s"


_SCALARS: Mapping[str, Callable[[Value], Any]] = {
    "string": lambda raw: _bytes(raw).decode(),
    "integer": _integer,
    "boolean": lambda raw: bool(_integer(raw)),
    "bytes": lambda raw: base64.b64encode(_bytes(raw)).decode(),
    "double": lambda raw: struct.unpack("<d", _bytes(raw))[0],
}
_SPECIAL: Mapping[str, Callable[[bytes], Any]] = {
    _META + "Time": _time,
    _META + "MicroTime": _micro_time,
    _META + "Duration": _duration,
    _META + "FieldsV1": _raw,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _raw,
    _EXTENSIONS + "JSON": _raw,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
}
_UNIONS: Mapping[str, str] = {
    _EXTENSIONS + "JSONSchemaPropsOrArray": _EXTENSIONS + "JSONSchemaProps",
    _EXTENSIONS + "JSONSchemaPropsOrBool": "boolean",
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": "string",
}
"""What may stand where a schema may."""
