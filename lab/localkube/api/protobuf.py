"""Protobuf request bodies. Not read yet: refused with 415."""

from __future__ import annotations

from typing import Any

from lab.kube.status import unsupported_media_type


def decode_object(content: bytes) -> Any:
    """Decode a body. Raises StatusError 415."""
    raise unsupported_media_type("protobuf bodies are not read by this server; send application/json")
