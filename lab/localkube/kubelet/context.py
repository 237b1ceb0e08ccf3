"""What a pod's workers share: the seams to the rest of localkube, and the pod as it is now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lab.core.clock import Clock
from lab.kube.objects import KubeObject
from lab.localkube.events import EventRecorder
from lab.localkube.images.images import Images
from lab.localkube.kubelet.addresses import PodAddresses
from lab.localkube.kubelet.backoff import BackoffPolicy
from lab.localkube.kubelet.ledger import ProcessLedger
from lab.localkube.kubelet.volume_files import ApiAccess
from lab.localkube.protocols import Registry


def kube_time(instant: datetime) -> str:
    """An instant as Kubernetes' Time: whole seconds, UTC."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Node:
    """The kubelet's own: everything that is the same for all pods of this node."""

    name: str
    address: str
    cpu: float
    memory: float
    registry: Registry
    clock: Clock
    images: Images
    events: EventRecorder
    ledger: ProcessLedger
    addresses: PodAddresses
    backoff: BackoffPolicy
    access: ApiAccess
    api: tuple[str, str]
    directory: Path

    def now(self) -> str:
        """The present time as statuses show it."""
        return kube_time(self.clock.now())


@dataclass(slots=True)
class PodContext:
    """One pod: the newest object, its folder, and the two signals between its workers."""

    node: Node
    pod: KubeObject
    changed: Callable[[], None]
    """Tells the pod's worker that a container's status changed."""
    references: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, when a ConfigMap or Secret of the pod's namespace changed."""
    silent: bool = False
    """Nothing is heard of the pod any more: its node has lost its power."""

    @property
    def directory(self) -> Path:
        """All that the pod keeps on this host."""
        return self.node.directory / "pods" / str(self.pod["metadata"]["uid"])

    @property
    def title(self) -> str:
        """`name_namespace(uid)`, as upstream names a pod in messages."""
        metadata = self.pod["metadata"]
        return f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"

    def event(self, type: str, reason: str, message: str, field_path: str = "") -> None:
        """Record an event about the pod, or about the part of it that `field_path` names."""
        if not self.silent:
            self.node.events.event(self.pod, type, reason, message, field_path=field_path)

    def references_changed(self) -> None:
        """Wake whoever waits for a ConfigMap or Secret."""
        event, self.references = self.references, asyncio.Event()
        event.set()
