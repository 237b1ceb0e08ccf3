"""Pod addresses: 127.<block>.<1..199>.<1..254>, given out in turn, so that one is not reused soon.

A pod with a hostname below a subdomain is an exception: without DNS its name is an address from the start, so
the address is kept for the name, whether such a pod runs or not.
"""

from __future__ import annotations

import json
from pathlib import Path

from lab.kube.objects import KubeObject, namespace_of
from lab.kube.status import StatusError, service_unavailable

FIRST, LAST = 1, 199
HOSTS = 254
MOST_KEPT = 5000
"""Names with an address of their own; beyond, the oldest is forgotten."""


def network_name(pod: KubeObject) -> str:
    """`<hostname>.<subdomain>.<namespace>` of a pod that has both; else empty."""
    spec = pod["spec"]
    if not spec.get("hostname") or not spec.get("subdomain"):
        return ""
    return f"{spec['hostname']}.{spec['subdomain']}.{namespace_of(pod)}"


class PodAddresses:
    """Addresses of one block. The position is kept in `file`, so a restart goes on behind it; names in
    `<file>.names`."""

    def __init__(self, block: int, file: Path) -> None:
        self._block = block
        self._file = file
        self._names = file.with_name(file.name + ".names")
        self._used: set[str] = set()
        self._kept: dict[str, str] = {}
        try:
            self._next = int(file.read_text())
        except (OSError, ValueError):
            self._next = 0
        try:
            self._kept = json.loads(self._names.read_text())
        except (OSError, ValueError):
            self._kept = {}

    def take(self, name: str = "") -> str:
        """The address kept for a name if it is free, else the next free one.

        Raises StatusError 503 when none is left.
        """
        address = self.keep(name) if name else ""
        if not address or address in self._used:
            address = self._free()
        self._used.add(address)
        return address

    def keep(self, name: str) -> str:
        """The address that is for a name alone. Raises StatusError 503 when none is left."""
        if name not in self._kept:
            address = self._free()
            while len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = address
            draft = self._names.with_name(self._names.name + ".new")
            draft.write_text(json.dumps(self._kept))
            draft.replace(self._names)
        return self._kept[name]

    def _free(self) -> str:
        size = (LAST - FIRST + 1) * HOSTS
        kept = set(self._kept.values())
        for _ in range(size):
            high, low = divmod(self._next % size, HOSTS)
            self._next = (self._next + 1) % size
            address = f"127.{self._block}.{FIRST + high}.{1 + low}"
            if address not in self._used and address not in kept:
                self._file.write_text(str(self._next))
                return address
        raise _exhausted()

    def release(self, address: str) -> None:
        """Give an address back."""
        self._used.discard(address)


def _exhausted() -> StatusError:
    return service_unavailable("no pod address is free")
