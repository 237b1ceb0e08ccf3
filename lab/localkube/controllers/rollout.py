"""The arithmetic of rolling updates, free of any cluster. Source: pkg/controller/deployment/util."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

from lab.kube.objects import KubeObject

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
HASH = "pod-template-hash"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        HISTORY,
        DESIRED,
        MAX,
    }
)
"""Deployment annotations that its ReplicaSets do not inherit."""

_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def replicas_of(obj: KubeObject | None) -> int:
    """spec.replicas; 0 for None."""
    return 0 if obj is None else int(obj["spec"].get("replicas", 1))


def total(sets: Iterable[KubeObject | None]) -> int:
    """The replicas that these ReplicaSets want together."""
    return sum(replicas_of(each) for each in sets)


def resolve(value: Any, replicas: int, *, up: bool) -> int:
    """An int-or-percent of the replicas, rounded up or down. Raises ValueError when it is neither."""
    if isinstance(value, str) and value.endswith("%"):
        exact = int(value[:-1]) * replicas / 100
        return math.ceil(exact) if up else math.floor(exact)
    return int(value)


def fenceposts(deployment: KubeObject) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods. Surge rounds up, unavailable down; both 0 become (0, 1).

    A Recreate deployment has (0, 0).
    """
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return 0, 0
    replicas = replicas_of(deployment)
    rolling = strategy.get("rollingUpdate") or {}
    surge = resolve(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = resolve(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def max_unavailable(deployment: KubeObject) -> int:
    """How many of the replicas may be unavailable."""
    return min(fenceposts(deployment)[1], replicas_of(deployment))


def new_set_size(deployment: KubeObject, sets: list[KubeObject], new: KubeObject, lag: int = 0) -> int:
    """How large the newest ReplicaSet may be now; `lag` pods are still to be deleted by their owners."""
    wanted = replicas_of(deployment)
    if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        return wanted
    room = wanted + fenceposts(deployment)[0] - total(sets) - lag
    if room <= 0:
        return replicas_of(new)
    return replicas_of(new) + max(0, min(room, wanted - replicas_of(new)))


def proportions(deployment: KubeObject, sets: list[KubeObject], surge: int) -> list[tuple[KubeObject, int]]:
    """New sizes of the active ReplicaSets of a deployment that is scaled amid a rollout.

    Each grows or shrinks by its share of the change; the largest takes the rest.
    """
    wanted = replicas_of(deployment)
    allowed = wanted + surge if wanted > 0 else 0
    change = allowed - total(sets)
    if change == 0:
        return [(each, replicas_of(each)) for each in sets]
    ordered = sorted(sets, key=lambda each: each["metadata"]["creationTimestamp"], reverse=change > 0)
    ordered.sort(key=replicas_of, reverse=True)
    added, sizes = 0, []
    for each in ordered:
        share = _share(each, deployment, surge)
        share = min(share, change - added) if change > 0 else max(share, change - added)
        if replicas_of(each) == 0:
            share = 0
        added += share
        sizes.append(replicas_of(each) + share)
    sizes[0] = max(0, sizes[0] + change - added)
    return list(zip(ordered, sizes, strict=True))


def _share(each: KubeObject, deployment: KubeObject, surge: int) -> int:
    wanted, size = replicas_of(deployment), replicas_of(each)
    if wanted == 0:
        return -size
    before = (each["metadata"].get("annotations") or {}).get(MAX, "")
    status = deployment.get("status") or {}
    base = int(before) if before.isdigit() and int(before) else int(status.get("replicas") or 0)
    if not base:
        return 0
    return math.floor(size * (wanted + surge) / base + 0.5) - size


def template_hash(template: KubeObject, collisions: int) -> str:
    """The pod-template-hash: ten characters that never spell a word."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":")) + f"#{collisions or ''}"
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_SAFE[byte % len(_SAFE)] for byte in digest[:10])


def same_template(left: KubeObject, right: KubeObject) -> bool:
    """Are two pod templates equal but for the pod-template-hash?"""
    return _bare(left) == _bare(right)


def _bare(template: KubeObject) -> KubeObject:
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH}
    metadata = {key: value for key, value in metadata.items() if value}
    return {"metadata": metadata, "spec": template.get("spec")}


def revision_of(obj: KubeObject) -> int:
    """Its revision annotation, 0 when there is none."""
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "")
    return int(text) if text.isdigit() else 0
