"""A guarded operation on its way, in the terms of the gateway's chain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import aiohttp
from multidict import CIMultiDict

from lab.core.clock import rfc3339
from lab.gateway.image import Operation
from lab.gateway.target import Target
from lab.kube.objects import KubeObject
from lab.kube.request import RequestInfo

GROUP = "database"
RESOURCE = "backends"
VERBS = {"terminate": "delete", "cancel": "update"}
_METHODS = {"terminate": "DELETE", "cancel": "PUT"}
_CUT = "a session cannot be written back"


@dataclass(frozen=True, slots=True)
class Session:
    """A row of ops.activity. identity: `application name/user`, which stays when the client connects again
    and has another pid; it is what the canary, cooldowns and approvals go by."""

    pid: int
    database: str
    user: str
    application: str
    kind: str
    started: datetime | None
    columns: dict[str, Any]
    blocks: tuple[int, ...]

    @property
    def identity(self) -> str:
        """`application name/user`; the kind of process when it is no client's."""
        if self.kind != "client backend":
            return self.kind
        return f"{self.application or 'unnamed'}/{self.user}"


@dataclass(frozen=True, slots=True)
class Call:
    """A row of ops.requests, taken. verb: terminate or cancel. started: when the session began that had the
    pid as it was asked for, None when there was none. refusal: why it is too late to do anything, else empty.

    It stands for the HTTP request in an Exchange, and has what the stages read of one.
    """

    id: UUID
    verb: str
    pid: int
    started: datetime | None
    reason: str
    incident: str
    dry_run: bool
    client: str
    asked_at: datetime
    refusal: str = ""

    transport = None

    @property
    def method(self) -> str:
        """As HTTP would have it."""
        return _METHODS[self.verb]

    @property
    def raw_path(self) -> str:
        """What it is about, when nothing better is known."""
        return f"/{GROUP}/{RESOURCE}/{self.pid}"

    @property
    def agent(self) -> str:
        """The record's user agent. It begins with the mark by which a record is found again."""
        return f"{mark_of(self.id)} {self.client}"

    @property
    def headers(self) -> CIMultiDict[str]:
        """Incident, reason, and agent."""
        given = {"X-Lab-Incident": self.incident, "X-Lab-Reason": self.reason, "User-Agent": self.agent}
        return CIMultiDict(given)

    @property
    def content(self) -> aiohttp.StreamReader:
        """It has no body."""
        return aiohttp.EMPTY_PAYLOAD

    def target(self, database: str, name: str) -> Target:
        """What the chain decides about."""
        info = RequestInfo(
            path=self.raw_path,
            verb=VERBS[self.verb],
            is_resource=True,
            group=GROUP,
            resource=RESOURCE,
            namespace=database,
            name=name,
        )
        return Target(self.method, self.raw_path, (), info)

    def diff(self) -> tuple[Operation, ...]:
        """The session goes, or its statement does."""
        if self.verb == "terminate":
            return ({"op": "remove", "path": f"/{self.pid}"},)
        return ({"op": "remove", "path": f"/{self.pid}/query"},)


def mark_of(identity: UUID) -> str:
    """The word that begins the user agent of a request's record."""
    return f"ops/{identity}"


def image_of(session: Session) -> KubeObject:
    """The session as it goes into the record."""
    started = rfc3339(session.started) if session.started else ""
    return {
        "kind": "Backend",
        "metadata": {
            "namespace": session.database,
            "name": session.identity,
            "uid": f"{session.pid}@{started}",
        },
        **{
            name: rfc3339(value) if isinstance(value, datetime) else value
            for name, value in session.columns.items()
        },
        "blocks": list(session.blocks),
        "cut": _CUT,
    }
