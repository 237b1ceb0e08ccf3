"""Kubernetes quantities as numbers: `500m` is 0.5, `1Gi` is 2**30."""

from __future__ import annotations

_SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
} | {f"{prefix}i": 1024.0**power for power, prefix in enumerate("KMGTPE", 1)}


def parse_quantity(value: str | int | float) -> float:
    """The number that a quantity stands for. Raises ValueError when it is not one."""
    if not isinstance(value, str):
        return float(value)
    text = value.strip()
    number = text.rstrip("numkMGTPEi")
    suffix = text[len(number) :]
    if suffix not in _SUFFIXES:
        raise ValueError(f"{value!r} is not a quantity")
    return float(number) * _SUFFIXES[suffix]
