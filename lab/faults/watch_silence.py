"""Watches stay open and say nothing more."""

from __future__ import annotations

from lab.faults.api_fault import CLIENT, PROBABILITY, RESOURCES, ApiFault, api_spec


class WatchSilence(ApiFault):
    """As when a load balancer forgets a connection: no event, no bookmark, no end."""

    spec = api_spec(
        "watch-silence",
        "Watches stay open and deliver nothing; what was held back arrives when the fault ends.",
        common=(CLIENT, RESOURCES, PROBABILITY),
    )
