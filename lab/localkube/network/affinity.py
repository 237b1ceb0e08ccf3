"""Session affinity: a client address stays on its backend until it has not come back for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from lab.localkube.network.backends import Address

MOST_CLIENTS = 10_000
"""Clients beyond are forgotten, those first that have been away for longest."""


class Affinity:
    """Which backend each client of one front had last. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[Address, float]] = OrderedDict()

    def backend_of(
        self, client: str, backends: Sequence[Address], seconds: float, now: float
    ) -> Address | None:
        """The client's backend, if it is still one of these and not `seconds` have passed."""
        known = self._last.get(client)
        if known is None or now - known[1] >= seconds or known[0] not in backends:
            return None
        return known[0]

    def remember(self, client: str, backend: Address, now: float) -> None:
        """The client is on that backend now."""
        self._last[client] = (backend, now)
        self._last.move_to_end(client)
        while len(self._last) > MOST_CLIENTS:
            self._last.popitem(last=False)
