"""The ConfigMaps of lab-system that the canary reads and writes.

canary-plan         data `plan` (JSON) and `command` (JSON), written by people; only read here
canary-status       data `status` (JSON), written only here
automation-control  mode and share of the automation, written here and by people
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.canary.services import BY
from lab.canary.status import CONTROL, NAMESPACE, PLAN, STATUS, Reach, Status
from lab.core.audit import Mode
from lab.core.canary import percent_text
from lab.core.clock import rfc3339
from lab.errors import LabError
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError

DEFAULT_PERCENT = 10.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What people asked for, as they wrote it: the texts of plan and command."""

    plan: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class ControlNow:
    """The control ConfigMap. reach None: nobody can understand it. version: to write onto just this state."""

    reach: Reach | None
    stopped: bool
    version: str


class CanaryObjects:
    """Reads and writes. Every method raises ConnectionError, TimeoutError or StatusError."""

    def __init__(self, kube: KubeClient, namespace: str = NAMESPACE) -> None:
        self._kube = kube
        self._namespace = namespace
        self._status_version = ""

    async def asked(self) -> Asked:
        """Plan and command."""
        data = await self._data(PLAN)
        return Asked(data.get("plan", ""), data.get("command", ""))

    async def load(self) -> Status:
        """The stored status, or a new one. Raises LabError on a foreign document."""
        found = await self._kube.get("configmaps", STATUS, self._namespace)
        self._status_version = str(found["metadata"]["resourceVersion"])
        text = (found.get("data") or {}).get("status", "")
        if not text:
            return Status()
        try:
            return Status.from_dict(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, LabError) as error:
            raise LabError(
                f"the status of the canary cannot be read: {error!r}"[:300],
                hint=f"empty the data of ConfigMap {self._namespace}/{STATUS} to begin anew",
            ) from error

    async def save(self, status: Status) -> None:
        """Store the status. Raises StatusError 409 when somebody else did since it was loaded."""
        body = {
            "metadata": {"resourceVersion": self._status_version},
            "data": {"status": json.dumps(status.as_dict(), separators=(",", ":"))},
        }
        stored = await self._kube.patch("configmaps", STATUS, body, self._namespace)
        self._status_version = str(stored["metadata"]["resourceVersion"])

    async def control(self) -> ControlNow:
        """How far the automation may go now."""
        found = await self._kube.get("configmaps", CONTROL, self._namespace)
        data = _texts(found)
        return ControlNow(
            _reach(data), data.get("killSwitch", "off") != "off", str(found["metadata"]["resourceVersion"])
        )

    async def set_control(self, now: ControlNow, reach: Reach, reason: str, at: datetime) -> None:
        """Set mode and share, onto just the state that was read. Raises StatusError 409 when it moved on."""
        said = {"by": BY, "reason": reason[:500], "at": rfc3339(at)}
        data = {"mode": reach.mode.value, "canaryPercent": percent_text(reach.percent)} | said
        if now.reach is None or now.reach.mode is not reach.mode:
            data["modeSince"] = rfc3339(at)
        body = {"metadata": {"resourceVersion": now.version}, "data": data}
        await self._kube.patch("configmaps", CONTROL, body, self._namespace)

    async def _data(self, name: str) -> dict[str, str]:
        try:
            return _texts(await self._kube.get("configmaps", name, self._namespace))
        except StatusError as error:
            if error.code == 404:
                return {}
            raise


def _texts(obj: KubeObject) -> dict[str, str]:
    data: Mapping[str, Any] = obj.get("data") or {}
    return {str(key): str(value) for key, value in data.items()}


def _reach(data: Mapping[str, str]) -> Reach | None:
    try:
        percent = float(data.get("canaryPercent") or DEFAULT_PERCENT)
        return Reach(Mode(data.get("mode") or Mode.SHADOW.value), percent)
    except ValueError:
        return None
