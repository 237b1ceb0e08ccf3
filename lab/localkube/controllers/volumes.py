"""Gives each PersistentVolumeClaim a directory of its own on this machine, and takes it away with the claim.

It stands in for upstream's pkg/controller/volume/persistentvolume and for a provisioner. The size that a
claim asks for is noted and not enforced.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import Context, Controller, deleting, key_of
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent

CLAIMS = builtin("PersistentVolumeClaim")
VOLUMES = builtin("PersistentVolume")
CLASSES = builtin("StorageClass")
STANDARD = "standard"
PROVISIONER = "localkube/directory"
IN_USE = "kubernetes.io/pvc-protection"
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_BOUND = "pv.kubernetes.io/"


class VolumeBinder(Controller):
    """PersistentVolumeClaim → PersistentVolume below `directory`."""

    name = "persistentvolume-binder"
    component = "persistentvolume-controller"
    listens = frozenset({CLAIMS.key, VOLUMES.key, "pods"})

    def __init__(self, context: Context, directory: Path) -> None:
        super().__init__(context)
        self._directory = directory

    def begin(self) -> None:
        """A default class, so that a claim that names none gets a volume."""
        if self.cache.get(CLASSES.key, "", STANDARD) is None:
            metadata = {"name": STANDARD, "annotations": {_DEFAULT: "true"}}
            self.registry.create(CLASSES, "", {"metadata": metadata, "provisioner": PROVISIONER})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "persistentvolumeclaims":
            return [key_of(event.object)]
        if resource.plural == "persistentvolumes":
            claim = event.object["spec"].get("claimRef")
            return [(str(claim.get("namespace")), str(claim.get("name")))] if claim else ()
        if event.type != "DELETED" and not podfacts.terminal(event.object):
            return ()
        return [(namespace_of(event.object), name) for name in claims_of(event.object)]

    def reconcile(self, key: Key) -> float | None:
        claim = self.cache.get(CLAIMS.key, *key)
        self._reclaim(key, claim)
        if claim is None:
            return None
        finalizers = claim["metadata"].get("finalizers") or []
        if deleting(claim):
            if IN_USE in finalizers and not self._used(claim):
                rest = [each for each in finalizers if each != IN_USE]
                self.patch(CLAIMS, claim, {"metadata": {"finalizers": rest or None}})
        elif IN_USE not in finalizers:
            self.patch(CLAIMS, claim, {"metadata": {"finalizers": [*finalizers, IN_USE]}})
        elif (claim.get("status") or {}).get("phase") != "Bound":
            self._bind(claim)
        return None

    def _used(self, claim: KubeObject) -> bool:
        """Has a pod it that has not ended?"""
        pods = self.cache.all("pods", namespace_of(claim))
        return any(name_of(claim) in claims_of(pod) and not podfacts.terminal(pod) for pod in pods)

    def _bind(self, claim: KubeObject) -> None:
        wanted = claim["spec"].get("storageClassName")
        if wanted is None:
            claim = self.patch(CLAIMS, claim, {"spec": {"storageClassName": STANDARD}})
        elif wanted == "":
            message = "no persistent volumes available for this claim and no storage class is set"
            self.events.event(claim, "Normal", "FailedBinding", message)
            return
        elif not self._provides(wanted):
            message = f"no volume of storageclass {wanted!r}: only {PROVISIONER} provides volumes here"
            self.events.event(claim, "Warning", "ProvisioningFailed", message)
            return
        if claim["spec"].get("volumeMode") == "Block":
            message = "volumeMode Block is not supported: a volume is a directory"
            self.events.event(claim, "Warning", "ProvisioningFailed", message)
            return
        name = f"pvc-{claim['metadata']['uid']}"
        if claim["spec"].get("volumeName") not in (None, "", name):
            message = "volumes made by hand are not bound; leave volumeName out to get a directory"
            self.events.event(claim, "Warning", "FailedBinding", message)
            return
        volume = self.cache.get(VOLUMES.key, "", name) or self._provision(name, claim)
        done = {_BOUND + "bind-completed": "yes", _BOUND + "bound-by-controller": "yes"}
        change = {"metadata": {"annotations": done}, "spec": {"volumeName": name}}
        claim = self.patch(CLAIMS, claim, change)
        spec = volume["spec"]
        status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": spec["capacity"]}
        self.write_status(CLAIMS, claim, status)

    def _provides(self, storage_class: str) -> bool:
        found = self.cache.get(CLASSES.key, "", storage_class)
        return found is not None and found.get("provisioner") == PROVISIONER

    def _provision(self, name: str, claim: KubeObject) -> KubeObject:
        path = self._directory / name
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        request = (claim["spec"].get("resources") or {}).get("requests") or {}
        volume = {
            "metadata": {"name": name, "annotations": {_BOUND + "provisioned-by": PROVISIONER}},
            "spec": {
                "capacity": {"storage": request.get("storage", "0")},
                "accessModes": claim["spec"].get("accessModes") or [],
                "persistentVolumeReclaimPolicy": self._reclaim_policy(claim),
                "storageClassName": claim["spec"]["storageClassName"],
                "volumeMode": "Filesystem",
                "hostPath": {"path": str(path), "type": ""},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": namespace_of(claim),
                    "name": name_of(claim),
                    "uid": claim["metadata"]["uid"],
                },
            },
        }
        made = self.registry.create(VOLUMES, "", volume)
        self.write_status(VOLUMES, made, {"phase": "Bound"})
        message = f"Successfully provisioned volume {name}"
        self.events.event(claim, "Normal", "ProvisioningSucceeded", message)
        return made

    def _reclaim_policy(self, claim: KubeObject) -> str:
        found = self.cache.get(CLASSES.key, "", claim["spec"]["storageClassName"]) or {}
        return str(found.get("reclaimPolicy") or "Delete")

    def _reclaim(self, key: Key, claim: KubeObject | None) -> None:
        """Delete the volumes of earlier claims of that name with their data, or release them."""
        for volume in self.cache.all(VOLUMES.key):
            reference = volume["spec"].get("claimRef") or {}
            if (reference.get("namespace"), reference.get("name")) != key:
                continue
            if claim is not None and reference.get("uid") == claim["metadata"]["uid"]:
                continue
            if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
                self.write_status(VOLUMES, volume, {"phase": "Released"})
            elif (volume["metadata"].get("annotations") or {}).get(_BOUND + "provisioned-by") == PROVISIONER:
                self.delete(VOLUMES, volume)
                _remove(self._directory / name_of(volume))


def _remove(path: Path) -> None:
    """Remove a directory beside the event loop: it may be large."""
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, lambda: shutil.rmtree(path, ignore_errors=True))


def claims_of(pod: KubeObject) -> list[str]:
    """The names of the claims that a pod mounts."""
    sources = [each.get("persistentVolumeClaim") for each in pod["spec"].get("volumes") or ()]
    return [str(source["claimName"]) for source in sources if source]
