"""The medium of Kubernetes objects: fields of an object that exists are changed, and later put back.

prepare   the uid and the fields as they are, into the journal
apply     the fields and the mark (annotation toil-lab/fault: <entry>) in one write, if nobody was quicker
undo      every field that is still as the fault left it, and the mark, in one write

One write per object, tied to its resourceVersion: whoever dies in between leaves all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

from lab.core.clock import Clock, TimeScale
from lab.core.fault import MARK, FaultSpec, FaultState, FaultTarget, JournalEntry
from lab.faults.fields import ABSENT, BeforeImage, Change, Path, read, write
from lab.faults.medium import Fault, NoVictimError, OccupiedError, Situation
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject, name_of
from lab.kube.status import StatusError

CLUSTER = "cluster"
"""Name of the medium."""

_MARK_PATH: Path = ("metadata", "annotations", MARK)
_LOOK_SECONDS = 1.0
_TRIES = 5


class ClusterFault(Protocol):
    """A fault of one object. place: kind and namespace of all objects that it may hit."""

    spec: FaultSpec
    medium: str
    place: tuple[str, str]

    def victim(self, parameters: Mapping[str, Any]) -> str:
        """Name of the object; empty for any of its place, by the seed."""

    def changes(self, obj: KubeObject, parameters: Mapping[str, Any], scale: TimeScale) -> Sequence[Change]:
        """What it makes of the object. Raises NoVictimError when there is nothing to damage."""


@runtime_checkable
class ContinuingFault(Protocol):
    """A fault that goes on doing something for as long as it bites."""

    async def go_on(self, kube: KubeClient, victim: str) -> None:
        """One step, about once a second. It may be repeated, and must not need undoing."""


@runtime_checkable
class SparingFault(Protocol):
    """A fault that some of the objects of its place must not suffer."""

    async def spared(self, kube: KubeClient) -> Mapping[str, str]:
        """The names of those, each with the reason."""


class ClusterMedium:
    """Faults of objects; one at a time on each."""

    def __init__(
        self, kube: KubeClient, faults: Mapping[str, Fault], *, scale: TimeScale, clock: Clock
    ) -> None:
        self._kube = kube
        self._faults = {n: cast(ClusterFault, f) for n, f in faults.items() if f.medium == CLUSTER}
        self._scale = scale
        self._clock = clock
        self._looked = float("-inf")

    async def choose(
        self, fault: Fault, values: Mapping[str, Any], situation: Situation
    ) -> list[FaultTarget]:
        """The object that the parameters name, or any that is not spared."""
        cluster_fault = cast(ClusterFault, fault)
        spared = await fault.spared(self._kube) if isinstance(fault, SparingFault) else {}
        name = cluster_fault.victim(values) or await self._any(cluster_fault.place, spared, situation)
        target = FaultTarget(*cluster_fault.place, name)
        if name in spared:
            raise NoVictimError(f"the {target.kind} {name} is not taken: {spared[name]}")
        if any(entry.target == target for entry in situation.held):
            raise OccupiedError(f"{_said(target)} has a fault already", hint="heal it first")
        cluster_fault.changes(await self._present(target), values, self._scale)
        return [target]

    async def prepare(self, entry: JournalEntry) -> Mapping[str, Any]:
        """The fields as they are now."""
        obj = await self._present(entry.target)
        changes = self._faults[entry.fault].changes(obj, entry.parameters, self._scale)
        return BeforeImage.take(obj, changes).as_dict()

    async def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Change the fields, unless somebody has changed the same ones since they were looked at."""
        for entry in entries:
            await self._change(entry, partial(_apply, entry))

    async def undo(self, entries: Sequence[JournalEntry]) -> Mapping[str, str]:
        """Put the fields back; those that somebody else has changed since are left as they are, and told."""
        notes: dict[str, str] = {}
        for entry in entries:
            await self._change(entry, partial(_undo, entry, notes))
        return notes

    async def ended(self, entries: Sequence[JournalEntry]) -> Mapping[str, str]:
        """Those whose object is gone, and those whose damage somebody has mended."""
        over: dict[str, str] = {}
        for entry in entries:
            obj, image = await self._find(entry.target), BeforeImage.from_dict(entry.undo)
            if obj is None or not image.of(obj):
                over[entry.id] = "restart"
            elif not image.bites(obj):
                over[entry.id] = "repair"
        return over

    async def agree(self, entries: Sequence[JournalEntry]) -> None:
        """Marks of open entries stay on, whoever took them off; marks of others go."""
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        for entry in entries:
            await self._change(entry, partial(_mark_again, entry))
            fault = self._faults[entry.fault]
            if isinstance(fault, ContinuingFault):
                await fault.go_on(self._kube, entry.target.name)
        known = {entry.id for entry in entries}
        for kind, namespace in sorted({fault.place for fault in self._faults.values()}):
            for obj in (await self._kube.list(kind, namespace))["items"]:
                mark = read(obj, _MARK_PATH)
                if mark is not ABSENT and mark not in known:
                    name = obj["metadata"]["name"]
                    await self._change_object(FaultTarget(kind, namespace, name), _unmark(mark))
        self._looked = now

    async def _any(self, place: tuple[str, str], spared: Mapping[str, str], situation: Situation) -> str:
        names = sorted(name_of(obj) for obj in (await self._kube.list(*place))["items"])
        if not names:
            raise NoVictimError(f"there is no {place[0]}")
        free = [name for name in names if name not in spared]
        if not free:
            why = "; ".join(f"{name}: {spared[name]}" for name in names)
            raise NoVictimError(f"there is no {place[0]} that may be taken ({why})")
        return situation.chance.choice(free)

    async def _change(self, entry: JournalEntry, change: Callable[[KubeObject], bool]) -> None:
        """Change the entry's object, if it is still there."""
        if entry.undo:
            await self._change_object(entry.target, change)

    async def _change_object(self, target: FaultTarget, change: Callable[[KubeObject], bool]) -> None:
        for last in (False,) * (_TRIES - 1) + (True,):
            obj = await self._find(target)
            if obj is None or not change(obj):
                return
            try:
                await self._kube.update(target.kind, obj, target.namespace)
                return
            except StatusError as error:
                if error.code == 404:
                    return
                if error.code != 409 or last:
                    raise

    async def _present(self, target: FaultTarget) -> KubeObject:
        obj = await self._find(target)
        if obj is None:
            raise NoVictimError(f"there is no {_said(target)}")
        return obj

    async def _find(self, target: FaultTarget) -> KubeObject | None:
        try:
            return await self._kube.get(target.kind, target.name, target.namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise


def _apply(entry: JournalEntry, obj: KubeObject) -> bool:
    image = BeforeImage.from_dict(entry.undo)
    if read(obj, _MARK_PATH) == entry.id:
        return False
    if not image.of(obj):
        raise NoVictimError(f"{_said(entry.target)} has just been replaced", hint="try again")
    if changed := image.changed_by_others(obj):
        raise NoVictimError(f"somebody is changing {_paths(changed)} of {_said(entry.target)}")
    image.apply(obj)
    write(obj, _MARK_PATH, entry.id)
    return True


def _undo(entry: JournalEntry, notes: dict[str, str], obj: KubeObject) -> bool:
    """An entry that is only planned may never have been applied: then there is no mark, and nothing to do.

    One that was active is undone without its mark too: `kubectl rollout undo` takes the mark away.
    """
    image = BeforeImage.from_dict(entry.undo)
    marked = read(obj, _MARK_PATH) == entry.id
    if not image.of(obj) or (entry.state is FaultState.PLANNED and not marked):
        return False
    before = [read(obj, field.path) for field in image.fields]
    left = image.restore(obj)
    if left:
        notes[entry.id] = f"changed by somebody else and left alone: {_paths(left)}"
    else:
        notes.pop(entry.id, None)
    if marked:
        write(obj, _MARK_PATH, ABSENT)
    return marked or before != [read(obj, field.path) for field in image.fields]


def _mark_again(entry: JournalEntry, obj: KubeObject) -> bool:
    image = BeforeImage.from_dict(entry.undo)
    if read(obj, _MARK_PATH) == entry.id or not image.of(obj) or not image.bites(obj):
        return False
    write(obj, _MARK_PATH, entry.id)
    return True


def _unmark(mark: str) -> Callable[[KubeObject], bool]:
    def change(obj: KubeObject) -> bool:
        if read(obj, _MARK_PATH) != mark:
            return False
        write(obj, _MARK_PATH, ABSENT)
        return True

    return change


def _said(target: FaultTarget) -> str:
    return f"{target.kind} {target.namespace}/{target.name}"


def _paths(paths: Sequence[Path]) -> str:
    return ", ".join(".".join(path) for path in paths)
