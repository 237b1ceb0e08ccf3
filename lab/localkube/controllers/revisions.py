"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, oldest first.

Source: pkg/controller/history, pkg/controller/daemon/update.go.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lab.kube.objects import KubeObject, labels_of, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.controllers.base import Controller, owner_reference
from lab.localkube.controllers.claiming import claim
from lab.localkube.controllers.rollout import template_hash

REVISIONS = builtin("ControllerRevision")
POD_REVISION = "controller-revision-hash"
"""The label by which a pod says of which revision it is."""


@dataclass(frozen=True, slots=True)
class History:
    """An owner's revisions, the newest last, which has the present template.

    collisions: how often a name was taken by another template so far.
    """

    revisions: list[KubeObject]
    collisions: int

    @property
    def newest(self) -> KubeObject:
        """The revision of the present template."""
        return self.revisions[-1]

    def named(self, name: str) -> KubeObject | None:
        """The revision of that name."""
        return next((each for each in self.revisions if name_of(each) == name), None)


def snapshot(owner: KubeObject) -> KubeObject:
    """What a revision keeps: a strategic merge patch that brings the template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def with_revision(owner: KubeObject, revision: KubeObject) -> KubeObject:
    """The owner as it was at a revision."""
    template = dict(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return {**owner, "spec": {**owner["spec"], "template": template}}


def sync_history(controller: Controller, resource: Resource, owner: KubeObject, hash_label: str) -> History:
    """The owner's history with its present template as the newest revision.

    An earlier equal revision gets a new number; else one is created, with its hash under `hash_label`.
    """
    revisions = sorted(claim(controller, REVISIONS, resource, owner), key=_rank)
    data = snapshot(owner)
    equal = next((each for each in reversed(revisions) if each.get("data") == data), None)
    number = max((int(each["revision"]) for each in revisions), default=0) + 1
    collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
    if equal is not None and equal is revisions[-1]:
        return History(revisions, collisions)
    older = [each for each in revisions if each is not equal]
    if equal is not None:
        return History([*older, controller.patch(REVISIONS, equal, {"revision": number})], collisions)
    made, collisions = _create(controller, resource, owner, hash_label, number, collisions)
    return History([*older, made], collisions)


def _rank(revision: KubeObject) -> tuple[int, str, str]:
    return int(revision["revision"]), revision["metadata"]["creationTimestamp"], name_of(revision)


def _create(
    controller: Controller,
    resource: Resource,
    owner: KubeObject,
    hash_label: str,
    number: int,
    collisions: int,
) -> tuple[KubeObject, int]:
    """A new revision, and the collisions after it."""
    while True:
        digest = template_hash(owner["spec"]["template"], collisions)
        revision = {
            "apiVersion": REVISIONS.api_version,
            "kind": REVISIONS.kind,
            "metadata": {
                "name": f"{name_of(owner)}-{digest}",
                "labels": {**labels_of(owner["spec"]["template"]), hash_label: digest},
                "annotations": dict(owner["metadata"].get("annotations") or {}),
                "ownerReferences": [owner_reference(resource, owner)],
            },
            "data": snapshot(owner),
            "revision": number,
        }
        try:
            return controller.registry.create(REVISIONS, namespace_of(owner), revision), collisions
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            collisions += 1


def truncate(controller: Controller, owner: KubeObject, history: History, live: Collection[str]) -> None:
    """Delete the oldest revisions beyond the limit that are neither the newest nor named in `live`."""
    limit = owner["spec"].get("revisionHistoryLimit")
    dead = [each for each in history.revisions[:-1] if name_of(each) not in live]
    if limit is not None:
        for each in dead[: max(0, len(dead) - int(limit))]:
            controller.delete(REVISIONS, each)
