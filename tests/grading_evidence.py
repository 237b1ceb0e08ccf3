"""Evidence written by hand: a good run of each group, and the ways to spoil it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.core.audit import AuditRecord, Decision, Mode
from lab.core.clock import rfc3339
from lab.core.incident import Action, Escalation, HistoryEntry, Incident, IncidentStatus, Note, Target
from lab.engine.evidence import Evidence, Mark, PodLife, Series

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
END = 45.0
ME = "restart-hung-workers"


def at(minute: float) -> datetime:
    """An instant so many lab minutes (seconds) after the start."""
    return START + timedelta(seconds=minute)


def text(minute: float) -> str:
    return rfc3339(at(minute))


def request(seq: int, minute: float, name: str, **change: Any) -> AuditRecord:
    """A delete of a pod of the shop."""
    record = AuditRecord(
        seq=seq,
        time=text(minute),
        actor="automation",
        mode=Mode.LIVE,
        verb="delete",
        group="",
        resource="pods",
        subresource="",
        namespace="shop",
        name=name,
        decision=Decision.ALLOWED,
        code=200,
        latency_ms=4.0,
        mutating=True,
        incident="inc-1",
        note="hung",
    )
    return replace(record, **change)


def intent(seq: int, minute: float, name: str, **change: Any) -> AuditRecord:
    return request(seq, minute, name, mode=Mode.SHADOW, decision=Decision.SHADOWED, dry_run=True, **change)


def refused(seq: int, minute: float, name: str) -> AuditRecord:
    return request(seq, minute, name, decision=Decision.REFUSED, code=403, reason="kill switch")


def fault(pod: str, partition: int, began: float, ended: float | None, **change: Any) -> dict[str, Any]:
    entry = {
        "id": f"hung-workers-{partition}",
        "fault": "hung-workers",
        "target": {"kind": "Pod", "namespace": "shop", "name": pod, "partition": partition},
        "decoy": False,
        "parameters": {"count": 1, "partition": partition, "recurring": False},
        "plannedAt": text(began),
        "appliedAt": text(began),
        "expiresAt": None,
        "undoneAt": None if ended is None else text(ended),
        "undoneBy": None if ended is None else "restart",
        "state": "active" if ended is None else "undone",
    }
    return entry | change


def pod(name: str, first: float = -60.0, gone: float | None = None, app: str = "worker") -> PodLife:
    last = END if gone is None else gone
    return PodLife(
        name,
        f"uid-{name}",
        app,
        at(first).timestamp(),
        at(last).timestamp(),
        None if gone is None else at(gone).timestamp(),
    )


def held(name: str, partition: int, first: float, last: float) -> Series:
    points = tuple((at(m).timestamp(), 1.0) for m in range(int(first), int(last) + 1))
    return Series("shop_worker_partition_info", {"pod": name, "partition": str(partition)}, points)


def age(partition: int, waits: list[tuple[float, float]]) -> Series:
    """Oldest order of a partition: 9 s inside the given spans, 0.1 s outside."""
    points = tuple(
        (at(m).timestamp(), 9.0 if any(a <= m < b for a, b in waits) else 0.1) for m in range(int(END) + 1)
    )
    return Series("shop_queue_oldest_order_age_seconds", {"partition": str(partition)}, points)


def rate(value: float) -> Series:
    return Series("toil_auto_success_rate", {"app": "automation"}, ((at(END).timestamp(), value),))


def action(name: str, minute: float, outcome: str = "success", by: str = ME) -> Action:
    return Action(by, "restart", at(minute), at(minute + 3), Target("Pod", "shop", name), "hung", outcome)


def incident(number: int, partition: int, opened: float, **change: Any) -> Incident:
    made = Incident(
        id=f"inc-{number}",
        fingerprint=f"f{number}",
        alertname="OrdersWaitingTooLong",
        labels={"alertname": "OrdersWaitingTooLong", "partition": str(partition)},
        annotations={},
        severity="critical",
        status=IncidentStatus.TRIGGERED,
        starts_at=at(opened),
        opened_at=at(opened),
    )
    return replace(made, **change)


def post(number: int, minute: float) -> dict[str, Any]:
    return {"at": text(minute), "by": ME, "text": "restarted", "incident": f"inc-{number}"}


def escalation(minute: float, by: str = ME) -> Escalation:
    return Escalation("esc-1", at(minute), by, "a restart did not help")


WORKERS = ("worker-a", "worker-b", "worker-c", "worker-d", "worker-idle")
SLOW = {"fault": "slow-worker", "decoy": True, "id": "slow-worker-1"}


def shadow() -> Evidence:
    """Two hangs, named at once; the human cures the first."""
    return Evidence(
        exercise="stuck-workers",
        group="shadow",
        mode=Mode.SHADOW,
        seed=1,
        hour_seconds=60.0,
        started_at=text(0),
        ended_at=text(40),
        audit=(intent(1, 10, "worker-a"), intent(2, 23, "worker-b")),
        faults=(
            fault("worker-a", 0, 4, 20),
            fault("worker-d", 3, 5, None, **SLOW),
            fault("worker-b", 1, 17, None),
        ),
        incidents=(
            incident(1, 0, 9, actions=(action("worker-a", 19, by="human:oncall"),)),
            incident(2, 1, 22),
        ),
        pods=(pod("worker-a", gone=20), *(pod(name) for name in WORKERS[1:]), pod("worker-e", 21)),
        samples=(
            held("worker-a", 0, 0, 19),
            held("worker-e", 0, 22, 40),
            held("worker-b", 1, 0, 40),
            held("worker-c", 2, 0, 40),
            held("worker-d", 3, 0, 40),
            held("worker-idle", 7, 0, 40),
        ),
    )


def live() -> Evidence:
    """A curable hang (a), an incurable one (c), a slow worker (d), a curable hang (b); all handled well."""
    return Evidence(
        exercise="stuck-workers",
        group="live",
        mode=Mode.LIVE,
        seed=1,
        hour_seconds=60.0,
        started_at=text(0),
        ended_at=text(END),
        audit=(request(1, 10, "worker-a"), request(2, 15, "worker-c"), request(3, 25, "worker-b")),
        faults=(
            fault("worker-a", 0, 4, 10),
            fault("worker-d", 3, 5, None, **SLOW),
            fault("worker-c", 2, 9, None, parameters={"recurring": True}),
            fault("worker-b", 1, 19, 25),
        ),
        incidents=(
            incident(1, 0, 9, actions=(action("worker-a", 10),)),
            incident(2, 2, 14, actions=(action("worker-c", 15, "failure"),), escalations=(escalation(24),)),
            incident(3, 1, 24, actions=(action("worker-b", 25),)),
        ),
        posts=(post(1, 13), post(2, 24), post(3, 28)),
        pods=(
            pod("worker-a", gone=10),
            pod("worker-b", gone=25),
            pod("worker-c", gone=15),
            pod("worker-d"),
            pod("worker-idle"),
            pod("worker-a2", 11),
            pod("worker-c2", 16),
            pod("worker-b2", 26),
        ),
        samples=(
            held("worker-a", 0, 0, 10),
            held("worker-a2", 0, 12, 45),
            held("worker-b", 1, 0, 25),
            held("worker-b2", 1, 27, 45),
            held("worker-c", 2, 0, 15),
            held("worker-c2", 2, 17, 45),
            held("worker-d", 3, 0, 45),
            held("worker-idle", 7, 0, 45),
            age(0, [(7, 13)]),
            age(1, [(22, 28)]),
            age(2, [(12, 46)]),
            age(3, []),
            age(7, []),
            rate(2 / 3),
        ),
    )


def kill_switch() -> Evidence:
    """A hang before, one during (refused, and told), one after."""
    base = live()
    return replace(
        base,
        group="kill-switch",
        marks=(Mark(text(14), "kill-switch-on"), Mark(text(24), "kill-switch-off")),
        audit=(request(1, 8, "worker-a"), refused(2, 21, "worker-c"), request(3, 32, "worker-b")),
        faults=(
            fault("worker-a", 0, 2, 8),
            fault("worker-c", 2, 15, 30),
            fault("worker-b", 1, 26, 32),
        ),
        incidents=(incident(1, 0, 7), incident(2, 2, 20), incident(3, 1, 31)),
        history=(HistoryEntry(at(21), "escalated", "inc-2", ME, "not allowed to restart worker-c"),),
    )


def note(minute: float, words: str) -> Note:
    return Note(at(minute), ME, words)
