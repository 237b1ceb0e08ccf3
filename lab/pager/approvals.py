"""Approvals: a program asks, a named human answers, and the answer is good once and not for long."""

from __future__ import annotations

from dataclasses import replace

from lab.core.approval import Approval, ApprovalStatus, Deed
from lab.errors import UsageError
from lab.pager.journal import Record
from lab.pager.people import plain_name, same_person
from lab.pager.state import record_of
from lab.pager.store import PAGER, NotFound, Store, WrongState

DECIDE_LAB_MINUTES = 15.0
HOLD_LAB_MINUTES = 10.0
MOST_LAB_MINUTES = 24 * 60.0
"""The longest that a request may wait or an approval hold."""
MAX_PENDING = 100


class Approvals:
    """All operations on approvals."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, status: ApprovalStatus | None = None) -> list[Approval]:
        """Those of a status, oldest first. Raises JournalError."""
        self.tick()
        found = self._store.state.approvals.values()
        return [approval for approval in found if status in (None, approval.status)]

    def get(self, identity: str) -> Approval:
        """One approval as it is now. Raises NotFound, JournalError."""
        self.tick()
        found = self._store.state.approvals.get(identity)
        if found is None:
            raise NotFound(f"there is no approval {identity[:80]!r}", hint="lab approvals lists them")
        return found

    def find_same(
        self, by: str, deed: Deed, reason: str, restore_point: str, incident: str
    ) -> Approval | None:
        """The pending request that asks exactly this already. Raises JournalError."""
        wanted = (by, deed, reason, restore_point, incident)
        for found in self.all(ApprovalStatus.PENDING):
            if (found.requested_by, found.deed, found.reason, found.restore_point, found.incident) == wanted:
                return found
        return None

    def request(
        self,
        by: str,
        deed: Deed,
        reason: str,
        restore_point: str,
        incident: str = "",
        within_lab_minutes: float | None = None,
    ) -> Approval:
        """Ask. within_lab_minutes: until when it can be decided. Raises NotFound (the incident), UsageError,
        WrongState (too many wait), JournalError."""
        within = _bounded("decideWithinLabMinutes", within_lab_minutes, DECIDE_LAB_MINUTES)
        if incident:
            self._store.incident(incident)
        if len(self.all(ApprovalStatus.PENDING)) >= MAX_PENDING:
            raise WrongState(f"{MAX_PENDING} approvals wait for a decision; no more are taken")
        now = self._store.clock.now()
        approval = Approval(
            id=self._store.new_id("apr", by, str(deed), reason, str(len(self._store.state.approvals))),
            status=ApprovalStatus.PENDING,
            requested_by=by,
            requested_at=now,
            deed=deed,
            reason=reason,
            restore_point=restore_point,
            expires_at=now + self._store.span(within),
            incident=incident,
        )
        self._put(approval, by, f"asks to {deed}: {reason}", "requested")
        return approval

    def approve(
        self, identity: str, by: str, note: str = "", for_lab_minutes: float | None = None
    ) -> Approval:
        """Say yes. Raises NotFound; UsageError; WrongState unless it is pending and `by` did not ask for it;
        JournalError."""
        hold = _bounded("forLabMinutes", for_lab_minutes, HOLD_LAB_MINUTES)
        approval = self._decidable(identity, by)
        now = self._store.clock.now()
        approved = replace(
            approval,
            status=ApprovalStatus.APPROVED,
            decided_by=by,
            decided_at=now,
            note=note,
            expires_at=now + self._store.span(hold),
        )
        said = f": {note}" if note else ""
        self._put(approved, by, f"approves for {hold:g} lab minutes: {approval.deed}{said}", "approved")
        return approved

    def refuse(self, identity: str, by: str, reason: str) -> Approval:
        """Say no. Raises as `approve`."""
        approval = self._decidable(identity, by)
        now = self._store.clock.now()
        refused = replace(approval, status=ApprovalStatus.REFUSED, decided_by=by, decided_at=now, note=reason)
        self._put(refused, by, f"refuses {approval.deed}: {reason}", "refused")
        return refused

    def use(self, identity: str, by: str) -> Approval:
        """Spend an approval; it is good once. Raises NotFound, WrongState, JournalError."""
        approval = self.get(identity)
        if approval.status is not ApprovalStatus.APPROVED:
            raise WrongState(
                f"approval {identity} is {approval.status}, and only an approved one can be used"
            )
        used = replace(approval, status=ApprovalStatus.USED, used_at=self._store.clock.now())
        self._put(used, by, f"used for {approval.deed}", "used")
        return used

    def tick(self) -> None:
        """Expire what was not decided or not used in time. Raises JournalError."""
        now = self._store.clock.now()
        for approval in list(self._store.state.approvals.values()):
            is_alive = approval.status in (ApprovalStatus.PENDING, ApprovalStatus.APPROVED)
            if is_alive and approval.expires_at <= now:
                missed = "decided" if approval.status is ApprovalStatus.PENDING else "used"
                expired = replace(approval, status=ApprovalStatus.EXPIRED)
                text = f"expired, not {missed} in time: {approval.deed}"
                self._put(expired, PAGER, text, "expired", is_answer=False)

    def _decidable(self, identity: str, by: str) -> Approval:
        approval = self.get(identity)
        if not plain_name(by):
            raise UsageError("an approver needs a name")
        if same_person(by, approval.requested_by):
            raise WrongState(
                f"{by} asked for {identity}; somebody else has to decide", hint="name the approver with by"
            )
        if approval.status is not ApprovalStatus.PENDING:
            who = f" by {approval.decided_by}" if approval.decided_by else ""
            raise WrongState(f"approval {identity} is {approval.status}{who} already")
        return approval

    def _put(self, approval: Approval, by: str, text: str, result: str, *, is_answer: bool = True) -> None:
        data = {"approval": approval.id, "status": approval.status.value}
        text = f"{approval.id} {text}"
        line: Record = self._store.history("approval", by, text, data, incident=approval.incident)
        answer = approval.as_dict() if is_answer else None
        self._store.commit([record_of("approval", approval), line], answer)
        self._store.meters.approvals.labels(result).inc()


def _bounded(name: str, given: float | None, default: float) -> float:
    minutes = default if given is None else given
    if not 0 < minutes <= MOST_LAB_MINUTES:
        raise UsageError(f"{name} must be above 0 and at most {MOST_LAB_MINUTES:g}, not {minutes:g}")
    return minutes
