"""What is built in, and where each resource's objects lie in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lab.kube.objects import KubeObject
from lab.kube.resources import BUILTIN, Resource, builtin
from lab.kube.status import path_not_found
from lab.localkube.registry import autoscaling
from lab.localkube.registry.custom.resource import CustomResource
from lab.localkube.registry.events import EVENTS_GROUP, to_core_event, to_new_event

NAMESPACES = builtin("namespaces")
PODS = builtin("pods")
SERVICES = builtin("services")
BUDGETS = builtin("poddisruptionbudgets")
CORE_EVENTS = builtin("events", "")
NEW_EVENTS = builtin("events", EVENTS_GROUP)
AUTOSCALERS = builtin("horizontalpodautoscalers")
OLD_AUTOSCALERS = next(each for each in BUILTIN if each.plural == AUTOSCALERS.plural and each.version == "v1")
EQUIVALENT = ((CORE_EVENTS, NEW_EVENTS), (AUTOSCALERS, OLD_AUTOSCALERS))
"""Resources that show the same objects."""

POLICIES = builtin("validatingadmissionpolicies")
POLICY_BINDINGS = builtin("validatingadmissionpolicybindings")
CUSTOM_DEFINITIONS = builtin("customresourcedefinitions")


@dataclass(frozen=True, slots=True)
class Storage:
    """The stored collection behind a resource, and the conversions from and to its stored form."""

    key: str
    read: Callable[[KubeObject], KubeObject]
    write: Callable[[KubeObject], KubeObject]


def _same(obj: KubeObject) -> KubeObject:
    return obj


_NEW_EVENT_STORAGE = Storage(CORE_EVENTS.key, to_new_event, to_core_event)
_OLD_AUTOSCALER_STORAGE = Storage(AUTOSCALERS.key, autoscaling.to_v1, autoscaling.to_v2)
_STORAGE: Mapping[str, Storage] = {
    resource.key: Storage(resource.key, _same, _same) for resource in BUILTIN
} | {NEW_EVENTS.key: _NEW_EVENT_STORAGE, OLD_AUTOSCALERS.key: _OLD_AUTOSCALER_STORAGE}
_BY_PATH = {(resource.group, resource.version, resource.plural): resource for resource in BUILTIN}
_BY_STORAGE = {resource.key: resource for resource in BUILTIN}


def storage_of(resource: Resource) -> Storage:
    """Where a resource's objects lie."""
    if isinstance(resource, CustomResource):
        return Storage(resource.key, resource.as_served, resource.as_stored)
    return _STORAGE[resource.key]


def stored_resource(key: str) -> Resource:
    """The built-in resource under whose form a stored collection is kept. Raises KeyError."""
    return _BY_STORAGE[key]


def served(group: str, version: str, plural: str) -> Resource:
    """The built-in resource at a path. Raises StatusError 404."""
    try:
        return _BY_PATH[(group, version, plural)]
    except KeyError:
        raise path_not_found() from None


def all_served() -> Sequence[Resource]:
    """Every built-in resource, in discovery order."""
    return BUILTIN
