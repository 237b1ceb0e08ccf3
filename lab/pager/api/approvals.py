"""Approvals over HTTP."""

from __future__ import annotations

from typing import Any

from lab.core.approval import ApprovalStatus, Deed
from lab.pager.approvals import DECIDE_LAB_MINUTES, HOLD_LAB_MINUTES
from lab.pager.book import Book
from lab.pager.fields import MAX_NAME, Field, Kind, author
from lab.pager.operation import Answer, Call, Operation, Query
from lab.pager.schemas import listed, named, whole

_ONE = "/api/v1/approvals/{id}"
_PARTS = (
    Field("verb", "Of the Kubernetes API, such as delete.", limit=MAX_NAME),
    Field("group", "API group; empty for the core group.", required=False, limit=MAX_NAME),
    Field("resource", "Plural, such as deployments.", limit=MAX_NAME),
    Field("subresource", "Such as eviction.", required=False, limit=MAX_NAME),
    Field("namespace", "Empty for a cluster-wide object.", required=False, limit=MAX_NAME),
    Field("name", "Of the object; empty where the request has none.", required=False, limit=MAX_NAME),
)


class ApprovalsApi:
    """Ask, answer, spend."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def operations(self) -> list[Operation]:
        """The table."""
        approval = named("Approval")
        approver = author("by", "The approver's name: somebody else than the requester.")
        reason, note = Field("reason", "Why."), Field("note", "A remark.", required=False)
        restore = Field("restorePoint", "How the former state can be had again.", required=False)
        incident = Field("incident", "The incident it is about.", required=False, limit=64)
        within = Field(
            "decideWithinLabMinutes",
            f"How long it waits for a decision; {DECIDE_LAB_MINUTES:g} when left out.",
            Kind.NUMBER,
            required=False,
        )
        hold = Field(
            "forLabMinutes",
            f"How long it holds; {HOLD_LAB_MINUTES:g} when left out.",
            Kind.NUMBER,
            required=False,
        )
        status = Query("status", "Which ones; all when left out.", ("", *ApprovalStatus))
        return [
            Operation(
                "POST",
                "/api/v1/approvals",
                "requestApproval",
                "Ask for one risky request. A pending request that asks exactly this is answered with 200.",
                self.request,
                approval,
                fields=(author(), *_PARTS, reason, restore, incident, within),
                success=201,
                refusals=(404, 409),
            ),
            Operation(
                "GET",
                "/api/v1/approvals",
                "listApprovals",
                "Approvals, oldest first.",
                self.list,
                whole(approvals=listed(approval)),
                query=(status,),
            ),
            Operation("GET", _ONE, "getApproval", "One approval.", self.get, approval, refusals=(404,)),
            Operation(
                "POST",
                f"{_ONE}/approve",
                "approve",
                "Say yes.",
                self.approve,
                approval,
                fields=(approver, note, hold),
                refusals=(404, 409),
                is_admin=True,
            ),
            Operation(
                "POST",
                f"{_ONE}/refuse",
                "refuse",
                "Say no.",
                self.refuse,
                approval,
                fields=(approver, reason),
                refusals=(404, 409),
                is_admin=True,
            ),
            Operation(
                "POST",
                f"{_ONE}/use",
                "useApproval",
                "Spend an approval. It is good once.",
                self.use,
                approval,
                fields=(author(),),
                refusals=(404, 409),
                is_admin=True,
            ),
        ]

    def request(self, call: Call) -> Any:
        """Ask."""
        values = call.values
        deed = Deed(*(values[part.name] for part in _PARTS))
        asked = (call.by, deed, values["reason"], values["restorePoint"], values["incident"])
        same = self._book.approvals.find_same(*asked)
        if same is not None:
            return Answer(same.as_dict(), 200)
        return self._book.approvals.request(*asked, values["decideWithinLabMinutes"]).as_dict()

    def list(self, call: Call) -> Any:
        """Approvals of a status."""
        wanted = ApprovalStatus(call.query["status"]) if call.query["status"] else None
        return {"approvals": [approval.as_dict() for approval in self._book.approvals.all(wanted)]}

    def get(self, call: Call) -> Any:
        """One approval."""
        return self._book.approvals.get(call.id).as_dict()

    def approve(self, call: Call) -> Any:
        """Say yes."""
        values = call.values
        approvals = self._book.approvals
        return approvals.approve(call.id, call.by, values["note"], values["forLabMinutes"]).as_dict()

    def refuse(self, call: Call) -> Any:
        """Say no."""
        return self._book.approvals.refuse(call.id, call.by, call.values["reason"]).as_dict()

    def use(self, call: Call) -> Any:
        """Spend it."""
        return self._book.approvals.use(call.id, call.by).as_dict()
