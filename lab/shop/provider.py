"""How well the payments provider is: late, refusing, silent, or on its way back from an outage."""

from __future__ import annotations

import random
from collections.abc import Callable

from lab.core.clock import Clock
from lab.shop.condition import Directive

_OUT_OF_ORDER = 503
_LOOK_SECONDS = 0.1


class Provider:
    """Asked before each authorization. `directives` gives what bites now."""

    def __init__(self, directives: Callable[[], tuple[Directive, ...]], clock: Clock) -> None:
        self._directives = directives
        self._clock = clock
        self._chances: dict[str, random.Random] = {}

    async def meet(self) -> int:
        """Suffer what bites: wait, and give the status of the refusal, or 0 when the request is served."""
        for directive in self._directives():
            if directive.mode == "outage":
                if self._chance(directive).random() >= self._capacity(directive):
                    return _OUT_OF_ORDER
                continue
            if self._chance(directive).random() >= float(directive.parameters.get("share", 1.0)):
                continue
            if directive.mode == "latency":
                await self._clock.sleep(float(directive.parameters["delaySeconds"]))
            elif directive.mode == "errors":
                return int(directive.parameters["status"])
            elif directive.mode == "silence":
                await self._silence(directive.id)
        return 0

    async def _silence(self, identity: str) -> None:
        while any(directive.id == identity for directive in self._directives()):
            await self._clock.sleep(_LOOK_SECONDS)

    def _capacity(self, directive: Directive) -> float:
        """The part of the requests that it can take: nothing during the outage, then more and more."""
        given = directive.parameters
        age = self._clock.now().timestamp() - float(given["since"])
        climbing = age - float(given["outageSeconds"])
        return min(1.0, max(0.0, climbing / max(0.001, float(given["recoverySeconds"]))))

    def _chance(self, directive: Directive) -> random.Random:
        if directive.id not in self._chances:
            self._chances[directive.id] = random.Random(int(directive.parameters.get("seed", 0)))
        return self._chances[directive.id]
