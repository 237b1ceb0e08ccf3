"""Volumes and claims.

Source: k8s.io/kubernetes/pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.localkube.registry.names import subdomain_problem
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.metadata import check_expressions, check_labels
from lab.localkube.registry.validation.numbers import check_quantity
from lab.localkube.registry.validation.volumes import check_volume_paths

_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_VOLUME_MODES = ("Block", "Filesystem")
_NO_SOURCES = frozenset(
    (
        *("accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "storageClassName"),
        *("persistentVolumeReclaimPolicy", "volumeAttributesClassName", "volumeMode"),
    )
)
"""The fields of a volume's spec that do not say where it is."""


def check_volume(obj: KubeObject, causes: Causes) -> None:
    """A PersistentVolume."""
    spec = obj.get("spec") or {}
    _check_access_modes(spec, "", causes)
    capacity = spec.get("capacity")
    if not capacity:
        causes.required("spec.capacity")
    if list(capacity or ()) != ["storage"]:
        causes.unsupported("spec.capacity", capacity and dict(sorted(capacity.items())), ("storage",))
    for name, amount in (capacity or {}).items():
        _check_positive(amount, f"spec.capacity[{name}]", causes)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy not in _RECLAIM_POLICIES:
        causes.unsupported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM_POLICIES)
    sources = [field for field in spec if field not in _NO_SOURCES]
    for extra in sorted(sources)[1:]:
        causes.forbidden(f"spec.{extra}", "may not specify more than 1 volume type")
    check_volume_paths(spec, "spec", causes)
    if not sources:
        causes.required("spec", "must specify a volume type")
    if "local" in spec and not spec.get("nodeAffinity"):
        causes.required("spec.nodeAffinity", "Local volume requires node affinity")
    if policy == "Recycle" and (spec.get("hostPath") or {}).get("path") == "/":
        why = "may not be 'recycle' for a hostPath mount of '/'"
        causes.forbidden("spec.persistentVolumeReclaimPolicy", why)
    _check_class_and_mode(spec, causes)


def check_claim(obj: KubeObject, causes: Causes) -> None:
    """A PersistentVolumeClaim."""
    check_claim_spec(obj.get("spec") or {}, causes)


def check_claim_spec(spec: KubeObject, causes: Causes) -> None:
    """The spec of a claim."""
    selector = spec.get("selector") or {}
    check_labels(selector.get("matchLabels"), "spec.selector.matchLabels", causes)
    check_expressions(selector, "spec.selector", causes)
    _check_access_modes(spec, "at least 1 access mode is required", causes)
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if wanted is None:
        causes.required("spec.resources[storage]")
    else:
        _check_positive(wanted, "spec.resources[storage]", causes)
    _check_class_and_mode(spec, causes)


def _check_access_modes(spec: KubeObject, why: str, causes: Causes) -> None:
    modes = spec.get("accessModes") or ()
    if not modes:
        causes.required("spec.accessModes", why)
    for mode in modes:
        if mode not in _ACCESS_MODES:
            causes.unsupported("spec.accessModes", mode, _ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        causes.forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes")


def _check_positive(amount: str, path: str, causes: Causes) -> None:
    before = len(causes.found)
    value = check_quantity(amount, path, causes)
    if value is not None and value <= 0:
        del causes.found[before:]
        causes.invalid(path, amount, "must be greater than zero")


def _check_class_and_mode(spec: KubeObject, causes: Causes) -> None:
    name, mode = spec.get("storageClassName"), spec.get("volumeMode")
    if name and subdomain_problem(name):
        causes.invalid("spec.storageClassName", name, subdomain_problem(name))
    if mode is not None and mode not in _VOLUME_MODES:
        causes.unsupported("spec.volumeMode", mode, _VOLUME_MODES)


def check_revision(obj: KubeObject, causes: Causes) -> None:
    """A ControllerRevision: what a controller stores of earlier templates."""
    if obj.get("data") is None:
        causes.required("data", "data is mandatory")
    if obj.get("revision", 0) < 0:
        causes.invalid("revision", obj["revision"], "must be greater than or equal to 0")


def check_revision_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """What is stored does not change."""
    if old.get("data") != new.get("data"):
        causes.invalid("data", new.get("data"), "field is immutable")
