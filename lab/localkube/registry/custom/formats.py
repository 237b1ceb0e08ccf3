"""The formats of strings that a schema may ask for. Those that are not known here, as upstream, are ignored.

Source: k8s.io/kube-openapi/pkg/validation/strfmt and
k8s.io/apiextensions-apiserver/pkg/apiserver/validation/formats.go.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from urllib.parse import urlsplit

from lab.core.clock import parse_rfc3339

_LABELS = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\Z")
_EMAIL = re.compile(r"[^@\s<>()]+@[^@\s<>()]+\Z")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-])([0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}\Z")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\Z")
_COLOR = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
_DURATION = re.compile(r"[-+]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)\Z")
_LONG_DURATION = re.compile(
    r"(\s*\d+\s*(ns|nanos|us|µs|micros?|ms|millis?|s|secs?|m|mins?|h|hrs?|d|"
    r"(nano|micro|milli)?seconds?|minutes?|hours?|days?|w|wks?|weeks?)\s*)+\Z"
)


def _is_time(text: str) -> bool:
    parse_rfc3339(text)
    return "T" in text.upper()


def _is_date(text: str) -> bool:
    return date.fromisoformat(text).isoformat() == text


def _is_uri(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.scheme) or text.startswith("/")


def _is_v4(text: str) -> bool:
    return ipaddress.IPv4Address(text).version == 4


def _is_v6(text: str) -> bool:
    return ipaddress.IPv6Address(text).version == 6


def _is_range(text: str) -> bool:
    ipaddress.ip_network(text, strict=False)
    return "/" in text


def _is_base64(text: str) -> bool:
    base64.b64decode(text, validate=True)
    return True


def _is_duration(text: str) -> bool:
    return bool(_DURATION.match(text) or _LONG_DURATION.match(text))


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: bool(pattern.match(text))


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date-time": _is_time,
    "datetime": _is_time,
    "date": _is_date,
    "duration": _is_duration,
    "uri": _is_uri,
    "email": _matches(_EMAIL),
    "hostname": lambda text: len(text) <= 255 and bool(_LABELS.match(text)),
    "ipv4": _is_v4,
    "ipv6": _is_v6,
    "cidr": _is_range,
    "mac": _matches(_MAC),
    "uuid": _matches(_UUID),
    "byte": _is_base64,
    "hexcolor": _matches(_COLOR),
}


def format_problem(form: str, text: str) -> bool:
    """Does a text lack the form that it should have?"""
    check = _FORMATS.get(form)
    if check is None:
        return False
    try:
        return not check(text)
    except (ValueError, binascii.Error):
        return True
