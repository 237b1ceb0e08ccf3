"""The medium of rows: ConfigMap lab-system/fault-directives, which gateway, pager and scrape proxy follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from lab.core.clock import Clock, TimeScale
from lab.core.fault import FaultSpec, FaultTarget, JournalEntry
from lab.core.fault_row import DIRECTIVES, FaultRow
from lab.core.seed import stream
from lab.faults.medium import Fault, Situation
from lab.kube.client import KubeClient
from lab.kube.status import StatusError

ROWS = "rows"
"""Name of the medium."""

_LOOK_SECONDS = 1.0


class RowFault(Protocol):
    """A fault inside another part of the lab. part: who carries it out, such as gateway."""

    spec: FaultSpec
    medium: str
    part: str

    def row(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """The parameters as the part wants them: spans in real seconds."""


class RowMedium:
    """The only writer of the ConfigMap."""

    def __init__(
        self, kube: KubeClient, faults: Mapping[str, Fault], *, seed: int, scale: TimeScale, clock: Clock
    ) -> None:
        self._kube = kube
        self._faults = {name: cast(RowFault, f) for name, f in faults.items() if f.medium == ROWS}
        self._seed = seed
        self._scale = scale
        self._clock = clock
        self._looked = float("-inf")

    async def choose(
        self, fault: Fault, values: Mapping[str, Any], situation: Situation
    ) -> list[FaultTarget]:
        """The part that carries it out; several faults may bite there at once."""
        return [FaultTarget("Service", DIRECTIVES[0], cast(RowFault, fault).part)]

    async def prepare(self, entry: JournalEntry) -> Mapping[str, Any]:
        """A row is all there is."""
        return {}

    async def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Write the rows."""
        await self._write({entry.id: self._row(entry).as_json() for entry in entries})

    async def undo(self, entries: Sequence[JournalEntry]) -> None:
        """Remove the rows."""
        await self._write({entry.id: None for entry in entries})

    async def ended(self, entries: Sequence[JournalEntry]) -> Mapping[str, str]:
        """None is over before its time."""
        return {}

    async def agree(self, entries: Sequence[JournalEntry]) -> None:
        """Compare once a second; nobody but this injector writes here."""
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        found = await self._read()
        wanted: dict[str, str | None] = {entry.id: self._row(entry).as_json() for entry in entries}
        change = {key: value for key, value in wanted.items() if found.get(key) != value}
        change |= dict.fromkeys(found.keys() - wanted.keys())
        if change:
            await self._write(change)
        self._looked = now

    def _row(self, entry: JournalEntry) -> FaultRow:
        fault = self._faults[entry.fault]
        return FaultRow(
            id=entry.id,
            fault=entry.fault,
            part=fault.part,
            parameters=fault.row(entry.parameters, self._scale),
            expires_at=entry.expires_at,
            seed=stream(self._seed, "row", entry.id).getrandbits(32),
        )

    async def _read(self) -> dict[str, str]:
        try:
            found = await self._kube.get("configmaps", DIRECTIVES[1], DIRECTIVES[0])
        except StatusError as error:
            if error.code == 404:
                return {}
            raise
        return dict(found.get("data") or {})

    async def _write(self, change: Mapping[str, str | None]) -> None:
        if not change:
            return
        namespace, name = DIRECTIVES
        try:
            await self._kube.patch("configmaps", name, {"data": dict(change)}, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            data = {key: value for key, value in change.items() if value is not None}
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
            await self._kube.create("configmaps", made, namespace)
