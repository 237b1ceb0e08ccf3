"""What every controller is: resources it listens to, keys it derives from changes, and a `reconcile`."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from lab.core.clock import Clock, parse_rfc3339
from lab.kube.objects import KubeObject, controller_of, name_of, namespace_of
from lab.kube.resources import Resource
from lab.kube.status import StatusError
from lab.localkube.controllers.cache import Cache
from lab.localkube.controllers.queue import Key, WorkQueue
from lab.localkube.events import EventRecorder
from lab.localkube.protocols import DeleteOptions, Registry, WatchEvent

MERGE_PATCH = "application/merge-patch+json"
ANY = "*"
"""In `Controller.listens`: every resource."""
NODE_GRACE = 40.0
"""Upstream's node-monitor-grace-period, in seconds."""


@dataclass(frozen=True, slots=True)
class Context:
    """What controllers share."""

    registry: Registry
    cache: Cache
    clock: Clock
    node_grace: float = NODE_GRACE
    """Seconds without a renewed lease after which a node counts as lost."""


class Controller(ABC):
    """Level-triggered: a change gives keys, `reconcile` looks at what is there now.

    `reconcile` runs without interruption on the event loop, so one call sees one consistent state. What it
    raises is logged and the key retried with growing delays.
    """

    name: ClassVar[str]
    component: ClassVar[str] = ""
    """The source of its events; the name when empty."""
    listens: ClassVar[frozenset[str]]
    """Resource keys (`pods`, `deployments.apps`) whose changes matter, or ANY."""

    def __init__(self, context: Context) -> None:
        self.registry = context.registry
        self.cache = context.cache
        self.clock = context.clock
        self.queue = WorkQueue(context.clock)
        self.events = EventRecorder(context.registry, context.clock, self.component or self.name)
        self.log = logging.getLogger(f"lab.localkube.controllers.{self.name}")

    @abstractmethod
    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        """The keys that a change makes worth a look."""

    @abstractmethod
    def reconcile(self, key: Key) -> float | None:
        """Bring the world closer to what the key's object wants; seconds until another look, or None."""

    def begin(self) -> None:  # noqa: B027
        """Called once, after the cache is loaded and before the first reconcile; nothing by default."""

    def now(self) -> datetime:
        """The present instant."""
        return self.clock.now()

    def timestamp(self) -> str:
        """The present instant as Kubernetes' Time: whole seconds, UTC."""
        return stamp(self.clock.now())

    def write_status(self, resource: Resource, obj: KubeObject, status: KubeObject) -> bool:
        """Store a new status when it differs; True when it did."""
        if status == (obj.get("status") or {}):
            return False
        changed = copy.deepcopy(obj)
        changed["status"] = status
        self.registry.update(resource, namespace_of(obj), name_of(obj), changed, subresource="status")
        return True

    def annotate(self, resource: Resource, obj: KubeObject, annotations: dict[str, str]) -> None:
        """Set those annotations that differ, through the status: there they leave the generation alone."""
        present = obj["metadata"].get("annotations") or {}
        changed = {key: value for key, value in annotations.items() if present.get(key) != value}
        if changed:
            patch = {"metadata": {"annotations": changed}}
            place = (namespace_of(obj), name_of(obj))
            self.registry.patch(resource, *place, patch, MERGE_PATCH, subresource="status")

    def patch(self, resource: Resource, obj: KubeObject, patch: KubeObject) -> KubeObject:
        """Merge-patch an object, provided that it is still the same one."""
        patch = copy.deepcopy(patch)
        patch.setdefault("metadata", {})["uid"] = obj["metadata"]["uid"]
        changed, _ = self.registry.patch(resource, namespace_of(obj), name_of(obj), patch, MERGE_PATCH)
        return changed

    def delete(self, resource: Resource, obj: KubeObject, *, policy: str | None = "Background") -> bool:
        """Delete an object, provided that it is still the same one; False when it was gone already."""
        wish = DeleteOptions(propagation_policy=policy, preconditions={"uid": obj["metadata"]["uid"]})
        try:
            self.registry.delete(resource, namespace_of(obj), name_of(obj), wish)
        except StatusError as error:
            if error.code != 404:
                raise
            return False
        return True


def key_of(obj: KubeObject) -> Key:
    """(namespace, name)."""
    return (namespace_of(obj), name_of(obj))


def controller_keys(event: WatchEvent, kind: str) -> Iterable[Key]:
    """The keys of the controllers of that kind that an object has, or had before the change."""
    found: dict[Key, None] = {}
    for obj in (event.object, event.previous):
        reference = controller_of(obj) if obj else None
        if obj and reference and reference.get("kind") == kind:
            found[(namespace_of(obj), str(reference["name"]))] = None
    return found


def owner_reference(resource: Resource, owner: KubeObject) -> KubeObject:
    """The controller reference to an owner."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name_of(owner),
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def deleting(obj: KubeObject) -> bool:
    """Is it marked for deletion?"""
    return bool(obj["metadata"].get("deletionTimestamp"))


def created(obj: KubeObject) -> datetime:
    """When it was created."""
    return parse_rfc3339(obj["metadata"]["creationTimestamp"])


def stamp(instant: datetime) -> str:
    """An instant as Kubernetes' Time: whole seconds, UTC."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(now: datetime, text: str) -> float:
    """Seconds from an RFC 3339 instant to `now`; may be negative."""
    return (now - parse_rfc3339(text)).total_seconds()


def find_condition(obj: KubeObject, type: str) -> KubeObject | None:
    """The status condition of that type."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == type:
            return dict(condition)
    return None


def with_condition(conditions: Iterable[KubeObject], condition: KubeObject) -> list[KubeObject]:
    """The conditions with one replaced or added; lastTransitionTime stays when the status does."""
    result: list[Any] = []
    done = False
    for present in conditions:
        if present.get("type") != condition["type"]:
            result.append(present)
            continue
        done = True
        if present.get("status") == condition["status"] and "lastTransitionTime" in present:
            condition = condition | {"lastTransitionTime": present["lastTransitionTime"]}
        result.append(condition)
    return result if done else [*result, condition]
