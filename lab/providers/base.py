"""What the engine asks of a provider: a Kubernetes API, and the way to reach services in it. Nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab.core.namespaces import NO_PREFIX, Namespaces
from lab.errors import UsageError

Say = Callable[[str], None]
"""Called with what is being done, where that takes long."""


def quiet(step: str) -> None:
    """Nothing is to be said."""


LAB_LABEL = "toil-lab/lab"
"""Label of every object that is made with a lab; its value is the lab's name."""
KEPT_LABEL = "toil-lab/kept"
"""Label, with the value `true`, of what an administrator made for the lab of LAB_LABEL: it uses that, and
leaves it standing when it goes."""
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def check_name(lab: str) -> None:
    """Raise UsageError for a lab's name that a cluster would not take as a label's value."""
    if not _LABEL_VALUE.fullmatch(lab):
        raise UsageError(
            f"{lab!r} cannot be a label's value in a cluster",
            hint="use up to 63 letters, digits and hyphens, the first and the last no hyphen",
        )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What differs between providers. A check that needs what is absent is skipped with that reason."""

    service_addresses_reachable: bool
    """The host can connect to a Service's cluster IP."""
    memory_limits: bool
    """A container over its memory limit is killed and reported as OOMKilled."""
    network_policy: bool
    """NetworkPolicy objects are enforced."""
    node_loss: bool
    """A node can be lost as if its power failed, in a cluster of several."""
    isolated_processes: bool
    """A pod cannot see the host's files and processes."""
    any_image: bool = True
    """Any image can be run; otherwise only those that the lab knows as programs of this machine."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster: how to reach it, and what a later command needs to find it again."""

    provider: str
    kubeconfig: Path
    server: str
    details: dict[str, str | int | float]
    pod_network: bool = False
    """A pod has a network of its own, in which it may listen on all addresses, as port-forward needs it."""
    namespaces: Namespaces = NO_PREFIX
    """What the lab's namespaces are called there."""
    images: Mapping[str, str] = field(default_factory=dict)
    """What the nodes get instead of an image that a manifest names."""
    node_ports: Mapping[str, int] = field(default_factory=dict)
    """Ports of the nodes for ports of Services (`namespace/name:port`), which are of type NodePort then."""
    shared: bool = False
    """Others use it too: the lab gets boundaries (quotas, network policies), and its nodes are left alone."""
    kept: tuple[str, ...] = ()
    """What an administrator made there for this lab: `Kind/name`, as the cluster calls it."""


class Provider(Protocol):
    """One way to get a Kubernetes API. `directory` is the lab's own folder; all state stays below it."""

    name: str
    capabilities: Capabilities
    alone: bool
    """There is room for one lab at a time, so that graded groups take turns."""
    ready_seconds: float
    """How long the lab's parts may take until they are ready: where images are pulled, longer."""

    def check(self) -> None:
        """Raise NotReadyError, with the way to get it, when something that it needs is not installed."""

    def create(
        self, directory: Path, *, nodes: int = 1, hour_seconds: float = 60.0, say: Say = quiet
    ) -> Cluster:
        """Start a cluster and return when its API answers. What a failure leaves, `delete` removes.

        nodes: how many. hour_seconds: the real length of a lab hour, by which a cluster of several nodes
        gives up a lost one. say: called at steps that take long.

        Raises ProviderError, or NotReadyError when something is not installed.
        """

    def find(self, directory: Path) -> Cluster | None:
        """The cluster of that folder if it runs, else None."""

    def address(self, directory: Path, service: str, cluster_ip: str, port: int) -> str:
        """`host:port` at which a Service of that cluster (`namespace/name`) answers from this host.

        Raises ProviderError when there is no way to it.
        """

    def delete(self, directory: Path) -> None:
        """Remove the cluster and all that it left, running or not. Idempotent."""

    def belongings(self, directory: Path) -> list[str]:
        """What `delete` would take out of a cluster that others use, a line each; none where it all goes."""

    def log_tail(self, directory: Path, lines: int = 20) -> str:
        """The last lines of the cluster's own log, for an error message."""
