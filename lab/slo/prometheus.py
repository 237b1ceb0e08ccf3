"""The configuration file of the lab's Prometheus: what is scraped, and where alerts go.

Pods are found by Prometheus' HTTP service discovery, not by its built-in kubernetes_sd: the Prometheus that
Debian and Ubuntu ship is built without the latter. `lab.slo.discovery`, beside Prometheus, answers with the
same meta labels, so the relabelling below is what one would write for kubernetes_sd (role pod). Every scrape
goes through `lab.slo.scrape_proxy`, also beside Prometheus, where the monitoring faults bite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from lab.core.clock import TimeScale
from lab.slo.windows import SCRAPE_SECONDS, prometheus_duration

RULES_FILE = "rules.yml"
PAGER = "lab-system/pager"
ALERTMANAGER = "lab-system/alertmanager"
PROMETHEUS = "lab-system/prometheus"
DISCOVERY_PORT = 9091
SCRAPE_PROXY_PORT = 9092
JOB = "pods"
"""The label `job` of every series."""

Json = dict[str, Any]


def prometheus_config(
    scale: TimeScale, *, addresses: Mapping[str, str] | None = None, alertmanager: bool = False
) -> str:
    """The text of prometheus.yml.

    alertmanager: alerts go to an Alertmanager, and from there to the pager.

    addresses: `namespace/service` to the address to use for it, needed where there is no cluster DNS; a
    service that is not in it is reached by its name. The intervals are real time, whatever the scale: a
    second is the shortest that makes sense.
    """
    del scale
    interval = prometheus_duration(SCRAPE_SECONDS)
    service, port = (ALERTMANAGER, 9093) if alertmanager else (PAGER, 8080)
    receiver = f"{host_of(service, addresses)}:{port}"
    beside = f"http://{host_of(PROMETHEUS, addresses)}"
    config: Json = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [RULES_FILE],
        "alerting": {
            "alertmanagers": [
                {"api_version": "v2", "timeout": "2s", "static_configs": [{"targets": [receiver]}]}
            ]
        },
        "scrape_configs": [
            {
                "job_name": JOB,
                "proxy_url": f"{beside}:{SCRAPE_PROXY_PORT}",
                "http_sd_configs": [
                    {"url": f"{beside}:{DISCOVERY_PORT}/targets", "refresh_interval": interval}
                ],
                "relabel_configs": relabelling(),
            }
        ],
    }
    return yaml.safe_dump(config, sort_keys=False, width=110)


def host_of(service: str, addresses: Mapping[str, str] | None) -> str:
    """Where a Service (`namespace/name`) is reached from a pod: its address, or its name."""
    namespace, _, name = service.partition("/")
    return (addresses or {}).get(service) or f"{name}.{namespace}.svc"


def relabelling() -> list[Json]:
    """Keep pods annotated `prometheus.io/scrape: "true"`, at their annotated port; name the series."""
    annotation = "__meta_kubernetes_pod_annotation_prometheus_io_"
    return [
        {"source_labels": [f"{annotation}scrape"], "regex": "true", "action": "keep"},
        {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Succeeded|Failed", "action": "drop"},
        {
            "source_labels": ["__meta_kubernetes_pod_ip", f"{annotation}port"],
            "separator": ";",
            "regex": "(.+);([0-9]+)",
            "replacement": "$1:$2",
            "target_label": "__address__",
        },
        {"source_labels": [f"{annotation}path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        {"source_labels": ["__meta_kubernetes_pod_label_app"], "target_label": "app"},
    ]
