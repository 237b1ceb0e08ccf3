"""Events, old and new.

Source: k8s.io/kubernetes/pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.localkube.registry.names import qualified_name_problems
from lab.localkube.registry.validation.causes import Causes

_LONGEST, _LONGEST_NOTE = 128, 1024
_ELSEWHERE = "does not match event.namespace"
_UNSET = "needs to be unset"
_FIXED = {
    "involvedObject": "regarding",
    "reason": "reason",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "type": "type",
    "eventTime": "eventTime",
    "action": "action",
    "related": "related",
    "reportingController": "reportingController",
    "reportingInstance": "reportingInstance",
}
"""What cannot change in an event of events.k8s.io; upstream names the fields as the core group does."""


def check_event(obj: KubeObject, causes: Causes) -> None:
    """An Event is in the namespace of what it is about; one with an eventTime says who reports it."""
    _check(obj, obj.get("involvedObject") or {}, "reportingComponent", obj.get("message", ""), causes)


def check_current_event(obj: KubeObject, causes: Causes) -> None:
    """An Event of events.k8s.io."""
    _check(obj, obj.get("regarding") or {}, "reportingController", obj.get("note", ""), causes)


def _check(obj: KubeObject, about: KubeObject, reporter: str, note: str, causes: Causes) -> None:
    mine, its = obj["metadata"].get("namespace", ""), about.get("namespace", "")
    new = bool(obj.get("eventTime"))
    elsewhere = its != mine and not new
    if elsewhere if its else mine not in ("default", "kube-system" if new else ""):
        causes.invalid("involvedObject.namespace", its, _ELSEWHERE)
    if not new:
        return
    controller = obj.get(reporter, "")
    if not controller:
        causes.required(reporter)
    for problem in qualified_name_problems(controller):
        causes.invalid(reporter, controller, problem)
    for field in ("reportingInstance", "action", "reason"):
        if not obj.get(field):
            causes.required(field)
        elif len(obj[field]) > _LONGEST:
            causes.invalid(field, "", f"can have at most {_LONGEST} characters")
    if len(note) > _LONGEST_NOTE:
        causes.invalid("message", "", f"can have at most {_LONGEST_NOTE} characters")


def check_new_event(obj: KubeObject, causes: Causes) -> None:
    """An Event of events.k8s.io that is created."""
    _check_series(obj.get("series"), causes)
    if not obj.get("eventTime"):
        causes.required("eventTime")
    if obj.get("type") not in ("Normal", "Warning"):
        causes.invalid("type", "", f"has invalid value: {obj.get('type', '')}")
    for old in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if obj.get(_FIXED[old]):
            causes.invalid(old, "", _UNSET)


def _check_series(series: KubeObject | None, causes: Causes) -> None:
    if series is None:
        return
    if series.get("count", 0) < 2:
        causes.invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        causes.required("series.lastObservedTime")


def check_event_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """Of an event of events.k8s.io only the series changes."""
    if old.get("series") != new.get("series"):
        _check_series(new.get("series"), causes)
    for shown, field in _FIXED.items():
        if old.get(field) != new.get(field):
            causes.invalid(shown, new.get(field), "field is immutable")
