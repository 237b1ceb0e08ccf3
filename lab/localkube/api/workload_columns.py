"""The columns of workloads: what makes pods, and what limits their disruption.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from lab.core.clock import parse_rfc3339
from lab.kube.objects import KubeObject, controller_of
from lab.localkube.api.columns import (
    AGE,
    NAME,
    NONE,
    Column,
    age,
    at,
    container_columns,
    field,
    human_duration,
    label_selector_column,
    labels_text,
    number,
)

_JOB_STATES = ("Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet")
"""Conditions of a job, and its deletion, from the one that counts most."""


def _ready_of(obj: KubeObject, _: datetime) -> str:
    ready, wanted = at(obj, "status", "readyReplicas", default=0), at(obj, "spec", "replicas", default=0)
    return f"{ready}/{wanted}"


def _job_status(obj: KubeObject, _: datetime) -> str:
    true = {c["type"] for c in at(obj, "status", "conditions", default=()) if c.get("status") == "True"}
    if at(obj, "metadata", "deletionTimestamp"):
        true.add("Terminating")
    return next((state for state in _JOB_STATES if state in true), "Running")


def _job_completions(obj: KubeObject, _: datetime) -> str:
    done, wanted = at(obj, "status", "succeeded", default=0), at(obj, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallelism = at(obj, "spec", "parallelism", default=0)
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _job_duration(obj: KubeObject, now: datetime) -> str:
    start, end = at(obj, "status", "startTime"), at(obj, "status", "completionTime")
    if not start:
        return ""
    until = parse_rfc3339(end) if end else now
    return human_duration((until - parse_rfc3339(start)).total_seconds())


def _revision_owner(obj: KubeObject, _: datetime) -> str:
    owner = controller_of(obj)
    return (
        f"{str(owner['kind']).lower()}.{str(owner['apiVersion']).split('/')[0]}/{owner['name']}"
        if owner
        else NONE
    )


def _last_schedule(obj: KubeObject, now: datetime) -> str:
    last = at(obj, "status", "lastScheduleTime")
    return age(last, now) if last else NONE


def _bound(name: str, *path: str) -> Column:
    return Column(name, lambda obj, _: str(at(obj, *path, default="N/A")))


_REPLICAS = (
    NAME,
    number("Desired", "spec", "replicas"),
    number("Current", "status", "replicas"),
    number("Ready", "status", "readyReplicas"),
    AGE,
    *container_columns("spec", "template"),
)

WORKLOAD_COLUMNS: Mapping[str, Sequence[Column]] = {
    "deployments.apps": (
        NAME,
        Column("Ready", _ready_of),
        field("Up-to-date", "status", "updatedReplicas", default=0),
        field("Available", "status", "availableReplicas", default=0),
        AGE,
        *container_columns("spec", "template"),
        label_selector_column(),
    ),
    "replicasets.apps": (*_REPLICAS, label_selector_column()),
    "replicationcontrollers": (
        *_REPLICAS,
        Column("Selector", lambda obj, _: labels_text(at(obj, "spec", "selector")), priority=1),
    ),
    "statefulsets.apps": (NAME, Column("Ready", _ready_of), AGE, *container_columns("spec", "template")),
    "daemonsets.apps": (
        NAME,
        number("Desired", "status", "desiredNumberScheduled"),
        number("Current", "status", "currentNumberScheduled"),
        number("Ready", "status", "numberReady"),
        number("Up-to-date", "status", "updatedNumberScheduled"),
        number("Available", "status", "numberAvailable"),
        Column(
            "Node Selector", lambda obj, _: labels_text(at(obj, "spec", "template", "spec", "nodeSelector"))
        ),
        AGE,
        *container_columns("spec", "template"),
        label_selector_column(),
    ),
    "jobs.batch": (
        NAME,
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        AGE,
        *container_columns("spec", "template"),
        label_selector_column(),
    ),
    "cronjobs.batch": (
        NAME,
        field("Schedule", "spec", "schedule"),
        field("Timezone", "spec", "timeZone"),
        Column("Suspend", lambda obj, _: str(bool(at(obj, "spec", "suspend"))), "boolean"),
        Column("Active", lambda obj, _: len(at(obj, "status", "active", default=())), "integer"),
        Column("Last Schedule", _last_schedule),
        AGE,
        *container_columns("spec", "jobTemplate", "spec", "template"),
        label_selector_column("spec", "jobTemplate", "spec"),
    ),
    "controllerrevisions.apps": (
        NAME,
        Column("Controller", _revision_owner),
        field("Revision", "revision", default=0),
        AGE,
    ),
    "podtemplates": (
        NAME,
        *container_columns("template", wide=False),
        Column("Pod Labels", lambda obj, _: labels_text(at(obj, "template", "metadata", "labels"))),
    ),
    "poddisruptionbudgets.policy": (
        NAME,
        _bound("Min Available", "spec", "minAvailable"),
        _bound("Max Unavailable", "spec", "maxUnavailable"),
        number("Allowed Disruptions", "status", "disruptionsAllowed"),
        AGE,
    ),
}
"""By `Resource.key`."""
