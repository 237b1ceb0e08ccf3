"""Checks of numbers, percentages, ports and quantities, in upstream's words."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from lab.kube.quantity import parse_quantity
from lab.localkube.registry.names import port_name_problem
from lab.localkube.registry.validation.causes import Causes

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PERCENT = re.compile(r"[0-9]+%\Z")


def check_not_negative(value: Any, path: str, causes: Causes) -> None:
    """A number that may be absent, but not below zero."""
    if value is not None and value < 0:
        causes.invalid(path, value, "must be greater than or equal to 0")


def check_port(value: Any, path: str, causes: Causes) -> None:
    """A port number."""
    if not isinstance(value, int) or not 1 <= value <= 65_535:
        causes.invalid(path, value or 0, "must be between 1 and 65535, inclusive")


def check_port_or_name(value: Any, path: str, causes: Causes) -> None:
    """A port by number or by name."""
    if isinstance(value, str):
        problem = port_name_problem(value)
        if problem:
            causes.invalid(path, value, problem)
    else:
        check_port(value, path, causes)


def check_count_or_percent(value: Any, path: str, causes: Causes) -> None:
    """A whole number or a percentage, not negative."""
    if isinstance(value, str):
        if not _PERCENT.match(value):
            causes.invalid(
                path,
                value,
                "a valid percent string must be a numeric string followed by an ending '%' "
                "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            )
    else:
        check_not_negative(value, path, causes)


def is_zero(value: Any) -> bool:
    """Is a count or percentage nothing at all?"""
    return value in (0, "0%", None)


def check_quantity(value: Any, path: str, causes: Causes) -> Decimal | None:
    """A resource quantity, not negative; its value when it can be read."""
    try:
        amount = parse_quantity(value)
    except ValueError as error:
        causes.invalid(path, value, str(error))
        return None
    if amount < 0:
        causes.invalid(path, value, "must be greater than or equal to 0")
    return amount
