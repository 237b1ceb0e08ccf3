"""The seams between the rooms of localkube: what a registry offers, and what a kubelet offers the API.

Everything runs on one event loop in one thread. Registry calls are synchronous, hence atomic. Objects that
come out of the registry are shared snapshots, like those of a client-go informer cache: read them, never
write to them; take `copy.deepcopy` first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]

LONGEST_WINDOW = 30.0
"""Seconds back to which the use of processors is remembered."""

OWN_USER: KubeObject = {
    "username": "system:localkube",
    "groups": ["system:masters", "system:authenticated"],
}
"""Who controllers, scheduler and kubelet are to admission policies."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. `previous` is the object before it (None for ADDED); `rv` the store's resource version."""

    type: EventType
    object: KubeObject
    rv: int
    previous: KubeObject | None = None


@dataclass(frozen=True, slots=True)
class ListResult:
    """A page of a list. `rv` is the snapshot's resource version; `continue_token` is empty at the end."""

    items: Sequence[KubeObject]
    rv: int
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write. Defaults are what a controller wants.

    dry_run: do everything but store. field_validation: Ignore, Warn or Strict; warnings are appended to
    `warnings` and go out as Warning headers. user: authentication/v1 UserInfo, for admission policies; not
    used to authorize.
    """

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool = False
    user: KubeObject = field(default_factory=lambda: OWN_USER)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """meta/v1 DeleteOptions, already read from body and query. None means: the kind's default."""

    grace_period_seconds: int | None = None
    propagation_policy: str | None = None
    preconditions: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """What a request is about to do, as admission policies see it.

    name: as the request has it, so empty in a deletecollection. kind: (group, version, kind) of `object`
    where a subresource has one of its own. delete: the options of a DELETE.
    """

    operation: Operation
    resource: Resource
    namespace: str
    name: str
    subresource: str = ""
    kind: tuple[str, str, str] | None = None
    object: KubeObject | None = None
    old: KubeObject | None = None
    write: WriteOptions = field(default_factory=WriteOptions)
    delete: DeleteOptions | None = None

    @property
    def object_kind(self) -> tuple[str, str, str]:
        """(group, version, kind) of the object."""
        return self.kind or (self.resource.group, self.resource.version, self.resource.kind)

    @property
    def dry_run(self) -> bool:
        """Will nothing be stored?"""
        return self.write.dry_run or (self.delete is not None and self.delete.dry_run)


class Registry(Protocol):
    """What a read or write of the API means. Raises lab.kube.status.StatusError."""

    def resource(self, group: str, version: str, plural: str) -> Resource:
        """The served resource. Raises StatusError 404."""

    def resources(self) -> Sequence[Resource]:
        """All that is served."""

    def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """One object. Raises StatusError 404."""

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> ListResult:
        """Objects of a namespace, or of all when it is empty, in name order."""

    def create(
        self, resource: Resource, namespace: str, obj: KubeObject, options: WriteOptions = ...
    ) -> KubeObject:
        """Store a new object; generateName, defaults, uid, creationTimestamp, resourceVersion are filled."""

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        obj: KubeObject,
        *,
        subresource: str = "",
        options: WriteOptions = ...,
    ) -> KubeObject:
        """Replace an object or its status / scale subresource. A stale resourceVersion is a 409."""

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str,
        *,
        subresource: str = "",
        options: WriteOptions = ...,
    ) -> tuple[KubeObject, bool]:
        """Apply a JSON, merge, strategic-merge or apply patch; True when an apply created the object."""

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        delete: DeleteOptions = ...,
        options: WriteOptions = ...,
    ) -> tuple[KubeObject, bool]:
        """Delete or mark for deletion; True when the object is gone now."""

    def delete_collection(
        self,
        resource: Resource,
        namespace: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
        delete: DeleteOptions = ...,
        options: WriteOptions = ...,
    ) -> ListResult:
        """Delete every match."""

    def evict(self, namespace: str, name: str, eviction: KubeObject, options: WriteOptions = ...) -> None:
        """The eviction subresource: a delete inside the disruption budget, or 429."""

    def bind(
        self,
        namespace: str,
        name: str,
        node: str,
        options: WriteOptions = ...,
        metadata: KubeObject | None = None,
    ) -> None:
        """Assign a pod to a node (the binding subresource), with the labels and annotations of `metadata`."""

    def admit(self, request: AdmissionRequest) -> None:
        """Hold what is no write of an object (a stream, a token) against the admission policies."""

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        since: int | None = None,
        label_selector: str = "",
        field_selector: str = "",
        send_initial_events: bool = False,
        bookmarks: bool = False,
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `since`; with None or 0 first every present object as ADDED. Closing it ends it."""

    def subscribe(self, callback: Callable[[Resource, WatchEvent], None]) -> Callable[[], None]:
        """Call back synchronously after every stored change of any resource; returns the unsubscriber."""


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """What a container's processes use.

    cpu: cores, on average over the `window` seconds that ended `at`. memory: bytes then.
    """

    cpu: float
    memory: int
    at: datetime
    window: float


Take = Callable[[bytes], Awaitable[None]]
"""Takes output, and waits while whoever wants it is slow. Raises ConnectionError when he has gone."""


@dataclass(frozen=True, slots=True)
class Streams:
    """A client's end of a command, or of a container that it attaches to.

    stdin: what it sends, until it closes; None when it sends nothing. stdout, stderr: None where it does not
    want to know. tty: it sits at a terminal, so all output is stdout; sizes: (columns, rows) of that
    terminal, each time they change.
    """

    stdin: AsyncIterator[bytes] | None = None
    stdout: Take | None = None
    stderr: Take | None = None
    tty: bool = False
    sizes: AsyncIterator[tuple[int, int]] | None = None


class PodRuntime(Protocol):
    """What the API server asks of the kubelet: logs, commands, and what pods use."""

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        """The container's log. Raises StatusError 400 when it has not started or does not exist."""

    async def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams
    ) -> int:
        """Run a command beside the container, in its environment and directory; its exit code.

        It is killed when the caller is cancelled or the client has gone.
        """

    async def attach(self, namespace: str, pod: str, container: str, streams: Streams) -> None:
        """Join the container's own input and output, until it ends or the client has said all it will.

        Raises StatusError when the container does not run.
        """

    def usage(self, pod: KubeObject, window: float) -> Mapping[str, ContainerUsage]:
        """What each running container uses, averaged over `window` seconds, at most LONGEST_WINDOW.

        Empty while one of them has not been measured twice.
        """
