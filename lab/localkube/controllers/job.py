"""Runs Jobs to completion. Source: pkg/controller/job.

Each pod carries the finalizer `batch.kubernetes.io/job-tracking` until it is counted, so that no result is
lost or counted twice when pods are deleted.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field

from lab.kube.objects import KubeObject, controller_of, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import (
    Context,
    Controller,
    controller_keys,
    deleting,
    key_of,
    seconds_since,
    stamp,
)
from lab.localkube.controllers.job_verdict import (
    add_condition,
    completion_index,
    completions_of,
    condition_true,
    drop_condition,
    failure_of,
    finished_at,
    indexed,
    missing_indexes,
    parallelism_of,
)
from lab.localkube.controllers.pods import PODS
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent

JOBS = builtin("Job")
TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FIRST_BACKOFF = 10.0
LAST_BACKOFF = 600.0
BATCH = 16


@dataclass(slots=True)
class _Backoff:
    """A job's failures in a row, and when the last one was counted (monotonic seconds)."""

    failures: int = 0
    at: float = 0.0

    def left(self, now: float) -> float:
        """Seconds until the next pod may be created."""
        if not self.failures:
            return 0.0
        delay = min(FIRST_BACKOFF * 2.0 ** min(self.failures - 1, 16), LAST_BACKOFF)
        return max(0.0, self.at + delay - now)


@dataclass(slots=True)
class _Pods:
    """A job's pods by what they count as."""

    active: list[KubeObject] = field(default_factory=list)
    succeeded: list[KubeObject] = field(default_factory=list)
    failed: list[KubeObject] = field(default_factory=list)
    terminating: int = 0


class JobController(Controller):
    """Job → Pods, one after another or side by side, until enough have succeeded."""

    name = "job-controller"
    listens = frozenset({"jobs.batch", "pods"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._backoffs: dict[str, _Backoff] = {}

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "jobs":
            return [key_of(event.object)]
        return controller_keys(event, "Job")

    def reconcile(self, key: Key) -> float | None:
        job = self.cache.get("jobs.batch", *key)
        if job is None or deleting(job):
            self._let_go(key, job)
            return None
        if job["spec"].get("managedBy") not in (None, "kubernetes.io/job-controller"):
            return None
        done = finished_at(job)
        if done:
            self._release(self._mine(job))
            return self._expire(job, done)
        return self._work(job)

    def _mine(self, job: KubeObject) -> list[KubeObject]:
        return self.cache.controlled("pods", namespace_of(job), job["metadata"]["uid"])

    def _let_go(self, key: Key, job: KubeObject | None) -> None:
        """Free the pods of a job that is gone or going."""
        if job is not None:
            self._backoffs.pop(job["metadata"]["uid"], None)
        for pod in self.cache.all("pods", key[0]):
            owner = controller_of(pod)
            if owner and owner.get("kind") == "Job" and owner["name"] == key[1]:
                self._release([pod])

    def _release(self, pods: Iterable[KubeObject]) -> None:
        """Take the tracking finalizer off."""
        for pod in pods:
            finalizers = pod["metadata"].get("finalizers") or []
            if TRACKING in finalizers:
                rest = [each for each in finalizers if each != TRACKING]
                self.patch(PODS, pod, {"metadata": {"finalizers": rest or None}})

    def _expire(self, job: KubeObject, done: str) -> float | None:
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None:
            return None
        left = float(ttl) - seconds_since(self.now(), done)
        if left > 0:
            return left
        self.delete(JOBS, job, policy="Foreground")
        return None

    # One round

    def _work(self, job: KubeObject) -> float | None:
        status: KubeObject = copy.deepcopy(job.get("status") or {})
        suspended = bool(job["spec"].get("suspend"))
        if not suspended and not status.get("startTime"):
            status["startTime"] = self.timestamp()
        groups = self._sort(job)
        self._count(job, status, groups)
        failure = failure_of(job, status, groups.active, self._mine(job), self.now())
        wait: float | None = None
        if failure and not condition_true(status, "SuccessCriteriaMet"):
            add_condition(status, self.now(), "FailureTarget", *failure)
        if condition_true(status, "FailureTarget"):
            self._stop(groups)
        elif self._enough(job, status, groups):
            reason = ("CompletionsReached", "Reached expected number of succeeded pods")
            add_condition(status, self.now(), "SuccessCriteriaMet", *reason)
            self._stop(groups)
        elif suspended:
            self._suspend(job, status, groups)
        else:
            self._resume(job, status)
            wait = self._manage(job, status, groups)
        return self._conclude(job, status, wait)

    def _sort(self, job: KubeObject) -> _Pods:
        groups = _Pods()
        for pod in self._mine(job):
            if podfacts.phase(pod) == "Succeeded":
                groups.succeeded.append(pod)
            elif podfacts.phase(pod) == "Failed" or deleting(pod):
                groups.failed.append(pod)
                groups.terminating += 1 if not podfacts.terminal(pod) else 0
            else:
                groups.active.append(pod)
        return groups

    def _count(self, job: KubeObject, status: KubeObject, groups: _Pods) -> None:
        """Count ended pods exactly once: note their uids, drop their finalizers, add them up."""
        noted = copy.deepcopy(status.get("uncountedTerminatedPods") or {})
        fresh = {"succeeded": 0, "failed": 0}
        for kind, pods in (("succeeded", groups.succeeded), ("failed", groups.failed)):
            known = list(noted.get(kind) or [])
            for pod in pods:
                if TRACKING in (pod["metadata"].get("finalizers") or ()):
                    if pod["metadata"]["uid"] not in known:
                        known.append(pod["metadata"]["uid"])
                    fresh[kind] += 1
            noted[kind] = known
        if any(fresh.values()):
            status["uncountedTerminatedPods"] = {kind: uids for kind, uids in noted.items() if uids}
            if indexed(job):
                done = {completion_index(pod) for pod in groups.succeeded} - {None}
                done |= set(range(completions_of(job) or 0)) - set(missing_indexes(job, status, []))
                status["completedIndexes"] = _ranges(sorted(i for i in done if i is not None))
            self.write_status(JOBS, job, status)
            self._release([*groups.succeeded, *groups.failed])
        for kind in ("succeeded", "failed"):
            if noted.get(kind):
                status[kind] = int(status.get(kind) or 0) + len(noted[kind])
        status["uncountedTerminatedPods"] = {}
        backoff = self._backoffs.setdefault(job["metadata"]["uid"], _Backoff())
        if fresh["failed"]:
            backoff.failures, backoff.at = backoff.failures + fresh["failed"], self.clock.monotonic()
        elif fresh["succeeded"]:
            backoff.failures = 0
        if indexed(job) and status.get("completedIndexes") is not None:
            status["succeeded"] = (completions_of(job) or 0) - len(missing_indexes(job, status, []))

    def _enough(self, job: KubeObject, status: KubeObject, groups: _Pods) -> bool:
        if condition_true(status, "SuccessCriteriaMet"):
            return True
        wanted, succeeded = completions_of(job), int(status.get("succeeded") or 0)
        if wanted is None:
            return succeeded > 0 and not groups.active
        return succeeded >= wanted

    def _stop(self, groups: _Pods) -> None:
        """Delete the pods that still run; they count neither as failed nor as succeeded."""
        self._release(groups.active)
        for pod in groups.active:
            self.delete(PODS, pod, policy=None)

    def _suspend(self, job: KubeObject, status: KubeObject, groups: _Pods) -> None:
        self._stop(groups)
        if not condition_true(status, "Suspended"):
            add_condition(status, self.now(), "Suspended", "JobSuspended", "Job suspended")
            self.events.event(job, "Normal", "Suspended", "Job suspended")
        status.pop("startTime", None)

    def _resume(self, job: KubeObject, status: KubeObject) -> None:
        if condition_true(status, "Suspended"):
            drop_condition(status, "Suspended")
            add_condition(status, self.now(), "Suspended", "JobResumed", "Job resumed", value="False")
            status["startTime"] = self.timestamp()
            self.events.event(job, "Normal", "Resumed", "Job resumed")

    def _manage(self, job: KubeObject, status: KubeObject, groups: _Pods) -> float | None:
        """Create or delete pods to have the right number at work; seconds until another look."""
        wait = self._deadline(job, status)
        wanted, succeeded = completions_of(job), int(status.get("succeeded") or 0)
        want = parallelism_of(job)
        if wanted is None:
            want = min(want, len(groups.active)) if succeeded else want
        else:
            want = min(want, wanted - succeeded)
        missing = want - len(groups.active)
        if missing < 0:
            surplus = sorted(groups.active, key=lambda pod: (podfacts.ready(pod), name_of(pod)))[:-missing]
            self._stop(_Pods(active=surplus))
        if missing <= 0:
            return wait
        if job["spec"].get("podReplacementPolicy") == "Failed":
            missing -= groups.terminating
        backoff = self._backoffs[job["metadata"]["uid"]].left(self.clock.monotonic())
        if backoff > 0:
            return backoff if wait is None else min(wait, backoff)
        indexes = missing_indexes(job, status, groups.active) if indexed(job) else []
        for number in range(min(missing, BATCH)):
            self._create(job, indexes[number] if number < len(indexes) else None)
        return 0.0 if missing > BATCH else wait

    def _deadline(self, job: KubeObject, status: KubeObject) -> float | None:
        seconds = job["spec"].get("activeDeadlineSeconds")
        if seconds is None or not status.get("startTime"):
            return None
        return max(0.05, float(seconds) - seconds_since(self.now(), status["startTime"]))

    def _create(self, job: KubeObject, index: int | None) -> None:
        prefix = f"{name_of(job)}-" if index is None else f"{name_of(job)}-{index}-"
        pod = podfacts.from_template(job["spec"]["template"], JOBS, job, prefix)
        pod["metadata"]["finalizers"] = [*pod["metadata"]["finalizers"], TRACKING]
        uid = job["metadata"]["uid"]
        for prefixed in ("batch.kubernetes.io/", ""):
            pod["metadata"]["labels"].setdefault(f"{prefixed}job-name", name_of(job))
            pod["metadata"]["labels"].setdefault(f"{prefixed}controller-uid", uid)
        if index is not None:
            pod["metadata"]["annotations"][INDEX] = str(index)
            pod["metadata"]["labels"][INDEX] = str(index)
            pod["spec"].setdefault("hostname", f"{name_of(job)}-{index}")
            for container in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]:
                container["env"] = [*(container.get("env") or ()), _index_variable()]
        try:
            made = self.registry.create(PODS, namespace_of(job), pod)
        except StatusError as error:
            self.events.event(job, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self.events.event(job, "Normal", "SuccessfulCreate", f"Created pod: {name_of(made)}")

    def _conclude(self, job: KubeObject, status: KubeObject, wait: float | None) -> float | None:
        """Finish the job when nothing runs any more, and write the status."""
        groups = self._sort(job)
        counts = {
            "active": len(groups.active),
            "ready": sum(map(podfacts.ready, groups.active)),
            "terminating": groups.terminating,
        }
        for name, value in counts.items():
            status[name] = value
        if not status["active"]:
            del status["active"]
        present = self.cache.get("jobs.batch", *key_of(job))
        if present is None:
            return None
        if not groups.active and not groups.terminating:
            self._finish(present, status)
        self.write_status(JOBS, present, status)
        return wait

    def _finish(self, job: KubeObject, status: KubeObject) -> None:
        for target, type in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
            met = next((c for c in status.get("conditions") or () if c["type"] == target), None)
            if met is None or condition_true(status, type):
                continue
            add_condition(status, self.now(), type, met.get("reason", ""), met.get("message", ""))
            if type == "Complete":
                status["completionTime"] = stamp(self.now())
                self.events.event(job, "Normal", "Completed", "Job completed")
            else:
                self.events.event(job, "Warning", met.get("reason", ""), met.get("message", ""))
            self._backoffs.pop(job["metadata"]["uid"], None)
            return


def _index_variable() -> KubeObject:
    path = f"metadata.labels['{INDEX}']"
    return {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _ranges(numbers: list[int]) -> str:
    """`0,2-4` for 0, 2, 3, 4."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)
