"""The columns of PersistentVolumes, their claims and classes.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from lab.kube.objects import KubeObject
from lab.localkube.api.columns import AGE, NAME, UNSET, Column, at, field

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_DEFAULTS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


def _modes(obj: KubeObject, *path: str) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in (at(obj, *path) or ()))


def _of_bound(name: str, cell: Callable[[KubeObject], str]) -> Column:
    """A column of a claim that says nothing until the claim has its volume."""
    return Column(name, lambda obj, _: cell(obj) if at(obj, "spec", "volumeName") else "")


def _phase(obj: KubeObject, _: datetime) -> str:
    if at(obj, "metadata", "deletionTimestamp"):
        return "Terminating"
    return str(at(obj, "status", "phase", default=""))


def _claim(obj: KubeObject, _: datetime) -> str:
    reference = at(obj, "spec", "claimRef") or {}
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else ""


def _class_name(obj: KubeObject, _: datetime) -> str:
    name = str(at(obj, "metadata", "name", default=""))
    default = "true" in (at(obj, "metadata", "annotations", key) for key in _DEFAULTS)
    return f"{name} (default)" if default else name


def _storage_class(obj: KubeObject, _: datetime) -> str:
    old = at(obj, "metadata", "annotations", _OLD_CLASS)
    return str(old if old is not None else at(obj, "spec", "storageClassName", default=""))


_CLASS = Column("StorageClass", _storage_class)
_ATTRIBUTES = field("VolumeAttributesClass", "spec", "volumeAttributesClassName", default=UNSET)
_MODE = field("VolumeMode", "spec", "volumeMode", default=UNSET, wide=True)

VOLUME_COLUMNS: Mapping[str, Sequence[Column]] = {
    "persistentvolumeclaims": (
        NAME,
        Column("Status", _phase),
        field("Volume", "spec", "volumeName", default=""),
        _of_bound("Capacity", lambda obj: at(obj, "status", "capacity", "storage", default="0")),
        _of_bound("Access Modes", lambda obj: _modes(obj, "status", "accessModes")),
        _CLASS,
        _ATTRIBUTES,
        AGE,
        _MODE,
    ),
    "persistentvolumes": (
        NAME,
        field("Capacity", "spec", "capacity", "storage", default="0"),
        Column("Access Modes", lambda obj, _: _modes(obj, "spec", "accessModes")),
        field("Reclaim Policy", "spec", "persistentVolumeReclaimPolicy", default=""),
        Column("Status", _phase),
        Column("Claim", _claim),
        _CLASS,
        _ATTRIBUTES,
        field("Reason", "status", "reason", default=""),
        AGE,
        _MODE,
    ),
    "storageclasses.storage.k8s.io": (
        Column("Name", _class_name, format="name"),
        field("Provisioner", "provisioner", default=""),
        field("ReclaimPolicy", "reclaimPolicy", default=""),
        field("VolumeBindingMode", "volumeBindingMode", default=""),
        Column("AllowVolumeExpansion", lambda obj, _: bool(at(obj, "allowVolumeExpansion"))),
        AGE,
    ),
}
"""By `Resource.key`."""
