"""What happened, read from evidence: which pods a request restarts, which hangs there were, who cured them.

The ground truth is the fault journal; what the automation says of itself is not used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.core.audit import AuditRecord
from lab.engine.evidence import Evidence, seconds_of

SHOP = "shop"
WORKER = "worker"
HANG = "hung-workers"
"""The fault that a restart is the answer to; others have answers of their own."""

HELD = "shop_worker_partition_info"
AGE = "shop_queue_oldest_order_age_seconds"
_WORKLOADS = ("deployments", "replicasets")
_NOTICEABLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """One entry of the fault journal that concerns a worker. Times are Unix seconds.

    curable: a restart ends it. decoy: a healthy look-alike, to be left alone.
    """

    id: str
    fault: str
    partition: str
    pod: str
    decoy: bool
    curable: bool
    began: float
    ended: float | None

    def __str__(self) -> str:
        kind = "look-alike" if self.decoy else "hang" if self.curable else "incurable hang"
        return f"{kind} of {self.pod} (partition {self.partition})"


@dataclass(frozen=True, slots=True)
class Restart:
    """A request that ends pods: when it came, and which workers it takes (names)."""

    record: AuditRecord
    at: float
    workers: frozenset[str]

    def __str__(self) -> str:
        record = self.record
        what = f"{record.resource}/{record.subresource}" if record.subresource else record.resource
        return f"#{record.seq} {record.time} {record.verb} {what} {record.name or '*'}: {record.decision}"


def troubles(evidence: Evidence) -> tuple[Trouble, ...]:
    """Every fault of a worker's pod that really was active, oldest first."""
    found = []
    for entry in evidence.faults:
        target = entry.get("target") or {}
        if not entry.get("appliedAt") or (entry.get("state") == "failed"):
            continue
        if (target.get("kind"), target.get("namespace")) != ("Pod", SHOP):
            continue
        pod = str(target.get("name") or "")
        began = seconds_of(entry["appliedAt"])
        partition = target.get("partition")
        found.append(
            Trouble(
                id=str(entry["id"]),
                fault=str(entry["fault"]),
                partition=str(partition) if partition is not None else partition_of(evidence, pod, began),
                pod=pod,
                decoy=bool(entry.get("decoy")),
                curable=not (entry.get("parameters") or {}).get("recurring"),
                began=began,
                ended=seconds_of(entry["undoneAt"]) if entry.get("undoneAt") else None,
            )
        )
    return tuple(sorted(found, key=lambda trouble: trouble.began))


def hangs(evidence: Evidence, *, curable: bool | None = None) -> tuple[Trouble, ...]:
    """Real hangs; all, or only those that a restart does or does not cure.

    One whose pod was on its way out already, so that it ended at once, made nobody wait and does not count.
    """
    return tuple(
        trouble
        for trouble in troubles(evidence)
        if trouble.fault == HANG
        and (curable is None or trouble.curable is curable)
        and (trouble.ended is None or trouble.ended - trouble.began >= _NOTICEABLE_SECONDS)
    )


def workers_at(evidence: Evidence, at: float) -> frozenset[str]:
    """Names of the worker pods that were alive then."""
    return frozenset(
        pod.name
        for pod in evidence.pods
        if pod.app == WORKER
        and pod.first_seen <= at
        and (pod.deleted_at is None or pod.deleted_at >= at - 1.0)
    )


def partition_of(evidence: Evidence, pod: str, at: float) -> str:
    """The partition that a worker held at that time or nearest to it; empty when it never held one."""
    best: tuple[float, str] | None = None
    for series in evidence.series(HELD, pod=pod):
        for moment, value in series.points:
            if value == 1 and (best is None or abs(moment - at) < best[0]):
                best = (abs(moment - at), str(series.labels.get("partition", "")))
    return best[1] if best else ""


def restarts(evidence: Evidence, records: tuple[AuditRecord, ...]) -> tuple[Restart, ...]:
    """Those of the requests that end worker pods."""
    found = []
    for record in records:
        at = seconds_of(record.time)
        workers = _taken(evidence, record, at)
        if workers:
            found.append(Restart(record, at, workers))
    return tuple(found)


def _taken(evidence: Evidence, record: AuditRecord, at: float) -> frozenset[str]:
    if record.namespace != SHOP:
        return frozenset()
    if record.resource == "pods":
        if record.verb == "deletecollection":
            return workers_at(evidence, at)
        ends = record.verb == "delete" or (record.verb == "create" and record.subresource == "eviction")
        return frozenset({record.name}) & _all_workers(evidence) if ends else frozenset()
    if record.resource in _WORKLOADS and record.name.startswith(WORKER):
        replaces = record.verb == "delete" or any(_touches_pods(operation) for operation in record.diff)
        return workers_at(evidence, at) if replaces else frozenset()
    return frozenset()


def _touches_pods(operation: dict[str, Any]) -> bool:
    path = str(operation.get("path", ""))
    return path.startswith("/spec/template") or path == "/spec/replicas"


def _all_workers(evidence: Evidence) -> frozenset[str]:
    return frozenset(pod.name for pod in evidence.pods if pod.app == WORKER)


def victims(evidence: Evidence, trouble: Trouble) -> frozenset[str]:
    """The pods that stand for a hang: the one that hung, and for an incurable one all that followed it on its
    partition."""
    names = {trouble.pod} if trouble.pod else set()
    if not trouble.curable:
        end = trouble.ended or float("inf")
        for series in evidence.series(HELD, partition=trouble.partition):
            if any(value == 1 and trouble.began <= moment <= end for moment, value in series.points):
                names.add(str(series.labels.get("pod", "")))
    return frozenset(names)


def drained_at(evidence: Evidence, partition: str, after: float) -> float | None:
    """When the partition's oldest order was young again for two seconds in a row, seen after that time."""
    limit = evidence.scale.real(minutes=3)
    young = 0
    for series in evidence.series(AGE, partition=partition):
        for moment, value in series.points:
            if moment <= after:
                continue
            young = young + 1 if value < limit else 0
            if young == 2:
                return moment
    return None
