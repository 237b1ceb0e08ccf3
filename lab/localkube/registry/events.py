"""Events in their two shapes: core/v1 is stored, events.k8s.io/v1 is the same object under other names.

Source: k8s.io/kubernetes/pkg/apis/events/v1/conversion.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.kube.objects import KubeObject

EVENTS_GROUP = "events.k8s.io"

_TO_NEW: Mapping[str, str] = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_TO_CORE = {new: core for core, new in _TO_NEW.items()}


def to_new_event(event: KubeObject) -> KubeObject:
    """A core/v1 Event as events.k8s.io/v1; shares its members."""
    renamed = {_TO_NEW.get(key, key): value for key, value in event.items()}
    return renamed | {"apiVersion": f"{EVENTS_GROUP}/v1", "kind": "Event"}


def to_core_event(event: KubeObject) -> KubeObject:
    """An events.k8s.io/v1 Event as core/v1; shares its members."""
    renamed = {_TO_CORE.get(key, key): value for key, value in event.items()}
    return renamed | {"apiVersion": "v1", "kind": "Event"}
