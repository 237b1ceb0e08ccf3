"""The columns of PersistentVolumes, their claims and classes.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from lab.kube.objects import KubeObject
from lab.localkube.api.columns import AGE, NAME, UNSET, Column, at, field

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def _modes(*path: str) -> Column:
    def cell(obj: KubeObject, _: datetime) -> str:
        return ",".join(short for mode, short in _MODES.items() if mode in (at(obj, *path) or ()))

    return Column("Access Modes", cell)


def _phase(obj: KubeObject, _: datetime) -> str:
    if at(obj, "metadata", "deletionTimestamp"):
        return "Terminating"
    return str(at(obj, "status", "phase", default=""))


def _claim(obj: KubeObject, _: datetime) -> str:
    reference = at(obj, "spec", "claimRef") or {}
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else ""


def _class_name(obj: KubeObject, _: datetime) -> str:
    name = str(at(obj, "metadata", "name", default=""))
    default = at(obj, "metadata", "annotations", _DEFAULT) == "true"
    return f"{name} (default)" if default else name


_CLASS = field("StorageClass", "spec", "storageClassName", default="")
_ATTRIBUTES = field("VolumeAttributesClass", "spec", "volumeAttributesClassName", default=UNSET)
_MODE = field("VolumeMode", "spec", "volumeMode", default=UNSET, wide=True)

VOLUME_COLUMNS: Mapping[str, Sequence[Column]] = {
    "persistentvolumeclaims": (
        NAME,
        Column("Status", _phase),
        field("Volume", "spec", "volumeName", default=""),
        field("Capacity", "status", "capacity", "storage", default=""),
        _modes("status", "accessModes"),
        _CLASS,
        _ATTRIBUTES,
        AGE,
        _MODE,
    ),
    "persistentvolumes": (
        NAME,
        field("Capacity", "spec", "capacity", "storage", default=""),
        _modes("spec", "accessModes"),
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
        Column("AllowVolumeExpansion", lambda obj, _: str(bool(at(obj, "allowVolumeExpansion"))).lower()),
        AGE,
    ),
}
"""By `Resource.key`."""
