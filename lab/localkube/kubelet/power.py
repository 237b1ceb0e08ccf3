"""A virtual node's power: off while its Node object says so, as if somebody had pulled the plug."""

from __future__ import annotations

import asyncio

from lab.kube.objects import KubeObject

POWER = "localkube/power"
"""The annotation of a Node; the value `off` takes its power away, anything else gives it back."""


class PowerSwitch:
    """Whether a node has power, and the wait until that changes. It has at first."""

    def __init__(self) -> None:
        self._is = {True: asyncio.Event(), False: asyncio.Event()}
        self._is[True].set()

    @property
    def on(self) -> bool:
        """Whether there is power now."""
        return self._is[True].is_set()

    def follow(self, node: KubeObject | None) -> None:
        """Be as the Node object says; on when there is none."""
        annotations = (node or {"metadata": {}})["metadata"].get("annotations") or {}
        on = annotations.get(POWER) != "off"
        self._is[on].set()
        self._is[not on].clear()

    async def turned(self, on: bool) -> None:
        """Wait until the power is on, or off."""
        await self._is[on].wait()
