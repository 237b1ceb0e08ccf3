"""The API server takes its time over every request."""

from __future__ import annotations

from lab.faults.api_fault import ApiFault, api_spec, seconds


class ApiLatency(ApiFault):
    """Requests wait before they are carried out; one whose client gives up meanwhile is never carried out."""

    spec = api_spec(
        "api-latency",
        "The Kubernetes API answers late: each request waits before it is carried out.",
        seconds("delaySeconds", "How long each request waits, in real time.", 2.0, 0, 120),
        seconds("spreadSeconds", "Up to so much longer, by chance.", 0.0, 0, 120),
    )
