"""Names of people and programs."""

from __future__ import annotations

ONCALL = "human:oncall"
"""The simulated human: its reports are the baseline of the measurements, so nobody else may use the name."""


def plain_name(name: str) -> str:
    """The name without what does not make another person of it: case, blanks around it, the mark `human:`."""
    return name.strip().casefold().removeprefix("human:").strip()


def same_person(one: str, other: str) -> bool:
    """Do two names mean one person or program?"""
    return plain_name(one) == plain_name(other)
