"""A running lab: its folder, its services, its automation and the control of both."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lab.automation.manifest import Automation
from lab.automation.package import package
from lab.core import interrupt
from lab.core.audit import Mode
from lab.core.canary import CanaryPlan
from lab.core.clock import SystemClock, rfc3339
from lab.core.namespaces import Namespaces
from lab.core.places import state_home
from lab.engine.clients import FaultsClient, GatewayClient, PagerClient, wait_until
from lab.engine.providers import provider_of
from lab.engine.settings import LabSettings
from lab.errors import DeadlineExceeded, NotReadyError, UsageError
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.process import is_running
from lab.providers.base import Cluster

if TYPE_CHECKING:
    from lab.engine.kube import Kube

SCHEMA_VERSION = 1
AUTOMATION_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class LabRecord:
    """What lab.json holds. addresses: `namespace/service` to cluster IP; none until every object has been
    created. owner: pid and start time of the process that a throw-away lab belongs to; None for a lab that
    stays until `lab down`."""

    settings: LabSettings
    created_at: str
    addresses: dict[str, str]
    owner: tuple[int, float] | None = None
    schema_version: int = SCHEMA_VERSION


def labs_home() -> Path:
    """The folder with one folder per lab."""
    return state_home() / "labs"


def lab_directory(name: str) -> Path:
    """The folder of one lab. Raises UsageError when the name cannot be a folder's."""
    if not name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name) or len(name) > 80:
        raise UsageError(
            f"{name!r} cannot be a lab's name", hint="use up to 80 letters, digits, hyphens or underscores"
        )
    return labs_home() / name


def read_record(directory: Path) -> LabRecord | None:
    """The record of a lab's folder, or None when there is none or it cannot be read."""
    try:
        data = json.loads((directory / "lab.json").read_text())
        owner = data.get("owner")
        return LabRecord(
            settings=LabSettings(**data["settings"]),
            created_at=data["created_at"],
            addresses=data["addresses"],
            owner=(int(owner[0]), float(owner[1])) if owner else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_record(directory: Path, record: LabRecord) -> None:
    """Write lab.json atomically."""
    temporary = directory / "lab.json.tmp"
    temporary.write_text(json.dumps(asdict(record), indent=1))
    temporary.replace(directory / "lab.json")


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold the lab's lock, so that two commands never bring the same lab up or down at once."""
    labs_home().mkdir(parents=True, exist_ok=True)
    path = _lock_file(directory)
    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise NotReadyError(
                    f"another command is bringing the lab {directory.name!r} up or down",
                    hint="wait until it is done, or use --name for a second lab",
                ) from None
            if not _is_file_at(lock.fileno(), path):
                continue  # its former holder removed it between open and flock
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def is_there(directory: Path) -> bool:
    """Whether there is anything of the lab, if only the lock of a command that was killed."""
    return directory.exists() or _lock_file(directory).exists()


def _lock_file(directory: Path) -> Path:
    return labs_home() / f".{directory.name}.lock"


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


class Lab:
    """One running lab. Cheap to make; every client is made when it is first used."""

    def __init__(self, directory: Path, record: LabRecord, cluster: Cluster, admin_token: str) -> None:
        self.directory = directory
        self.record = record
        self.cluster = cluster
        self.admin_token = admin_token

    @property
    def settings(self) -> LabSettings:
        """What the lab was brought up with."""
        return self.record.settings

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.settings.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.cluster.kubeconfig

    @property
    def namespaces(self) -> Namespaces:
        """What the lab's namespaces are called in the cluster."""
        return self.cluster.namespaces

    def url(self, namespace: str, service: str, port: int, scheme: str = "http") -> str:
        """Where a Service of the lab answers, from this host."""
        key = f"{namespace}/{service}"
        try:
            cluster_ip = self.record.addresses[key]
        except KeyError:
            raise NotReadyError(f"the lab has no Service {key}", hint="lab status shows its parts") from None
        address = provider_of(self.settings).address(self.directory, key, cluster_ip, port)
        return f"{scheme}://{address}"

    @cached_property
    def kube(self) -> Kube:
        """The administrator's Kubernetes client."""
        from lab.engine.kube import Kube

        return Kube(self.kubeconfig, self.namespaces)

    @cached_property
    def pager(self) -> PagerClient:
        """The pager's client."""
        return PagerClient(self.url("lab-system", "pager", 8080), "pager", self.admin_token)

    @cached_property
    def faults(self) -> FaultsClient:
        """The fault injector's client."""
        return FaultsClient(self.url("lab-system", "faults", 8080), "fault injector", self.admin_token)

    @cached_property
    def gateway(self) -> GatewayClient:
        """The client of the gateway's admin side."""
        return GatewayClient(self.url("lab-system", "gateway", 8081), "gateway", self.admin_token)

    @property
    def prometheus_url(self) -> str:
        """Prometheus' base URL."""
        return self.url("lab-system", "prometheus", 9090)

    def cluster_log(self, lines: int) -> str:
        """The last lines of the cluster's own log; empty when it said nothing."""
        return provider_of(self.settings).log_tail(self.directory, lines)

    def control(self) -> dict[str, str]:
        """Mode and kill switch as the gateway reads them."""
        return self.kube.config_map("lab-system", "automation-control")

    def set_mode(self, mode: Mode, by: str = "lab", reason: str = "") -> None:
        """Trust the automation this far from now on. A canary begins with nothing: its steps widen it."""
        change = {"mode": mode.value, "modeSince": rfc3339(SystemClock().now())}
        if mode is Mode.CANARY:
            change["canaryPercent"] = "0"
        self._set_control(change, by, reason)

    def set_kill_switch(self, on: bool, by: str = "lab", reason: str = "") -> None:
        """Stop every mutation of the automation, or let them through again."""
        self._set_control({"killSwitch": "on" if on else "off"}, by, reason)

    def _set_control(self, change: dict[str, str], by: str, reason: str) -> None:
        said = {"by": by, "reason": reason, "at": rfc3339(SystemClock().now())}
        self.kube.merge_config_map("lab-system", "automation-control", change | said)

    def run_automation(
        self, workspace: Path, mode: Mode, *, by: str = "lab", canary: CanaryPlan | None = None
    ) -> Automation:
        """Package a workspace, set the mode and start its program as a pod; return when it is ready.

        canary: the plan by which a canary widens; without one it stays at no target at all.

        Raises ConfigError for a broken workspace, ProviderError when the cluster cannot start the pod,
        DeadlineExceeded when the pod does not become ready.
        """
        automation, config_map = package(workspace)
        content = (config_map["data"], config_map.get("binaryData", {}))
        self.kube.put_config_map("automation", "workspace", *content)
        self.set_mode(mode, by, f"run {automation.name} in {mode.value} mode")
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        if mode is Mode.CANARY and canary is not None:
            self._start_canary(replace(canary, workspace_digest=digest, automation=automation.name, by=by))
        template = {"metadata": {"annotations": {"toil-lab/workspace": digest}}}
        self.kube.patch_deployment(
            "automation", "automation", {"spec": {"replicas": 1, "template": template}}
        )
        self._wait_part("automation", "automation")
        return automation

    def ensure(self, part: str) -> None:
        """Start a part of lab-system that a fresh lab leaves out until it is wanted; return when it is ready.

        Raises ProviderError when the cluster cannot start it, DeadlineExceeded when it does not become ready.
        """
        if self._has("lab-system", part):
            return
        self.kube.patch_deployment("lab-system", part, {"spec": {"replicas": 1}})
        self._wait_part("lab-system", part)

    def _wait_part(self, namespace: str, name: str) -> None:
        """As long as the provider says: its pod may come to a node that has to pull the image first."""
        from lab.engine.readiness import wait_part

        wait_part(self.kube, namespace, name, provider_of(self.settings).ready_seconds)

    def _start_canary(self, plan: CanaryPlan) -> None:
        from lab.engine.canary import start, wait_begun

        wait_begun(self, start(self, plan))

    def stop_automation(self) -> None:
        """Scale the automation to nothing and return when its pod is gone."""
        self.kube.patch_deployment("automation", "automation", {"spec": {"replicas": 0}})
        if not wait_until(
            lambda: not self.kube.pods("automation", "automation"),
            seconds=AUTOMATION_STOP_SECONDS,
            every=0.05,
        ):
            raise DeadlineExceeded(
                "the automation's pod did not go away",
                hint=f"kubectl -n {self.namespaces.real('automation')} get pods",
            )

    def _has(self, namespace: str, name: str) -> bool:
        """Does a Deployment have its one pod, ready?"""
        wanted = [d for d in self.kube.deployments() if (namespace_of(d), name_of(d)) == (namespace, name)]
        return bool(wanted) and is_available(wanted[0], 1)

    def close(self) -> None:
        """Give all connections back; the lab goes on."""
        for name in ("pager", "faults", "gateway", "kube"):
            client = self.__dict__.pop(name, None)
            if client is not None:
                client.close()

    def down(self) -> None:
        """Remove the lab and all that it left."""
        self.close()
        remove(self.directory)


def is_available(deployment: KubeObject, replicas: int | None = None) -> bool:
    """Is a Deployment rolled out: everything updated, available and nothing left over?"""
    wanted = deployment["spec"]["replicas"] if replicas is None else replicas
    status = deployment.get("status") or {}
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    return (
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and deployment["spec"]["replicas"] == wanted
        and all((status.get(count) or 0) == wanted for count in counts)
    )


def open_lab(name: str) -> Lab:
    """The running lab of that name. Raises NotReadyError when it is not up."""
    directory = lab_directory(name)
    record = read_record(directory)
    if record is None:
        raise NotReadyError(f"no lab named {name!r} is up", hint="lab up starts one")
    cluster = provider_of(record.settings).find(directory)
    if cluster is None:
        raise NotReadyError(
            f"the lab {name!r} is down: its cluster's process is gone",
            hint="lab up starts it anew; lab down removes what it left",
        )
    if not record.addresses:
        raise NotReadyError(
            f"the lab {name!r} is unfinished: the command that brings it up is not done, or was killed",
            hint="lab up starts it anew; lab down removes what there is of it",
        )
    return Lab(directory, record, cluster, (directory / "admin-token").read_text())


def remove(directory: Path) -> None:
    """Remove a lab's cluster and folder, running or not. An interrupt waits until that is done.."""
    with interrupt.held():
        record = read_record(directory)
        provider_of(record.settings if record else LabSettings()).delete(directory)
        shutil.rmtree(directory, ignore_errors=True)


def all_labs() -> list[tuple[str, LabRecord | None]]:
    """Every lab's folder on this machine with its record, by name."""
    if not labs_home().is_dir():
        return []
    folders = sorted(p for p in labs_home().iterdir() if p.is_dir())
    return [(folder.name, read_record(folder)) for folder in folders]


def is_orphan(record: LabRecord | None) -> bool:
    """Does it belong to a process that is gone?"""
    return record is not None and record.owner is not None and not is_running(*record.owner)


def remove_orphans() -> list[str]:
    """Remove throw-away labs whose owner is gone (killed in the middle of a grade); their names."""
    removed = []
    for name, record in all_labs():
        if is_orphan(record):
            remove(lab_directory(name))
            removed.append(name)
    return removed
