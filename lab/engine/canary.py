"""The canary of a running lab: start a plan, command it, see where it stands, wait for what came of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lab.canary.commands import Command
from lab.canary.status import NAMESPACE, PLAN, STATUS, Status
from lab.core.canary import CanaryPlan
from lab.core.clock import SystemClock, rfc3339
from lab.engine.clients import wait_until
from lab.engine.lab import Lab
from lab.errors import DeadlineExceeded, LabError, UsageError

CANARY = "canary"
"""The Deployment. It is started with the first canary or rollback."""

HEARD_SECONDS = 15.0
ROLLED_BACK_SECONDS = 120.0
_EVERY = 0.2


def start(lab: Lab, plan: CanaryPlan) -> CanaryPlan:
    """Have a canary of this plan begun; the plan with the name of its run."""
    lab.ensure(CANARY)
    begun = replace(plan, run_id=f"{rfc3339(SystemClock().now())}-{secrets.token_hex(4)}")
    lab.kube.merge_config_map(NAMESPACE, PLAN, {"plan": json.dumps(begun.as_dict())})
    return begun


def status(lab: Lab) -> Status:
    """Where the canary stands. Raises LabError when its document cannot be read."""
    text = lab.kube.config_map(NAMESPACE, STATUS).get("status", "")
    if not text:
        return Status()
    try:
        return Status.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(
            f"the status of the canary cannot be read: {error!r}"[:300],
            hint=f"kubectl -n {lab.namespaces.real(NAMESPACE)} get configmap {STATUS} -o yaml shows it",
        ) from error


def command(lab: Lab, action: str, by: str, **more: Any) -> Status:
    """Have the canary do something; the status once it has heard.

    Raises UsageError when it refuses, DeadlineExceeded when it does not hear.
    """
    lab.ensure(CANARY)
    asked = Command(secrets.token_hex(8), action, by, **more)
    lab.kube.merge_config_map(NAMESPACE, PLAN, {"command": asked.as_json()})
    heard = _wait(lab, lambda found: found.handled == asked.id, HEARD_SECONDS, f"did not hear {action!r}")
    if heard.answer.startswith("refused: "):
        refusal, _, hint = heard.answer.removeprefix("refused: ").partition("; ")
        raise UsageError(refusal, hint=hint)
    return heard


def wait_rolled_back(lab: Lab) -> Status:
    """Wait until a rollback that has begun is over. Raises DeadlineExceeded."""

    def over(found: Status) -> bool:
        done = found.rollback is None or found.rollback.done
        return done and (found.phase.ended or found.phase.active)

    return _wait(lab, over, ROLLED_BACK_SECONDS, "did not finish the rollback")


def wait_begun(lab: Lab, plan: CanaryPlan) -> Status:
    """Wait until the canary has taken up a plan and set its first share. Raises DeadlineExceeded."""

    def begun(found: Status) -> bool:
        return found.plan.run_id == plan.run_id and found.applied

    return _wait(lab, begun, HEARD_SECONDS, "did not take up the plan")


def _wait(lab: Lab, condition: Callable[[Status], bool], seconds: float, what: str) -> Status:
    found = Status()

    def seen() -> bool:
        nonlocal found
        found = status(lab)
        return condition(found)

    if not wait_until(seen, seconds=seconds, every=_EVERY):
        raise DeadlineExceeded(
            f"the canary {what} within {seconds:.0f} s",
            hint=f"kubectl -n {lab.namespaces.real(NAMESPACE)} logs deploy/canary tells what it waits for",
        )
    return found
