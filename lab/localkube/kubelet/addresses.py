"""Pod addresses: 127.<block>.<1..199>.<1..254>, given out in turn, so that one is not reused soon."""

from __future__ import annotations

from pathlib import Path

from lab.kube.status import StatusError, service_unavailable

FIRST, LAST = 1, 199
HOSTS = 254


class PodAddresses:
    """Addresses of one block. The position is kept in `file`, so a restart goes on behind it."""

    def __init__(self, block: int, file: Path) -> None:
        self._block = block
        self._file = file
        self._used: set[str] = set()
        try:
            self._next = int(file.read_text())
        except (OSError, ValueError):
            self._next = 0

    def take(self) -> str:
        """The next free address. Raises StatusError 503 when none is left."""
        size = (LAST - FIRST + 1) * HOSTS
        for _ in range(size):
            high, low = divmod(self._next % size, HOSTS)
            self._next = (self._next + 1) % size
            address = f"127.{self._block}.{FIRST + high}.{1 + low}"
            if address not in self._used:
                self._used.add(address)
                self._file.write_text(str(self._next))
                return address
        raise _exhausted()

    def release(self, address: str) -> None:
        """Give an address back."""
        self._used.discard(address)


def _exhausted() -> StatusError:
    return service_unavailable("no pod address is free")
