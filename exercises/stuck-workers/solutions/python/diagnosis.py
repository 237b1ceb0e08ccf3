"""Is the worker of a partition hung, or does it only look like it? Two independent signs must agree."""

from dataclasses import dataclass
from enum import StrEnum

from lab.automation import sdk

WAITING = sdk.lab_minutes(3)  # the alert's own limit
STALLED = sdk.lab_minutes(5)  # longer than a slow worker ever takes for one order


class Finding(StrEnum):
    """What a look at a partition shows."""

    HUNG = "hung"
    SLOW = "slow"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Diagnosis:
    """One look at a partition, in seconds. age: of its oldest order. stalled: since the last progress."""

    partition: str
    finding: Finding
    pod: str = ""
    age: float = 0.0
    stalled: float = 0.0

    def evidence(self) -> str:
        """The figures, in words."""
        return (
            f"partition {self.partition}: oldest order {self.age:.1f} s, "
            f"{self.pod or 'no worker'} made no progress for {self.stalled:.1f} s"
        )


def diagnose(prometheus: sdk.Prometheus, partition: str) -> Diagnosis:
    """Hung: orders wait and the worker that holds the partition makes no progress at all."""
    match = f'{{partition="{partition}"}}'
    age = prometheus.value(f"max(shop_queue_oldest_order_age_seconds{match})")
    holders = [labels["pod"] for labels, _ in prometheus.query(f"shop_worker_partition_info{match} == 1")]
    if age is None or len(holders) != 1:
        return Diagnosis(partition, Finding.UNKNOWN, age=age or 0.0)
    pod = holders[0]
    series = f'shop_worker_last_progress_timestamp_seconds{{partition="{partition}", pod="{pod}"}}'
    stalled = prometheus.value(f"time() - {series}")
    if stalled is None:
        return Diagnosis(partition, Finding.UNKNOWN, pod, age)
    if age < WAITING:
        finding = Finding.HEALTHY
    elif stalled < STALLED:
        finding = Finding.SLOW
    else:
        finding = Finding.HUNG
    return Diagnosis(partition, finding, pod, age, stalled)
