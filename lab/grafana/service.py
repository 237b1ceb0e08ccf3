"""The dashboard of the shop: what customers get, and where orders wait."""

from __future__ import annotations

from lab.grafana.board import Board, Panel, Query, Unit, largest, quantile, rate
from lab.metrics import catalogue as m

ANSWERED = (
    f'1 - (sum(rate({m.LOAD_REQUESTS.name}{{code=~"error|timeout"}}[$__rate_interval])) or vector(0))'
    f" / sum(rate({m.LOAD_REQUESTS.name}[$__rate_interval]))"
)
IDLE = f"time() - max by (partition) ({m.WORKER_LAST_PROGRESS.name})"
LOGSTORE = "part logstore"

BOARD = Board(
    "service",
    "toil-lab: the service",
    "The shop as its customers see it, and where their orders wait.",
    (
        Panel(
            "Orders confirmed",
            Unit.PER_SECOND,
            "Orders that the shop confirms in a second.",
            (Query(f'sum(rate({m.ORDERS.name}{{result="confirmed"}}[$__rate_interval]))', "confirmed"),),
            now=True,
        ),
        Panel(
            "Customers answered",
            Unit.SHARE,
            "Share of the requests that got any answer at all: no time-out, no lost connection.",
            (Query(ANSWERED, "answered"),),
            now=True,
            maximum=1,
        ),
        Panel(
            "Orders that wait",
            Unit.NUMBER,
            "Orders in the queue, of all partitions.",
            (Query(f"sum(max by (partition) ({m.QUEUE_ORDERS.name}))", "waiting"),),
            now=True,
        ),
        Panel(
            "Oldest order",
            Unit.SECONDS,
            "Age of the oldest order that waits; OrdersWaitingTooLong pages at three lab minutes.",
            (largest(m.QUEUE_OLDEST_AGE, legend="oldest"),),
            now=True,
        ),
        Panel("Orders by result", Unit.PER_SECOND, m.ORDERS.meaning, (rate(m.ORDERS, "result"),)),
        Panel(
            "Confirmation time",
            Unit.SECONDS,
            m.ORDER_CONFIRMATION.meaning + " The objective is a second.",
            tuple(quantile(m.ORDER_CONFIRMATION, share) for share in (0.5, 0.95, 0.99)),
        ),
        Panel(
            "Customers' requests by answer",
            Unit.PER_SECOND,
            m.LOAD_REQUESTS.meaning,
            (rate(m.LOAD_REQUESTS, "code"),),
        ),
        Panel(
            "What customers wait",
            Unit.SECONDS,
            m.LOAD_LATENCY.meaning,
            tuple(quantile(m.LOAD_LATENCY, share) for share in (0.5, 0.95, 0.99)),
        ),
        Panel(
            "Orders that wait, by partition",
            Unit.NUMBER,
            m.QUEUE_ORDERS.meaning,
            (largest(m.QUEUE_ORDERS, "partition"),),
        ),
        Panel(
            "Oldest order, by partition",
            Unit.SECONDS,
            m.QUEUE_OLDEST_AGE.meaning,
            (largest(m.QUEUE_OLDEST_AGE, "partition"),),
        ),
        Panel(
            "Since a partition's last progress",
            Unit.SECONDS,
            "Real seconds since any worker confirmed an order of the partition, or took it.",
            (Query(IDLE, "{{partition}}"),),
        ),
        Panel(
            "Orders confirmed, by worker",
            Unit.PER_SECOND,
            m.WORKER_PROCESSED.meaning,
            (rate(m.WORKER_PROCESSED, "pod"),),
        ),
        Panel(
            "Who holds which partition",
            Unit.NUMBER,
            m.WORKER_PARTITION.meaning,
            (largest(m.WORKER_PARTITION, "partition", "pod"),),
        ),
        Panel(
            "Failed attempts",
            Unit.NUMBER,
            m.QUEUE_ATTEMPTS.meaning,
            (largest(m.QUEUE_ATTEMPTS, "partition"),),
        ),
        Panel(
            "Database sessions",
            Unit.NUMBER,
            m.DATABASE_SESSIONS.meaning,
            (largest(m.DATABASE_SESSIONS, "state"),),
        ),
        Panel("Payments", Unit.PER_SECOND, m.PAYMENTS.meaning, (rate(m.PAYMENTS, "result"),)),
        Panel(
            "Workers with a price list",
            Unit.NUMBER,
            m.WORKER_CACHE_WARM.meaning,
            (Query(f"sum({m.WORKER_CACHE_WARM.name})", "warm"),),
        ),
        Panel("Warm-ups", Unit.PER_SECOND, m.WORKER_WARMUPS.meaning, (rate(m.WORKER_WARMUPS, "result"),)),
        Panel(
            "Workers' clocks",
            Unit.SECONDS,
            m.WORKER_CLOCK_OFFSET.meaning,
            (largest(m.WORKER_CLOCK_OFFSET, "pod"),),
            minimum=None,
        ),
        Panel(
            "The noisy neighbour's processor time",
            Unit.SHARE,
            m.ANALYTICS_CPU.meaning + " 100 % is one processor.",
            (rate(m.ANALYTICS_CPU, "pod", needs="fault noisy-neighbour"),),
        ),
        Panel(
            "Log store: objects",
            Unit.NUMBER,
            m.LOGSTORE_OBJECTS.meaning,
            (largest(m.LOGSTORE_OBJECTS, needs=LOGSTORE, legend="objects"),),
        ),
        Panel(
            "Log store: size",
            Unit.BYTES,
            m.LOGSTORE_BYTES.meaning,
            (largest(m.LOGSTORE_BYTES, needs=LOGSTORE, legend="size"),),
        ),
    ),
)
