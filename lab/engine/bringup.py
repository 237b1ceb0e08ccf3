"""Bringing a lab up: a cluster, the lab's objects in it, and the wait until every part is ready.

The same manifests (clusters/base) go to every provider. What cannot be a file, because it is secret or
depends on an address or the time scale, is made here.
"""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from lab.core import interrupt
from lab.core.clock import SystemClock, rfc3339
from lab.core.places import data_root
from lab.engine.boundaries import bounded
from lab.engine.existing import find_existing, objects_for, refuse_own, stand_in, wait_scraped
from lab.engine.kept import without_kept
from lab.engine.lab import Lab, LabRecord, lab_directory, labs_home, write_record
from lab.engine.objects import DATABASE_OPS, made_objects
from lab.engine.parts import OPTIONAL, files_of, part_names, refuse_lacking
from lab.engine.providers import provider_of
from lab.engine.readiness import Progress, wait_ready
from lab.engine.settings import LabSettings
from lab.errors import ConfigError, LabError, NotReadyError, ProviderError, UsageError
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.process import process_started
from lab.providers.base import LAB_LABEL, Provider
from lab.providers.registry import OWN_IMAGE

NEEDED_BYTES = 200 * 1024 * 1024
KEPT = ("db", "logstore", "load")
"""Deployments whose data are on their node, and the customers, who are outside."""
_FIRST = {
    "weight": 100,
    "preference": {
        "matchExpressions": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]
    },
}
EVERY_ADDRESS = "0.0.0.0"
SLOWEST = "db"
"""The Deployment that takes longest and that others wait for: it is created first."""

_ORDER = (
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "Service",
)


def _silent(step: str, done: int, total: int) -> None:
    """No progress wanted."""


def bring_up(
    settings: LabSettings, *, throw_away: bool = False, progress: Progress = _silent, retain: bool = False
) -> Lab:
    """Start a lab and return it when every part is ready.

    throw_away: the lab belongs to this process, and the next lab command removes it when this process has
    died. retain: leave a failed lab for a look; otherwise nothing is left of it.

    Raises NotReadyError when something is missing, ProviderError, LabError, and DeadlineExceeded naming each
    part that is not ready and its last log line.
    """
    directory = lab_directory(settings.name)
    provider = provider_of(settings)
    owner = (os.getpid(), process_started(os.getpid())) if throw_away else None
    record = LabRecord(settings, rfc3339(SystemClock().now()), {}, owner)
    _check_space(labs_home())
    with interrupt.held():  # so that no process is started whose number is not yet on record
        try:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
            write_record(directory, record)
            lab = _bring_up(settings, directory, provider, record, progress)
            interrupt.check()
            return lab
        except BaseException as failure:
            if not retain or isinstance(failure, KeyboardInterrupt):
                _undo(provider, directory, failure)
            raise


def _undo(provider: Provider, directory: Path, failure: BaseException) -> None:
    """Leave nothing. Where that cannot be, say so and keep the folder, by which `lab down` finds the rest."""
    try:
        provider.delete(directory)
    except LabError as error:
        why = str(failure) or "interrupted"
        raise ProviderError(
            f"{why}\nand what there is of the lab could not be taken away: {error}",
            hint=f"{error.hint}; then lab down --name {directory.name}".removeprefix("; "),
        ) from failure
    shutil.rmtree(directory, ignore_errors=True)


def _check_space(home: Path) -> None:
    """Raise NotReadyError when the disk has no room for a lab."""
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if free < NEEDED_BYTES:
        raise NotReadyError(
            f"only {free >> 20} MiB are free at {home}, and a lab needs {NEEDED_BYTES >> 20} MiB",
            hint="free some space, or choose another folder with LAB_HOME",
        )


def _bring_up(
    settings: LabSettings, directory: Path, provider: Provider, record: LabRecord, progress: Progress
) -> Lab:
    folder = data_root() / "clusters"
    manifests = load_manifests(folder / "base", *files_of(settings.parts, folder / "parts"))
    deployments = [m for m in manifests if m["kind"] == "Deployment"]
    _switch_on(deployments, settings.parts)
    refuse_lacking(deployments, provider)
    refuse_own(settings)
    _staff(manifests, settings.workers)
    if settings.nodes > 1:
        _keep_together(deployments)
    deployments.sort(key=lambda m: name_of(m) != SLOWEST)
    total = sum(1 for m in deployments if m["spec"].get("replicas", 1)) + 2
    progress("Kubernetes API", 0, total)
    importing = threading.Thread(target=importlib.import_module, args=("lab.engine.kube",))
    importing.start()  # half a second of imports, spent while the cluster starts
    cluster = provider.create(
        directory,
        nodes=settings.nodes,
        hour_seconds=settings.hour_seconds,
        say=lambda step: progress(step, 0, total),
    )
    importing.join()
    images = dict(cluster.images) | ({OWN_IMAGE: settings.image} if settings.image else {})
    if cluster.shared:
        manifests = bounded(manifests, load_manifests(folder / "boundaries"))
    for manifest in manifests:
        _sign(manifest, settings, images)
        _open_ports(manifest, cluster.node_ports)
    from lab.engine.kube import Kube

    kube = Kube(cluster.kubeconfig, cluster.namespaces)
    manifests = without_kept(manifests, kube, cluster)
    existing = find_existing(kube, settings, cluster.namespaces)
    stand_in(deployments, existing)
    progress("manifests", 1, total)
    admin_token = secrets.token_urlsafe(32)
    _write_secret(directory / "admin-token", admin_token)
    interrupt.check()
    for manifest in manifests:
        if manifest["kind"] != "Deployment":
            kube.create(manifest)
    addresses = kube.cluster_ips()
    listen = EVERY_ADDRESS if cluster.pod_network else ""
    if listen:
        _listen(deployments, listen)
    there = replace(settings, image=images.get(OWN_IMAGE, ""))
    made = made_objects(there, admin_token, addresses, listen, cluster.namespaces)
    for obj in made + objects_for(existing, settings.scale, cluster.namespaces):
        kube.create(_sign(obj, settings, images))
    for manifest in deployments:
        kube.create(manifest)
    record = LabRecord(settings, record.created_at, addresses, record.owner)
    write_record(directory, record)
    wait_ready(kube, progress, total, provider.ready_seconds)
    lab = Lab(directory, record, cluster, admin_token)
    lab.__dict__["kube"] = kube
    wait_scraped(lab, existing)
    return lab


def load_manifests(folder: Path, *files: Path) -> list[KubeObject]:
    """Every object of these and of every YAML file below a folder, in the order in which they can be created.

    Raises ConfigError naming every file that cannot be read and every object that occurs twice.
    """
    found: dict[tuple[str, str, str], KubeObject] = {}
    problems: list[str] = []
    for path in [*sorted(folder.rglob("*.yaml")), *files]:
        try:
            documents = [d for d in yaml.safe_load_all(path.read_text()) if d]
        except (OSError, yaml.YAMLError) as error:
            problems.append(f"{path}: {error}")
            continue
        for document in documents:
            key = (document.get("kind", ""), namespace_of(document), name_of(document))
            if key in found:
                problems.append(f"{path}: {'/'.join(key)} occurs twice")
            found[key] = document
    if problems or not found:
        raise ConfigError(f"the manifests in {folder} cannot be used", problems or ["there are none"])
    rank = {kind: place for place, kind in enumerate(_ORDER)}
    return sorted(found.values(), key=lambda m: rank.get(m["kind"], len(_ORDER)))


def _switch_on(deployments: list[KubeObject], wanted: frozenset[str]) -> None:
    """Give the optional parts that are wanted a pod. Raises UsageError for one that does not exist."""
    optional = {
        m["metadata"]["labels"][OPTIONAL]: m for m in deployments if OPTIONAL in m["metadata"]["labels"]
    }
    known = optional.keys() | part_names(data_root() / "clusters" / "parts") | {DATABASE_OPS}
    if unknown := wanted - known:
        raise UsageError(
            f"there is no optional part {sorted(unknown)[0]!r}",
            hint=f"there is: {', '.join(sorted(known))}",
        )
    for name in wanted & optional.keys():
        optional[name]["spec"]["replicas"] = 1


def _sign(manifest: KubeObject, settings: LabSettings, images: Mapping[str, str]) -> KubeObject:
    """Label an object as this lab's, and have its pods run the images that are there."""
    manifest["metadata"].setdefault("labels", {})[LAB_LABEL] = settings.name
    if manifest["kind"] == "Deployment":
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            container["image"] = images.get(container["image"], container["image"])
    return manifest


def _open_ports(manifest: KubeObject, node_ports: Mapping[str, int]) -> None:
    """Have a Service answer at ports of the nodes, where the cluster maps those to this machine."""
    if manifest["kind"] != "Service":
        return
    for port in manifest["spec"].get("ports") or ():
        found = node_ports.get(f"{namespace_of(manifest)}/{name_of(manifest)}:{port['port']}")
        if found:
            manifest["spec"]["type"] = "NodePort"
            port["nodePort"] = found


def _listen(deployments: list[KubeObject], address: str) -> None:
    """Have programs that take their address as an argument listen there; the lab's own read LAB_LISTEN."""
    for deployment in deployments:
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            if "args" in container:
                container["args"] = [argument.replace("$(POD_IP)", address) for argument in container["args"]]


def _staff(manifests: list[KubeObject], workers: int) -> None:
    """Give the shop so many workers; a quarter of them may be disrupted at once."""
    for manifest in manifests:
        if (namespace_of(manifest), name_of(manifest)) != ("shop", "worker"):
            continue
        if manifest["kind"] == "Deployment":
            manifest["spec"]["replicas"] = workers
        elif manifest["kind"] == "PodDisruptionBudget":
            manifest["spec"]["minAvailable"] = workers * 3 // 4


def _keep_together(deployments: list[KubeObject]) -> None:
    """Have on the first node what the lab cannot do without: any other may be lost."""
    for deployment in deployments:
        if namespace_of(deployment) == "lab-system" or name_of(deployment) in KEPT:
            pod = deployment["spec"]["template"]["spec"]
            pod["affinity"] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_FIRST]}}


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
