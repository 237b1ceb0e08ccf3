"""The configuration of an Alertmanager between Prometheus and the pager.

It groups nothing and waits for nothing, as the pager does its own telling apart: every alert is a group of
its own, notified at once, told again as often as Prometheus renews it, and told when it is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from lab.slo.prometheus import PAGER, host_of
from lab.slo.windows import SCRAPE_SECONDS, prometheus_duration

REPEAT_SECONDS = 5.0
"""How often an alert that fires is told again: as often as Prometheus renews it."""


def alertmanager_config(*, addresses: Mapping[str, str] | None = None) -> str:
    """The text of alertmanager.yml. addresses: as for `prometheus_config`."""
    config: dict[str, Any] = {
        "route": {
            "receiver": "pager",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": prometheus_duration(SCRAPE_SECONDS),
            "repeat_interval": prometheus_duration(REPEAT_SECONDS),
        },
        "receivers": [
            {
                "name": "pager",
                "webhook_configs": [
                    {
                        "url": f"http://{host_of(PAGER, addresses)}:8080/api/v1/alertmanager",
                        "send_resolved": True,
                        "max_alerts": 0,
                    }
                ],
            }
        ],
    }
    return yaml.safe_dump(config, sort_keys=False, width=110)
