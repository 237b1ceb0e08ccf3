"""The PersistentVolumeClaims of a StatefulSet's pods: one of each template for each ordinal.

Source: pkg/controller/statefulset/stateful_pod_control.go, stateful_set_utils.go.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.controllers.base import Controller, deleting, owner_reference
from lab.localkube.controllers.pods import PODS
from lab.localkube.controllers.stateful_pods import STATEFULSETS, exists, ordinal_of

CLAIMS = builtin("PersistentVolumeClaim")


def templates(owner: KubeObject, pod: KubeObject) -> Iterator[tuple[str, KubeObject]]:
    """The volume's name and the template of each claim that a pod has."""
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        yield name_of(template), template


def claim_name(owner: KubeObject, pod: KubeObject, volume: str) -> str:
    """`<template>-<set>-<ordinal>`."""
    return f"{volume}-{name_of(owner)}-{ordinal_of(pod)}"


def mount(owner: KubeObject, pod: KubeObject) -> None:
    """Add the claims' volumes to a new pod, in place; they replace template volumes of the same name."""
    volumes = [
        {"name": volume, "persistentVolumeClaim": {"claimName": claim_name(owner, pod, volume)}}
        for volume, _ in templates(owner, pod)
    ]
    if volumes:
        taken = {volume["name"] for volume in volumes}
        others = [each for each in pod["spec"].get("volumes") or () if each["name"] not in taken]
        pod["spec"]["volumes"] = [*volumes, *others]


def create_missing(controller: Controller, owner: KubeObject, pod: KubeObject) -> None:
    """Create the claims that a pod lacks. Raises StatusError when one is refused."""
    for volume, template in templates(owner, pod):
        name = claim_name(owner, pod, volume)
        if controller.cache.get(CLAIMS.key, namespace_of(owner), name) is not None:
            continue
        metadata = template.get("metadata") or {}
        labels = (metadata.get("labels") or {}) | (owner["spec"]["selector"].get("matchLabels") or {})
        claim = {
            "apiVersion": CLAIMS.api_version,
            "kind": CLAIMS.kind,
            "metadata": {"name": name, "labels": labels, "annotations": metadata.get("annotations") or {}},
            "spec": copy.deepcopy(template["spec"]),
        }
        text = f"create Claim {name} Pod {name_of(pod)} in StatefulSet {name_of(owner)}"
        try:
            controller.registry.create(CLAIMS, namespace_of(owner), claim)
        except StatusError as error:
            failure = f"{text} failed error: {error.message}"
            controller.events.event(owner, "Warning", "FailedCreate", failure)
            raise
        controller.events.event(owner, "Normal", "SuccessfulCreate", f"{text} success")


def stale(controller: Controller, owner: KubeObject, pod: KubeObject) -> bool:
    """Is one of the claims of a pod to be created about to go, with itself or with an earlier pod?"""
    for _, claim in _present(controller, owner, pod):
        references = claim["metadata"].get("ownerReferences") or ()
        if deleting(claim) or any(each.get("kind") == "Pod" for each in references):
            return True
    return False


def retain(controller: Controller, owner: KubeObject, pod: KubeObject, *, condemned: bool) -> None:
    """Let a pod's claims belong to whom the retention policy says: the set, the condemned pod, or nobody."""
    policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    on_delete, on_scale = (policy.get(each) == "Delete" for each in ("whenDeleted", "whenScaled"))
    by_pod = on_scale and condemned
    wanted = []
    if by_pod:
        wanted.append(owner_reference(PODS, pod))
    elif on_delete:
        wanted.append(owner_reference(STATEFULSETS, owner))
    ours = {owner["metadata"]["uid"], pod["metadata"]["uid"]} if exists(pod) else set()
    for _, claim in _present(controller, owner, pod):
        references = claim["metadata"].get("ownerReferences") or []
        kept = [each for each in references if each.get("uid") not in ours]
        if references != [*kept, *wanted]:
            change = {"metadata": {"ownerReferences": [*kept, *wanted] or None}}
            controller.patch(CLAIMS, claim, change)


def _present(controller: Controller, owner: KubeObject, pod: KubeObject) -> Iterator[tuple[str, KubeObject]]:
    for volume, _ in templates(owner, pod):
        name = claim_name(owner, pod, volume)
        claim = controller.cache.get(CLAIMS.key, namespace_of(owner), name)
        if claim is not None:
            yield volume, claim
