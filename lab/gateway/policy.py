"""What happens to a request: a pure function of its target and the control state. Default: refuse."""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.audit import Decision, Mode
from lab.gateway.control import ControlState
from lab.gateway.target import READ_METHODS, Target
from lab.kube.request import MUTATING_VERBS

READ_SUBRESOURCES = frozenset({"", "status", "scale", "log", "ephemeralcontainers", "resize", "approval"})
"""Subresources whose GET only reads. Any other could be a connect that we do not know."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The decision, with the reason when it is a refusal."""

    decision: Decision
    reason: str = ""


def decide(target: Target, control: ControlState, acting: Mode) -> Ruling:
    """Allow, shadow or refuse. Refusals that hold in every mode come first, then the kill switch.

    `acting` is shadow or live: in canary mode, what the target makes of it.
    """
    info = target.info
    always = _never(target)
    if always:
        return _refused(always)
    if target.is_read:
        if acting is Mode.SHADOW and info.is_resource and info.subresource not in READ_SUBRESOURCES:
            return _refused(f"shadow mode does not know that reading {info.subresource!r} changes nothing")
        return Ruling(Decision.ALLOWED)
    if control.stopped:
        return _refused(control.why_stopped())
    if acting is Mode.LIVE:
        return Ruling(Decision.ALLOWED)
    if info.is_connect:
        return _refused(
            f"{info.subresource} has no dry run: it would act for real, and {_why_shadow(control)}"
        )
    if info.resource == "serviceaccounts" and info.subresource == "token":
        return _refused(f"a token is real even in a dry run, and {_why_shadow(control)}")
    return Ruling(Decision.SHADOWED)


def _why_shadow(control: ControlState) -> str:
    if control.mode is Mode.CANARY:
        return f"this target is outside the canary ({control.canary_percent:g} % of targets)"
    return "this automation is in shadow mode"


def _never(target: Target) -> str:
    info = target.info
    if not info.is_resource:
        return "" if target.method in READ_METHODS else "nothing outside /api and /apis can be written"
    if not info.resource:
        return "" if target.method in READ_METHODS else "no resource is named"
    if info.resource == "proxy" or (target.prefixed and target.method not in READ_METHODS):
        return "the path prefix is not one that the API still has"
    if target.is_mutating and not info.is_connect and info.verb not in MUTATING_VERBS:
        return f"{info.verb!r} is not a verb that can be recorded"
    return ""


def _refused(reason: str) -> Ruling:
    return Ruling(Decision.REFUSED, reason)
