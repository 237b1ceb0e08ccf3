"""Giving objects back what they were before the automation changed them, through the Kubernetes API.

Objects go in the reverse order of their last change, the changes of one object from the newest to the oldest.
What is to be written is worked out first, and written only onto the version that was read; when that has
moved on, the object is looked at anew. Doing it twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from lab.canary.report import Item, Outcome
from lab.canary.reverse import Work, plan_object, uid_of
from lab.canary.undo import Change, Kind, Target
from lab.core.clock import Clock
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject
from lab.kube.resources import BUILTIN, Resource, builtin
from lab.kube.status import StatusError

ATTEMPTS = 5
GONE_SECONDS = 30.0
_LOOK_SECONDS = 0.1


class Restorer:
    """Works on one cluster, with the rights of its client."""

    def __init__(self, kube: KubeClient, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock

    async def restore(self, changes: Sequence[Change], *, dry_run: bool = False) -> AsyncIterator[Item]:
        """Each object's end, as it comes. Raises ConnectionError or TimeoutError when the API server fails:
        then do it again."""
        objects: dict[Target, list[Change]] = {}
        for change in reversed(changes):
            objects.setdefault(change.target, []).append(change)
        for target, newest_first in objects.items():
            yield await self._object(target, newest_first, dry_run)

    async def _object(self, target: Target, changes: list[Change], dry_run: bool) -> Item:
        try:
            resource = _resource(target, changes)
        except KeyError:
            return _item(
                target, changes, Outcome.NOT_RESTORABLE, f"{target.resource} is not a kind known here"
            )
        if all(change.kind in (Kind.LOST, Kind.NOTHING) for change in changes):
            return _end(target, changes, plan_object(None, changes), dry_run)
        for _ in range(ATTEMPTS):
            try:
                work = plan_object(await self._look(resource, target), changes)
                if work.writes and not (dry_run and work.replaces):
                    await self._write(resource, target, work, dry_run=dry_run)
                return _end(target, changes, work, dry_run)
            except StatusError as error:
                if error.code == 429 or error.code >= 500:
                    raise ConnectionError(f"the API server answered {error.code}: {error.message}") from error
                if error.code not in (404, 409):
                    return _item(target, changes, Outcome.NOT_RESTORABLE, f"refused: {error.message}"[:300])
        return _item(target, changes, Outcome.CONFLICT, "it keeps being changed by somebody else")

    async def _look(self, resource: Resource, target: Target) -> KubeObject | None:
        try:
            return await self._kube.get(resource, target.name, target.namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def _write(self, resource: Resource, target: Target, work: Work, *, dry_run: bool) -> None:
        query = {"dryRun": "All"} if dry_run else None
        if work.was is not None and (work.to_be is None or work.replaces):
            if not work.was["metadata"].get("deletionTimestamp"):
                await self._delete(resource, target, uid_of(work.was), dry_run)
            if work.replaces:
                await self._wait_gone(resource, target, uid_of(work.was))
        if work.to_be is None:
            return
        if work.was is None or work.replaces:
            await self._kube.create(resource, work.to_be, target.namespace, query=query)
        else:
            await self._kube.update(resource, work.to_be, target.namespace, query=query)

    async def _delete(self, resource: Resource, target: Target, uid: str, dry_run: bool) -> None:
        options: KubeObject = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        if dry_run:  # in the body too: an API server that finds options there does not look at the query
            options["dryRun"] = ["All"]
        path = resource.path(target.namespace, target.name)
        query = {"dryRun": "All"} if dry_run else None
        await self._kube.request("DELETE", path, body=options, query=query)

    async def _wait_gone(self, resource: Resource, target: Target, uid: str) -> None:
        deadline = self._clock.monotonic() + GONE_SECONDS
        while self._clock.monotonic() < deadline:
            found = await self._look(resource, target)
            if found is None or uid_of(found) != uid:
                return
            await self._clock.sleep(_LOOK_SECONDS)
        raise TimeoutError(f"{target} was deleted {GONE_SECONDS:g} s ago and is still there")


def _resource(target: Target, changes: Sequence[Change]) -> Resource:
    """The resource in the version that the automation wrote, in which its changes are kept.

    When it wrote several, the one that is stored. Raises KeyError for a kind that is not known.
    """
    images = [image for change in changes for image in (change.image, change.after) if image]
    versions = {image["apiVersion"] for image in images if image.get("apiVersion")}
    for resource in BUILTIN:
        named = (resource.plural, resource.group) == (target.resource, target.group)
        if named and versions == {resource.api_version}:
            return resource
    return builtin(target.resource, target.group)


def _end(target: Target, changes: Sequence[Change], work: Work, dry_run: bool) -> Item:
    done = Outcome.WOULD_RESTORE if dry_run else Outcome.RESTORED
    reasons = [*work.conflicts, *work.lost]
    if work.conflicts:
        outcome = Outcome.CONFLICT
    elif work.lost:
        outcome = Outcome.NOT_RESTORABLE
    elif work.writes:
        outcome = done
        reasons = [_how(work)] if work.to_be is None or work.was is None or work.replaces else []
    else:
        outcome = Outcome.NOTHING
        reasons = work.nothing or ["it is as it was before"]
    fields = tuple(work.fields) if work.writes else ()
    return _item(target, changes, outcome, "; ".join(dict.fromkeys(reasons)), fields)


def _how(work: Work) -> str:
    return "what it created is deleted" if work.to_be is None else "what it deleted is created anew"


def _item(
    target: Target, changes: Sequence[Change], outcome: Outcome, reason: str, fields: tuple[str, ...] = ()
) -> Item:
    records = tuple(sorted(change.seq for change in changes))
    return Item(str(target), records, outcome, reason[:600], fields[:50])
