"""Adopting orphans that a selector chooses, releasing what it no longer does.

Source: pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.kube.objects import KubeObject, labels_of, namespace_of
from lab.kube.resources import Resource
from lab.localkube.controllers.base import Controller, deleting, owner_reference
from lab.localkube.controllers.selectors import matches

Test = Callable[[KubeObject], bool]


def claim(
    controller: Controller,
    resource: Resource,
    owner_resource: Resource,
    owner: KubeObject,
    *,
    member: Test = lambda _: True,
    adoptable: Test = lambda obj: not deleting(obj),
) -> list[KubeObject]:
    """The objects of a resource that the owner controls.

    It keeps what its selector chooses and `member` accepts, and adopts orphans that are `adoptable`.
    An owner that is being deleted neither adopts nor releases.
    """
    namespace, selector, uid = namespace_of(owner), owner["spec"]["selector"], owner["metadata"]["uid"]
    mine = []
    for obj in controller.cache.controlled(resource.key, namespace, uid):
        if matches(selector, labels_of(obj)) and member(obj):
            mine.append(obj)
        elif not deleting(owner):
            rest = [ref for ref in obj["metadata"]["ownerReferences"] if ref.get("uid") != uid]
            controller.patch(resource, obj, {"metadata": {"ownerReferences": rest or None}})
    if deleting(owner):
        return mine
    for obj in controller.cache.controlled(resource.key, namespace, ""):
        if adoptable(obj) and matches(selector, labels_of(obj)) and member(obj):
            references = [
                *(obj["metadata"].get("ownerReferences") or ()),
                owner_reference(owner_resource, owner),
            ]
            mine.append(controller.patch(resource, obj, {"metadata": {"ownerReferences": references}}))
    return mine
