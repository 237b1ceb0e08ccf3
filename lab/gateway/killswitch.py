"""Writing the kill switch, for a button: the gateway changes the same ConfigMap that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.core.clock import Clock, rfc3339
from lab.gateway.control import Control, ControlState
from lab.gateway.upstream import Upstream
from lab.kube.status import bad_request


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """Engages and releases the kill switch by writing the control ConfigMap."""

    upstream: Upstream
    control: Control
    path: str
    clock: Clock

    async def set(self, wanted: Any) -> ControlState:
        """Write `{on, by, reason}` and read it back; the new state.

        Raises StatusError: 400 for a body that is not that, else what the API server said to the write. Then
        nothing has changed.
        """
        if not isinstance(wanted, dict) or not isinstance(wanted.get("on"), bool):
            raise bad_request('the body must be {"on": true or false, "by": "...", "reason": "..."}')
        by, reason = wanted.get("by"), wanted.get("reason", "")
        if not isinstance(by, str) or not by.strip() or not isinstance(reason, str):
            raise bad_request("by must say who does it, reason why")
        data = {
            "killSwitch": "on" if wanted["on"] else "off",
            "by": by.strip()[:200],
            "reason": reason[:500],
            "at": rfc3339(self.clock.now()),
        }
        await self.upstream.merge(self.path, {"data": data})
        return await self.control.read()
