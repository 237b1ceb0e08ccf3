"""Starts Jobs by schedule. Source: pkg/controller/cronjob."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lab.core.clock import parse_rfc3339
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.controllers.base import (
    Controller,
    controller_keys,
    created,
    deleting,
    key_of,
    owner_reference,
    stamp,
)
from lab.localkube.controllers.job import JOBS
from lab.localkube.controllers.job_verdict import condition_true, finished_at
from lab.localkube.controllers.queue import Key
from lab.localkube.controllers.schedule import Schedule, parse_schedule
from lab.localkube.protocols import WatchEvent

CRONJOBS = builtin("CronJob")
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY_MISSED = 100


class CronJobController(Controller):
    """CronJob → Jobs."""

    name = "cronjob-controller"
    listens = frozenset({"cronjobs.batch", "jobs.batch"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "cronjobs":
            return [key_of(event.object)]
        return controller_keys(event, "CronJob")

    def reconcile(self, key: Key) -> float | None:
        cron = self.cache.get("cronjobs.batch", *key)
        if cron is None or deleting(cron):
            return None
        self._observe(cron)
        self._forget_old(cron)
        cron = self.cache.get("cronjobs.batch", *key)
        if cron is None or cron["spec"].get("suspend"):
            return None
        try:
            schedule, zone = parse_schedule(cron["spec"]["schedule"]), _zone(cron)
        except (ValueError, ZoneInfoNotFoundError) as error:
            message = f"invalid schedule: {cron['spec']['schedule']!r}: {error}"
            self.events.event(cron, "Warning", "UnParseableCronJobSchedule", message)
            return None
        return self._start_due(cron, schedule, zone)

    def _jobs(self, cron: KubeObject) -> list[KubeObject]:
        return self.cache.controlled("jobs.batch", namespace_of(cron), cron["metadata"]["uid"])

    def _observe(self, cron: KubeObject) -> None:
        """Keep status.active and lastSuccessfulTime."""
        status: KubeObject = copy.deepcopy(cron.get("status") or {})
        known = {reference["name"] for reference in status.get("active") or ()}
        active = []
        for job in sorted(self._jobs(cron), key=name_of):
            if not finished_at(job):
                if name_of(job) in known or _scheduled(job):
                    active.append(_reference(job))
                    continue
                message = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
                self.events.event(cron, "Warning", "UnexpectedJob", message)
                continue
            if name_of(job) in known:
                how = "Complete" if condition_true(job["status"], "Complete") else "Failed"
                message = f"Saw completed job: {name_of(job)}, condition: {how}"
                self.events.event(cron, "Normal", "SawCompletedJob", message)
            done = (job.get("status") or {}).get("completionTime")
            if done and done > str(status.get("lastSuccessfulTime") or ""):
                status["lastSuccessfulTime"] = done
        status.pop("active", None)
        if active:
            status["active"] = active
        self.write_status(CRONJOBS, cron, status)

    def _forget_old(self, cron: KubeObject) -> None:
        """Keep as many ended jobs as the history limits allow."""
        for type, field, default in (
            ("Complete", "successfulJobsHistoryLimit", 3),
            ("Failed", "failedJobsHistoryLimit", 1),
        ):
            limit = cron["spec"].get(field)
            limit = default if limit is None else int(limit)
            ended = [job for job in self._jobs(cron) if condition_true(job.get("status") or {}, type)]
            ended = sorted((job for job in ended if not deleting(job)), key=created)
            for job in ended[: max(0, len(ended) - limit)]:
                self.delete(JOBS, job)
                self.events.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {name_of(job)}")

    def _start_due(self, cron: KubeObject, schedule: Schedule, zone: tzinfo) -> float | None:
        now = self.now()
        due, missed = self._latest_due(cron, schedule, zone, now)
        if missed > TOO_MANY_MISSED:
            advice = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            message = f"too many missed start times: {missed}. {advice}"
            self.events.event(cron, "Warning", "TooManyMissedTimes", message)
        if due is not None:
            self._start(cron, due, now)
        following = schedule.next(now, zone)
        return None if following is None else (following - now).total_seconds() + 0.05

    def _latest_due(
        self, cron: KubeObject, schedule: Schedule, zone: tzinfo, now: datetime
    ) -> tuple[datetime | None, int]:
        """The latest start that is due and not made yet, and how many were missed."""
        last = (cron.get("status") or {}).get("lastScheduleTime")
        earliest = parse_rfc3339(last) if last else created(cron)
        deadline = cron["spec"].get("startingDeadlineSeconds")
        if deadline is not None:
            earliest = max(earliest, now - timedelta(seconds=float(deadline)))
        due, missed, at = None, 0, earliest
        while (following := schedule.next(at, zone)) is not None and following <= now:
            due, at, missed = following, following, missed + 1
            if missed > 10 * TOO_MANY_MISSED:
                at = max(at, now - timedelta(days=1))
        return due, missed

    def _start(self, cron: KubeObject, due: datetime, now: datetime) -> None:
        policy = cron["spec"].get("concurrencyPolicy") or "Allow"
        running = [job for job in self._jobs(cron) if not finished_at(job) and _scheduled(job)]
        if running and policy == "Forbid":
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.events.event(cron, "Normal", "JobAlreadyActive", message)
            return
        if policy == "Replace":
            for job in running:
                self.delete(JOBS, job)
                self.events.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {name_of(job)}")
        job = self._blueprint(cron, due)
        try:
            self.registry.create(JOBS, namespace_of(cron), job)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                self.events.event(cron, "Warning", "FailedCreate", f"Error creating job: {error.message}")
                raise
        else:
            self.events.event(cron, "Normal", "SuccessfulCreate", f"Created job {name_of(job)}")
        present = self.cache.get("cronjobs.batch", *key_of(cron)) or cron
        self.write_status(
            CRONJOBS, present, dict(present.get("status") or {}) | {"lastScheduleTime": stamp(due)}
        )

    def _blueprint(self, cron: KubeObject, due: datetime) -> KubeObject:
        template = copy.deepcopy(cron["spec"]["jobTemplate"])
        metadata = template.get("metadata") or {}
        annotations = dict(metadata.get("annotations") or {})
        annotations[SCHEDULED_AT] = due.astimezone(_zone(cron)).isoformat().replace("+00:00", "Z")
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": f"{name_of(cron)}-{int(due.timestamp()) // 60}",
                "labels": metadata.get("labels") or {},
                "annotations": annotations,
                "ownerReferences": [owner_reference(CRONJOBS, cron)],
            },
            "spec": template["spec"],
        }


def _zone(cron: KubeObject) -> tzinfo:
    name = cron["spec"].get("timeZone")
    return ZoneInfo(name) if name else UTC


def _scheduled(job: KubeObject) -> bool:
    """Did the schedule make it, and not somebody by hand?"""
    return SCHEDULED_AT in (job["metadata"].get("annotations") or {})


def _reference(job: KubeObject) -> KubeObject:
    metadata = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }
