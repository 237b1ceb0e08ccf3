"""What the page shows, gathered from the parts of the lab. A part that does not answer is named as away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from lab.core.clock import Clock, rfc3339
from lab.kube.client import KubeClient
from lab.kube.status import StatusError

Json = dict[str, Any]
CONTROL = ("lab-system", "automation-control")
QUERIES: Mapping[str, str] = {
    "exportedSuccessRate": "toil_auto_success_rate",
    "errorBudgetBurn": "max(slo:current_burn_rate:ratio)",
    "ordersPerSecond": "sum(rate(shop_orders_total[10s]))",
    "oldestOrderSeconds": "max(shop_queue_oldest_order_age_seconds)",
}
"""Figure on the page to PromQL that gives one sample."""

KEPT_REQUESTS = 60
KEPT_RESOLVED = 10
_PAGE = 1000
_RECORD_KEYS = (
    "seq", "time", "actor", "mode", "verb", "resource", "subresource", "namespace", "name", "decision",
    "code", "reason", "fault", "incident", "note", "canary", "risk", "dry_run",
)  # fmt: skip


class Service(Protocol):
    """One HTTP service. Raises ConnectionError."""

    async def call(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Any: ...


class Sources:
    """Asks every part, each on its own: one that is away hides no other."""

    def __init__(
        self,
        *,
        pager: Service,
        gateway: Service,
        faults: Service,
        prometheus: Service,
        kube: KubeClient,
        clock: Clock,
    ) -> None:
        self._pager = pager
        self._gateway = gateway
        self._faults = faults
        self._prometheus = prometheus
        self._kube = kube
        self._clock = clock
        self._seq = 0
        self._requests: deque[Json] = deque(maxlen=KEPT_REQUESTS)
        self._counts: dict[str, int] = {}

    async def gather(self) -> Json:
        """The state now. Never raises for a part that is away: `away` maps its name to the reason."""
        parts: dict[str, Callable[[], Awaitable[Any]]] = {
            "control": self.control,
            "incidents": self._incidents,
            "posts": self._posts,
            "requests": self._audit,
            "faults": self._active_faults,
            "figures": self._figures,
        }
        answers = await asyncio.gather(*(ask() for ask in parts.values()), return_exceptions=True)
        state: Json = {"at": rfc3339(self._clock.now()), "away": {}}
        for name, answer in zip(parts, answers, strict=True):
            if isinstance(answer, (ConnectionError, TimeoutError, StatusError, OSError)):
                state[name] = None
                state["away"][name] = str(answer)[:200] or type(answer).__name__
            elif isinstance(answer, BaseException):
                raise answer
            else:
                state[name] = answer
        return state

    async def control(self) -> Json:
        """Mode and kill switch, as everybody reads them."""
        found = await self._kube.get("configmaps", CONTROL[1], CONTROL[0])
        return dict(found.get("data") or {})

    async def kill_switch(self, on: bool, reason: str) -> Json:
        """Engage or release it; the control as it is now. Raises ConnectionError, StatusError."""
        change = {
            "killSwitch": "on" if on else "off",
            "by": "the live page",
            "reason": reason,
            "at": rfc3339(self._clock.now()),
        }
        found = await self._kube.patch("configmaps", CONTROL[1], {"data": change}, CONTROL[0])
        return dict(found.get("data") or {})

    async def _incidents(self) -> list[Json]:
        found = (await self._pager.call("GET", "/api/v1/incidents", query={"status": "all"}))["incidents"]
        is_open = [incident for incident in found if incident["status"] != "resolved"]
        resolved = [incident for incident in found if incident["status"] == "resolved"]
        return [*reversed(is_open), *reversed(resolved[-KEPT_RESOLVED:])]

    async def _posts(self) -> list[Json]:
        found = (await self._pager.call("GET", "/api/v1/status"))["posts"]
        return list(reversed(found[-KEPT_RESOLVED:]))

    async def _active_faults(self) -> list[Json]:
        return list((await self._faults.call("GET", "/api/v1/faults"))["faults"])

    async def _audit(self) -> Json:
        """The last mutations, and how many of each decision there were since the gateway started."""
        while True:
            query = {"after": str(self._seq), "limit": str(_PAGE)}
            page = await self._gateway.call("GET", "/audit", query=query)
            if page["last"] < self._seq:  # the gateway is another one, with a log of its own
                self._seq = 0
                self._requests.clear()
                self._counts.clear()
                continue
            records = page["records"]
            for record in records:
                self._seq = max(self._seq, int(record["seq"]))
                if record["mutating"]:
                    self._requests.append({key: record.get(key) for key in _RECORD_KEYS})
                    self._counts[record["decision"]] = self._counts.get(record["decision"], 0) + 1
            if len(records) < _PAGE:
                return {"last": list(reversed(self._requests)), "counts": dict(self._counts)}

    async def _figures(self) -> Json:
        values = await asyncio.gather(*(self._value(promql) for promql in QUERIES.values()))
        return dict(zip(QUERIES, values, strict=True))

    async def _value(self, promql: str) -> float | None:
        answer = await self._prometheus.call("GET", "/api/v1/query", query={"query": promql})
        samples = answer["data"]["result"]
        value = float(samples[0]["value"][1]) if samples else None
        return value if value is not None and value == value else None
