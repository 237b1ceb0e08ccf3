"""Every metric of the lab, declared once. Rules, graders and exporters take names from here."""

from __future__ import annotations

from lab.metrics.metric import Kind, Metric

_LATENCY = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
_REQUEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_INCIDENT = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 90.0, 180.0, 600.0, 3600.0)


def _counter(name: str, exporter: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, meaning, exporter, labels)


def _gauge(name: str, exporter: str, meaning: str, *labels: str, unit: str = "1") -> Metric:
    return Metric(name, Kind.GAUGE, meaning, exporter, labels, unit)


def _seconds(name: str, exporter: str, meaning: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(name, Kind.HISTOGRAM, meaning, exporter, (), "seconds", buckets)


ORDERS = _counter(
    "shop_orders_total",
    "api",
    "Orders by how they ended for the customer: confirmed, late, failed.",
    "result",
)
ORDER_CONFIRMATION = _seconds(
    "shop_order_confirmation_seconds",
    "api",
    "From the request to the order's confirmation; an order not confirmed counts with the full wait.",
    _LATENCY,
)
QUEUE_ORDERS = _gauge("shop_queue_orders", "api", "Orders that wait for their worker.", "partition")
QUEUE_OLDEST_AGE = _gauge(
    "shop_queue_oldest_order_age_seconds",
    "api",
    "Age of the oldest order that waits; 0 when none does.",
    "partition",
    unit="seconds",
)
QUEUE_ATTEMPTS = _gauge(
    "shop_queue_attempts", "api", "Failed attempts at the waiting order that failed most often.", "partition"
)
WORKER_PROCESSED = _counter(
    "shop_worker_orders_processed_total", "worker", "Orders that this worker confirmed.", "partition"
)
WORKER_LAST_PROGRESS = _gauge(
    "shop_worker_last_progress_timestamp_seconds",
    "worker",
    "Unix time when this worker last confirmed an order, or took the partition.",
    "partition",
    unit="seconds",
)
WORKER_PARTITION = _gauge(
    "shop_worker_partition_info", "worker", "1 while this worker holds the partition.", "partition"
)
WORKER_WARMUPS = _counter(
    "shop_worker_warmups_total",
    "worker",
    "Attempts of this worker to fill its price list: done, or conflict with another worker's.",
    "result",
)
WORKER_CACHE_WARM = _gauge(
    "shop_worker_cache_warm", "worker", "1 while this worker has a price list, 0 while it must fill one."
)
WORKER_CLOCK_OFFSET = _gauge(
    "shop_worker_clock_offset_seconds",
    "worker",
    "By how much this worker's wall clock is ahead of the database's, at its last heartbeat;"
    " NaN before the first.",
    unit="seconds",
)
DATABASE_SESSIONS = _gauge(
    "shop_database_sessions",
    "api",
    "Clients of the database by what it does for them: active, waiting (for a lock), idle.",
    "state",
)
LOAD_REQUESTS = _counter(
    "shop_load_requests_total",
    "load",
    "Requests sent, by status code, or timeout, or error when no answer came.",
    "code",
)
LOAD_LATENCY = _seconds(
    "shop_load_latency_seconds", "load", "What a customer waited for an answer.", _LATENCY
)
PAYMENTS = _counter("shop_payments_total", "payments", "Payments by result: authorized, declined.", "result")

ANALYTICS_CPU = _counter(
    "shop_analytics_cpu_seconds_total",
    "analytics",
    "Processor seconds that a noisy neighbour has taken; its pod is there only while that fault bites.",
)

GATEWAY_REQUESTS = _counter(
    "toil_gateway_requests_total",
    "gateway",
    "Requests through the gateway.",
    "mode",
    "verb",
    "resource",
    "decision",
    "code",
)
MUTATIONS = _counter(
    "toil_mutations_total", "gateway", "Mutating requests by outcome.", "mode", "verb", "resource", "outcome"
)
GATEWAY_DURATION = _seconds(
    "toil_gateway_request_duration_seconds", "gateway", "From a request's arrival to its answer.", _REQUEST
)
GATEWAY_FAULTS = _counter(
    "toil_gateway_faults_total",
    "gateway",
    "Requests and watches that a fault of the Kubernetes API hit.",
    "fault",
)
KILL_SWITCH = _gauge("toil_kill_switch_engaged", "gateway", "1 while the kill switch is on.")
GATEWAY_MODE = _gauge("toil_gateway_mode", "gateway", "1 for the mode in force, 0 for the others.", "mode")
BUDGET_USED = _gauge(
    "toil_budget_used",
    "gateway",
    "Use of each budget of actions that is set; of the cooldown, targets that cool down.",
    "budget",
)
BUDGET_LIMIT = _gauge("toil_budget_limit", "gateway", "Each budget of actions that is set.", "budget")

PAGES = _counter("toil_pages_total", "pager", "Pages sent.", "alertname", "severity")
INCIDENTS_OPEN = _gauge("toil_incidents_open", "pager", "Incidents triggered or acknowledged, not resolved.")
TIME_TO_ACKNOWLEDGE = _seconds(
    "toil_incident_time_to_acknowledge_seconds", "pager", "From opening to acknowledgement.", _INCIDENT
)
TIME_TO_RESOLVE = _seconds(
    "toil_incident_time_to_resolve_seconds", "pager", "From opening to resolution.", _INCIDENT
)
ESCALATIONS = _counter("toil_escalations_total", "pager", "Hand-overs to a human.")
ESCALATION_TIMEOUTS = _counter(
    "toil_escalation_timeouts_total",
    "pager",
    "Pages and escalations that a level of the ladder left unanswered, by level (1: primary).",
    "level",
)
STATUS_POSTS = _counter("toil_status_posts_total", "pager", "Posts to the team channel.")
APPROVALS = _counter(
    "toil_approvals_total",
    "pager",
    "Approvals by what happened to them: requested, approved, refused, expired, used.",
    "result",
)
APPROVALS_PENDING = _gauge("toil_approvals_pending", "pager", "Approvals that wait for a human's decision.")
DEAD_LETTERS = _gauge("toil_dead_letters", "pager", "Dead letters that wait for a human's decision.")
SILENCED_ALERTS = _gauge("toil_silenced_alerts", "pager", "Alerts that fire and page nobody: silenced.")

FAULTS_ACTIVE = _gauge("toil_faults_active", "faults", "Faults that bite now.", "fault")
FAULTS_INJECTED = _counter("toil_faults_injected_total", "faults", "Faults applied.", "fault")

CANARY_PERCENT = _gauge(
    "toil_canary_percent",
    "canary",
    "Share of the targets on which the automation may act, 0 to 100: 0 in shadow, 100 when live.",
    unit="percent",
)
CANARY_PHASE = _gauge("toil_canary_phase", "canary", "1 for the canary's phase, 0 for the others.", "phase")
ROLLBACKS = _counter(
    "toil_rollbacks_total",
    "canary",
    "Times that what the automation changed was restored: analysis-failed, analysis-error, manual, command.",
    "reason",
)

AUTOMATION_UP = _gauge("toil_automation_up", "automation", "1 while the candidate's program runs.")
AUTOMATION_RESTARTS = _counter(
    "toil_automation_restarts_total", "automation", "Times the candidate's program was started again."
)
AUTO_SUCCESS_RATE = _gauge(
    "toil_auto_success_rate",
    "automation",
    "Successful remediations of those attempted in the rolling lab hour, 0 to 1; absent when none was.",
)
REMEDIATIONS = _counter(
    "toil_remediations_total", "automation", "Remediations by result: success, failure.", "result"
)

LOGSTORE_OBJECTS = _gauge("shop_logstore_objects", "logstore", "Objects in the log bucket.")
LOGSTORE_BYTES = _gauge(
    "shop_logstore_bytes", "logstore", "Size of all objects in the log bucket.", unit="bytes"
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""Every declaration above, in order."""
