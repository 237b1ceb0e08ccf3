"""What stands between a decision to act and the API server: risk class, budgets, approval, in that order.

    risk class ──► irreversible: dry run? restore point? approval? ──► budgets ──► use the approval

Only what acts for real is held up. What shadow records is classified and counted as if it had acted.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

from lab.core.approval import Approval
from lab.core.audit import Decision
from lab.core.clock import Clock
from lab.gateway.approvals import Approvals, PagerAwayError, deed_of
from lab.gateway.disruption import Disruption, Workload, disruptions
from lab.gateway.exchange import Exchange
from lab.gateway.ledger import Breach, Ledger, Place, key_of
from lab.gateway.membership import target_name
from lab.gateway.rehearsals import Rehearsals
from lab.gateway.risk import Risk, classify, image_restores
from lab.gateway.sizes import Sizes
from lab.kube.objects import KubeObject
from lab.kube.request import RequestInfo
from lab.kube.status import StatusError, forbidden, too_many_requests

CAUSE = "AutomationBudget"
"""The cause in a refusal by a budget. A disruption budget says DisruptionBudget, throttling has no cause."""


class Safeguards:
    """Holds up what is not covered, and keeps the books of what is."""

    def __init__(
        self, ledger: Ledger, rehearsals: Rehearsals, approvals: Approvals, sizes: Sizes, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._rehearsals = rehearsals
        self._approvals = approvals
        self._sizes = sizes
        self._clock = clock

    def classify(self, exchange: Exchange) -> Risk:
        """Put the risk class into the record."""
        risk = classify(_info(exchange), exchange.control.risk)
        exchange.risk = risk.value
        return risk

    async def clear(
        self, exchange: Exchange, before: KubeObject | None, diff: tuple[dict[str, Any], ...] = ()
    ) -> Place:
        """Let an action through and count it. Its place is given back when it turns out not to have happened.

        Raises StatusError: 403 for a missing safeguard or a kind or namespace that is not allowed, 429 when a
        budget is spent.
        """
        info = _info(exchange)
        approval = None
        if self.classify(exchange) is Risk.IRREVERSIBLE and exchange.control.risk.enforce:
            approval = await self._cover(exchange, info)
        taken = disruptions(info, before, diff)
        known = await self._known_sizes(exchange, taken)
        self._hold_up(exchange, info, taken, known)
        place = self._ledger.take(key_of(info), taken, acts=True)  # nothing was awaited since the check
        if approval is not None:
            try:
                await self._use(exchange, info, approval)
            except BaseException:
                place.give_back()
                raise
        return place

    async def report(self, exchange: Exchange, before: KubeObject | None) -> None:
        """Count what shadow recorded as if it had acted, when it had been let act."""
        info = _info(exchange)
        taken = disruptions(info, before, exchange.diff)
        known = await self._known_sizes(exchange, taken)
        breach = self._breach(exchange, info, taken, known, acts=False)
        if breach is None or not exchange.control.budgets.enforce:
            self._ledger.take(key_of(info), taken, acts=False)

    def settle(self, exchange: Exchange, place: Place, before: KubeObject | None) -> None:
        """An action happened: count the pods that only its outcome tells of."""
        place.took(disruptions(_info(exchange), before, exchange.diff))

    def _hold_up(
        self,
        exchange: Exchange,
        info: RequestInfo,
        taken: tuple[Disruption, ...],
        known: dict[Workload, int | None],
    ) -> None:
        breach = self._breach(exchange, info, taken, known, acts=True)
        if breach is None or not exchange.control.budgets.enforce:
            return
        exchange.decision = Decision.REFUSED
        exchange.reason = f"over budget: {breach}"
        causes = [{"reason": CAUSE, "message": text, "field": name} for name, text in breach.texts.items()]
        if exchange.control.budgets.out_of_bounds(_target(exchange)):
            raise _with_causes(_refusal(info, f"outside of the automation's budgets: {breach}"), causes)
        retry = max(math.ceil(breach.retry_after), 1) if breach.retry_after is not None else 0
        message = f"The automation's budget does not allow this now: {breach}"
        raise too_many_requests(message, causes=causes, retry_after=retry)

    def _breach(
        self,
        exchange: Exchange,
        info: RequestInfo,
        taken: tuple[Disruption, ...],
        known: dict[Workload, int | None],
        *,
        acts: bool,
    ) -> Breach | None:
        budgets = exchange.control.budgets
        outside = budgets.out_of_bounds(_target(exchange))
        if outside:
            breach: Breach | None = Breach({outside.partition(":")[0]: outside})
        else:
            breach = self._ledger.check(budgets, key_of(info), taken, known, acts=acts)
        exchange.budget = str(breach or "")
        return breach

    async def _known_sizes(
        self, exchange: Exchange, taken: tuple[Disruption, ...]
    ) -> dict[Workload, int | None]:
        if exchange.control.budgets.share is None:
            return {}
        workloads = list(dict.fromkeys(disruption.workload for disruption in taken))
        found = await asyncio.gather(*(self._sizes.of(workload) for workload in workloads))
        return dict(zip(workloads, found, strict=True))

    async def _cover(self, exchange: Exchange, info: RequestInfo) -> Approval:
        """The approval, when dry run and restore point are there too; says exactly what is missing."""
        causes: list[dict[str, str]] = []
        if not self._rehearsals.had(exchange.actor, info):
            causes.append({"reason": "DryRunMissing", "message": _dry_run_advice(info)})
        approval = None
        restorable = image_restores(info, exchange.before)
        try:
            approval = await self._approvals.find(exchange.actor, info, self._clock.now())
        except PagerAwayError as error:
            message = (
                f"the pager cannot be asked for an approval ({error}), which counts as none; try again later"
            )
            causes.append({"reason": "ApprovalMissing", "message": message})
        else:
            if approval is None:
                causes.append(
                    {"reason": "ApprovalMissing", "message": _approval_advice(exchange.actor, info)}
                )
        if not restorable and not (approval is not None and approval.restore_point.strip()):
            message = "a restore point: name it as restorePoint in the request for the approval"
            causes.append({"reason": "RestorePointMissing", "message": message})
        if approval is not None and not causes:
            return approval
        exchange.decision = Decision.REFUSED
        missing = "; ".join(cause["message"] for cause in causes)
        exchange.reason = f"irreversible, and lacks {missing}"
        raise _with_causes(_refusal(info, f"it is irreversible, and lacks {missing}"), causes)

    async def _use(self, exchange: Exchange, info: RequestInfo, approval: Approval) -> None:
        try:
            used = await self._approvals.use(approval)
            why = f"the approval {approval.id} was used or expired meanwhile; ask for another"
        except PagerAwayError as error:
            used, why = False, f"the pager did not confirm the use of approval {approval.id} ({error})"
        if not used:
            exchange.decision = Decision.REFUSED
            exchange.reason = why
            raise _with_causes(_refusal(info, why), [{"reason": "ApprovalMissing", "message": why}])
        exchange.approval = approval.id


def _target(exchange: Exchange) -> Any:
    assert exchange.target is not None
    return exchange.target


def _info(exchange: Exchange) -> RequestInfo:
    """What the request is about, with the name that its body gives a new object."""
    target = _target(exchange)
    info: RequestInfo = target.info
    if info.name or info.verb != "create":
        return info
    content_type = exchange.request.headers.get("Content-Type", "")
    return replace(info, name=target_name(target, exchange.body, content_type))


def _refusal(info: RequestInfo, why: str) -> StatusError:
    return forbidden(info.resource, info.group, info.name, why)


def _with_causes(error: StatusError, causes: list[dict[str, str]]) -> StatusError:
    error.details = (error.details or {}) | {"causes": causes}
    return error


def _dry_run_advice(info: RequestInfo) -> str:
    if info.is_connect:
        return (
            f"a dry run, which {info.subresource} does not have: leave it to a human, or have it classed "
            "otherwise in the rules of `risk`"
        )
    return "a dry run of the same request by the same actor within 30 lab minutes: send it with dryRun=All"


def _approval_advice(actor: str, info: RequestInfo) -> str:
    deed = deed_of(info)
    return (
        f"an approval: POST /api/v1/approvals to the pager with by {actor!r}, verb {deed.verb!r}, "
        f"group {deed.group!r}, resource {deed.resource!r}, subresource {deed.subresource!r}, "
        f"namespace {deed.namespace!r}, name {deed.name!r}, a reason and a restorePoint, and wait until "
        "somebody approves it"
    )
