"""The human's tools: the pager, Prometheus, kubectl's API, and the telephone to the developers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from lab.core.approval import Approval
from lab.core.clock import rfc3339
from lab.core.escalation import Escalation
from lab.core.incident import Action, Incident
from lab.jsonhttp import HttpJson
from lab.kube.client import KubeClient
from lab.kube.status import StatusError
from lab.pager.people import ONCALL

HUMAN = ONCALL
DEVELOPERS = "human:developers"
SHOP = "shop"


@dataclass(frozen=True, slots=True)
class DutyCall:
    """Who is on call first, and whether anything but incidents waits for an answer."""

    primary: str
    requests: int


class Pager(Protocol):
    """What the human uses of the pager. Every method raises ConnectionError when it does not answer."""

    async def incidents(self, status: str = "open") -> list[Incident]: ...
    async def incident(self, identity: str) -> Incident: ...
    async def acknowledge(self, identity: str) -> None: ...
    async def add_action(self, identity: str, action: Action) -> None: ...
    async def add_note(self, identity: str, text: str) -> None: ...
    async def escalate(self, identity: str, summary: str, evidence: Any) -> str: ...
    async def post_status(self, text: str, identity: str) -> None: ...
    async def has_webhooks(self) -> bool: ...
    async def duty(self) -> DutyCall: ...
    async def approvals(self) -> list[Approval]: ...
    async def approve(self, identity: str, note: str) -> None: ...
    async def refuse(self, identity: str, reason: str) -> None: ...
    async def escalations(self) -> list[Escalation]: ...
    async def acknowledge_escalation(self, identity: str, by: str) -> None: ...


class Cluster(Protocol):
    """What the human does to the cluster, with rights of its own."""

    async def delete_pod(self, name: str) -> bool:
        """Delete a pod of the shop; False when it is gone already. Raises ConnectionError, StatusError."""

    async def control(self) -> Mapping[str, str] | None:
        """Mode and kill switch; None when they cannot be read."""


class Developers(Protocol):
    """The people who own the worker's code."""

    async def fix_hung_workers(self) -> int:
        """Deploy a fix; how many causes it took away. Raises ConnectionError."""


class HttpPager(HttpJson):
    """The pager over its API."""

    async def incidents(self, status: str = "open") -> list[Incident]:
        answer = await self.call("GET", "/api/v1/incidents", query={"status": status})
        return [Incident.from_dict(item) for item in answer["incidents"]]

    async def incident(self, identity: str) -> Incident:
        return Incident.from_dict(await self.call("GET", _path(identity)))

    async def acknowledge(self, identity: str) -> None:
        await self.call("POST", _path(identity, "acknowledge"), {"by": HUMAN})

    async def add_action(self, identity: str, action: Action) -> None:
        await self.call("POST", _path(identity, "actions"), action.as_dict())

    async def add_note(self, identity: str, text: str) -> None:
        await self.call("POST", _path(identity, "notes"), {"by": HUMAN, "text": text})

    async def escalate(self, identity: str, summary: str, evidence: Any) -> str:
        body = {"by": HUMAN, "summary": summary, "evidence": evidence}
        return str((await self.call("POST", _path(identity, "escalations"), body))["id"])

    async def post_status(self, text: str, identity: str) -> None:
        await self.call("POST", "/api/v1/status", {"by": HUMAN, "text": text, "incident": identity})

    async def has_webhooks(self) -> bool:
        return bool((await self.call("GET", "/api/v1/webhooks"))["webhooks"])

    async def duty(self) -> DutyCall:
        answer = await self.call("GET", "/api/v1/oncall")
        return DutyCall(answer["primary"], answer["pendingApprovals"] + answer["openEscalations"])

    async def approvals(self) -> list[Approval]:
        answer = await self.call("GET", "/api/v1/approvals")
        return [Approval.from_dict(item) for item in answer["approvals"]]

    async def approve(self, identity: str, note: str) -> None:
        body = {"by": HUMAN, "note": note}
        await self.call("POST", f"/api/v1/approvals/{quote(identity, safe='')}/approve", body)

    async def refuse(self, identity: str, reason: str) -> None:
        body = {"by": HUMAN, "reason": reason}
        await self.call("POST", f"/api/v1/approvals/{quote(identity, safe='')}/refuse", body)

    async def escalations(self) -> list[Escalation]:
        answer = await self.call("GET", "/api/v1/escalations")
        return [Escalation.from_dict(item) for item in answer["escalations"]]

    async def acknowledge_escalation(self, identity: str, by: str) -> None:
        path = f"/api/v1/escalations/{quote(identity, safe='')}/acknowledge"
        await self.call("POST", path, {"by": by})


class HttpPrometheus(HttpJson):
    """Prometheus' query API."""

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query. Raises ConnectionError."""
        answer = await self.call("GET", "/api/v1/query", query={"query": expression})
        result = answer["data"]["result"]
        return [(dict(series["metric"]), float(series["value"][1])) for series in result]


class KubeCluster:
    """The cluster over the Kubernetes API, not through the gateway: a person has a kubeconfig."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def delete_pod(self, name: str) -> bool:
        """Delete a pod of the shop; False when it is gone already. Raises ConnectionError, StatusError."""
        try:
            await self._kube.delete("pods", name, SHOP)
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def control(self) -> Mapping[str, str] | None:
        """Mode and kill switch; None when they cannot be read."""
        try:
            found = await self._kube.get("configmaps", "automation-control", "lab-system")
        except (StatusError, ConnectionError, TimeoutError):
            return None
        data = found.get("data")
        return dict(data) if isinstance(data, dict) else None


class FaultsDevelopers(HttpJson):
    """Developers whose fix is to take the injected cause away: `DELETE /api/v1/faults?name=hung-workers`.

    A real developer would find the deadlock and ship a release; in the lab the deadlock is a fault, and this
    is the only place where anybody but the user ends one. It is used for a partition that a restart does not
    cure, and for nothing else.
    """

    async def fix_hung_workers(self) -> int:
        """Deploy the fix; how many causes it took away. Raises ConnectionError."""
        answer = await self.call("DELETE", "/api/v1/faults", query={"name": "hung-workers"})
        entries = answer.get("entries") if isinstance(answer, dict) else answer
        return len(entries or ())


def _path(identity: str, rest: str = "") -> str:
    path = f"/api/v1/incidents/{quote(identity, safe='')}"
    return f"{path}/{rest}" if rest else path


def human_action(
    action: str, started: datetime, ended: datetime, *, pod: str = "", reason: str = "", outcome: str = ""
) -> Action:
    """An action of the human, in the core's words."""
    target: dict[str, Any] = {"kind": "Pod", "namespace": SHOP, "name": pod} if pod else {}
    return Action.from_dict(
        {
            "by": HUMAN,
            "action": action,
            "target": target,
            "reason": reason,
            "startedAt": rfc3339(started),
            "endedAt": rfc3339(ended),
            "outcome": outcome,
        }
    )
