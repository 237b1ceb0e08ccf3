"""Namespaces in protobuf bodies, which kubectl and Go clients send: renamed in place, without a schema.

A body is the magic `k8s\\0` and a runtime.Unknown: field 1 the type, field 2 the object's bytes. In each
object field 1 is its ObjectMeta, whose field 3 is the namespace; kinds that name one elsewhere are listed.
Source: k8s.io/apimachinery/pkg/runtime/generated.proto, and the generated.proto of each group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

MAGIC = b"k8s\x00"
_BYTES, _VARINT, _FIXED64, _FIXED32 = 2, 0, 1, 5
_METADATA = (1, 3)
_ATTRIBUTES = (2, 1, 1)
_ELSEWHERE = {
    b"SelfSubjectAccessReview": _ATTRIBUTES,
    b"SubjectAccessReview": _ATTRIBUTES,
    b"LocalSubjectAccessReview": _ATTRIBUTES,
    b"SelfSubjectRulesReview": (2, 1),
    b"Event": (2, 2),
}

Path = tuple[int, ...]
Rename = Callable[[str], str]


def rename_in(body: bytes, rename: Rename) -> bytes:
    """The body with its namespaces renamed. Raises ValueError when it cannot be read."""
    unknown = body.removeprefix(MAGIC)
    kind = next((value for number, value, _ in _fields(_first(unknown, 1)) if number == 2), b"")
    paths = [_METADATA, *([_ELSEWHERE[kind]] if kind in _ELSEWHERE else [])]
    for path in paths:
        unknown = _changed(unknown, (2, *path), rename)
    return MAGIC + unknown


def _changed(message: bytes, path: Path, rename: Rename) -> bytes:
    made = b""
    for number, value, raw in _fields(message):
        if number != path[0] or value is None:
            made += raw
            continue
        new = _changed(value, path[1:], rename) if path[1:] else rename(value.decode()).encode()
        made += _varint(number << 3 | _BYTES) + _varint(len(new)) + new
    return made


def _first(message: bytes, number: int) -> bytes:
    return next((value for found, value, _ in _fields(message) if found == number and value is not None), b"")


def _fields(message: bytes) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Number, value (None when it is a number) and whole encoding of each field."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read(message, at)
        wire, value = tag & 7, None
        if wire == _VARINT:
            _, at = _read(message, at)
        elif wire == _BYTES:
            length, at = _read(message, at)
            value = message[at : at + length]
            at += length
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"a field has the wire type {wire}")
        if at > len(message):
            raise ValueError("a field is longer than the message")
        yield tag >> 3, value, message[start:at]


def _read(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number has no end")
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*made, number))
