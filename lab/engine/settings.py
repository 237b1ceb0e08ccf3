"""What a lab is brought up with."""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.clock import TimeScale
from lab.core.staffing import DEAR, PARTITIONS


@dataclass(frozen=True, slots=True)
class LabSettings:
    """name: the lab's folder. seed: chooses victims, names and times. hour_seconds: real length of a lab
    hour. toil: `recurring` (hangs at seeded times) or `off` (only what is injected). extras: optional parts
    that are started, separated by commas, such as `logstore` and `database-ops`.
    workers: of the shop, each with a partition of its own.
    starts: what a worker's start costs the database, `dear` or `cheap` (see lab.shop.warming).
    nodes: of the cluster; the lab's own parts and its data are on the first.
    kubeconfig, context: of the provider `kubeconfig`; context_again: one that looks like production, named
    a second time. image: what the lab's own pods run where they are containers, by default `toil-lab`, on
    kind one that is built. node_image: of kind's nodes. registry: where a cluster of a kubeconfig finds all
    images, by default the public ones.
    prometheus: empty for one of the lab's own; `existing` or NAMESPACE/NAME for one of the cluster's, run by
    the Prometheus Operator."""

    name: str = "lab"
    seed: int = 1
    hour_seconds: float = 60.0
    provider: str = "local"
    toil: str = "recurring"
    extras: str = ""
    workers: int = PARTITIONS
    starts: str = DEAR
    nodes: int = 1
    kubeconfig: str = ""
    context: str = ""
    context_again: str = ""
    image: str = ""
    node_image: str = ""
    registry: str = ""
    prometheus: str = ""

    @property
    def parts(self) -> frozenset[str]:
        """The names in `extras`."""
        return frozenset(name.strip() for name in self.extras.split(",") if name.strip())

    @property
    def scale(self) -> TimeScale:
        """The time scale that every window and delay follows."""
        return TimeScale(self.hour_seconds)
