"""Memory that a worker does not give back: real and resident, until the leak or the process ends."""

from __future__ import annotations

from lab.core.clock import Clock

_CHUNK = 1024 * 1024
_MOST = 512 * _CHUNK
"""A worker's limit is far below; this bounds it where nobody enforces one."""


class Leak:
    """Grows from the moment when it is first asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._held: list[bytearray] = []

    def follow(self, bytes_per_second: float) -> None:
        """Hold what has leaked by now at that rate; 0 ends the leak and frees all."""
        now = self._clock.monotonic()
        if bytes_per_second <= 0:
            self._since = None
            self._held.clear()
            return
        if self._since is None:
            self._since = now
        wanted = min(_MOST, int(bytes_per_second * (now - self._since)))
        while len(self._held) * _CHUNK < wanted:
            self._held.append(bytearray(b"\x01") * _CHUNK)
