"""Kubernetes quantities: `500m`, `1.5Gi`, `1e3`.

Source: k8s.io/apimachinery/pkg/api/resource/quantity.go. A quantity keeps its family (binary, decimal or
exponent) and is written with the largest suffix that needs no fraction. Precision is 1 nano, rounded up.
"""

from __future__ import annotations

import functools
import re
from decimal import ROUND_CEILING, Decimal, localcontext

_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d+))?\Z")
_BINARY = {suffix: 1024**power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {
    "n": -9,
    "u": -6,
    "m": -3,
    "": 0,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
    "E": 18,
}
_NANO = Decimal("1e-9")
_LARGEST = Decimal(2**63 - 1)
"""Larger amounts are cut to this one, as upstream does."""

_LONGEST = 100
_REMEMBERED = 1024
"""Quantities that are not worked out again: pods have few different ones."""


@functools.lru_cache(_REMEMBERED)
def _split(text: str) -> tuple[Decimal, str]:
    found = _QUANTITY.match(text.strip()) if len(text) <= _LONGEST else None
    if not found:
        raise ValueError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    number, binary, suffix, exponent = found.groups()
    with localcontext() as context:
        context.prec = 4 * _LONGEST
        value = Decimal(number)
        if binary:
            value *= _BINARY[binary]
        elif suffix:
            value = value.scaleb(_DECIMAL[suffix])
        elif exponent:
            value = value.scaleb(max(-_LONGEST, min(_LONGEST, int(exponent))))
        value = max(-_LARGEST, min(_LARGEST, value))
        value = value.quantize(_NANO, rounding=ROUND_CEILING) if value % _NANO else value
    return value, "binary" if binary else "exponent" if exponent else "decimal"


def parse_quantity(text: str | int | float) -> Decimal:
    """The value in base units (cores, bytes, items). Raises ValueError with Kubernetes' message."""
    return _split(str(text))[0]


def _integer_form(value: Decimal) -> tuple[int, int]:
    """The value as digits and a power of ten that is a multiple of three, digits as short as possible."""
    exponent = 0
    scaled = value
    while scaled != scaled.to_integral_value():
        exponent -= 3
        scaled = value.scaleb(-exponent)
    while scaled and not scaled % 1000:
        exponent += 3
        scaled = scaled / 1000
    return int(scaled), exponent


def format_quantity(text: str | int | float) -> str:
    """The canonical form of a quantity: `1000m` is `1`, `1024Mi` is `1Gi`, `0.5` is `500m`.

    Raises ValueError like `parse_quantity`.
    """
    return _canonical(str(text))


@functools.lru_cache(_REMEMBERED)
def _canonical(text: str) -> str:
    value, family = _split(text)
    if not value:
        return "0"
    with localcontext() as context:
        context.prec = 60
        if family == "binary" and value == value.to_integral_value() and abs(value) >= 1024:
            for suffix, factor in reversed(_BINARY.items()):
                if not value % factor:
                    return f"{int(value / factor)}{suffix}"
            return str(int(value))
        digits, exponent = _integer_form(value)
    if family == "exponent":
        return f"{digits}e{exponent}" if exponent else str(digits)
    if exponent > 18:
        digits, exponent = digits * 10 ** (exponent - 18), 18
    suffix = next(suffix for suffix, power in _DECIMAL.items() if power == exponent)
    return f"{digits}{suffix}"
