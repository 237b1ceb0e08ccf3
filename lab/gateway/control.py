"""Mode and kill switch, read from the API server at every mutation. What cannot be read means stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lab.core.audit import Mode
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError

ReadObject = Callable[[str], Awaitable[KubeObject]]
_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class ControlState:
    """What the ConfigMap says. `stopped` holds for an engaged kill switch and for everything unreadable."""

    mode: Mode = Mode.SHADOW
    stopped: bool = False
    readable: bool = True
    by: str = ""
    reason: str = ""
    at: str = ""

    def why_stopped(self) -> str:
        """Who stopped mutations, when, why, and what to do about it."""
        if not self.readable:
            return (
                f"the kill switch cannot be read ({self.reason}), which counts as engaged; reads still work. "
                "Restore the ConfigMap lab-system/automation-control, or ask whoever runs the lab"
            )
        who = f" by {self.by}" if self.by else ""
        when = f" at {self.at}" if self.at else ""
        why = f": {self.reason}" if self.reason else ""
        return (
            f"the kill switch was engaged{who}{when}{why}. Reads still work. "
            "Stop acting and wait; `lab kill-switch off` releases it"
        )


def read_state(data: dict[str, str]) -> ControlState:
    """Understand the ConfigMap's data. An absent key has its default, a value nobody knows means stop."""
    mode, switch = data.get("mode", Mode.SHADOW.value), data.get("killSwitch", "off")
    if mode not in tuple(Mode) or switch not in ("on", "off"):
        return unreadable(f"mode is {mode[:40]!r} and killSwitch is {switch[:40]!r}")
    return ControlState(
        mode=Mode(mode),
        stopped=switch == "on",
        by=data.get("by", "")[:200],
        reason=data.get("reason", "")[:500],
        at=data.get("at", "")[:60],
    )


def unreadable(why: str) -> ControlState:
    """The state when nothing is known: shadow, and stopped."""
    return ControlState(mode=Mode.SHADOW, stopped=True, readable=False, reason=why)


class Control:
    """Reads the ConfigMap and remembers the last answer, for reads and for the metrics."""

    def __init__(self, read_object: ReadObject, namespace: str, name: str) -> None:
        self._read_object = read_object
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
        self.last = unreadable("it was not read yet")

    async def read(self) -> ControlState:
        """Ask the API server now. Never raises: what goes wrong is an unreadable state."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                data = (await self._read_object(self._path)).get("data") or {}
            self.last = read_state({str(key): str(value) for key, value in data.items()})
        except StatusError as error:
            self.last = unreadable(f"{error.code} {error.reason}")
        except (OSError, TimeoutError, ValueError, AttributeError) as error:
            self.last = unreadable(type(error).__name__)
        return self.last
