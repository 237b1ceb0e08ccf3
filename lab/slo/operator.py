"""The lab's scrapes, rules and alert route as objects of the Prometheus Operator.

They say the same as prometheus.yml, rules.yml and alertmanager.yml, and are made from the same places, so
that series and alerts have the same names and labels: what the operator adds (`container`, `endpoint`, a
`job` of its own) is taken off again. Scrapes go through the lab's proxy here too, where the monitoring
faults bite.
API: https://prometheus-operator.dev/docs/api-reference/api/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from lab.core.clock import TimeScale
from lab.core.namespaces import LAB_SYSTEM, PLAIN, Namespaces
from lab.kube.objects import KubeObject
from lab.slo.alertmanager import alertmanager_config
from lab.slo.prometheus import JOB, PROMETHEUS, RULES_FILE, SCRAPE_PROXY_PORT, host_of, relabelling
from lab.slo.rules import rule_files
from lab.slo.windows import SCRAPE_SECONDS, prometheus_duration

GROUP = "monitoring.coreos.com"
NAME = "toil-lab"
_CAMEL = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
_ADDED = "container|endpoint"
"""Labels that the operator gives every target of a PodMonitor."""


def operator_objects(scale: TimeScale, namespaces: Namespaces, labels: Mapping[str, str]) -> list[KubeObject]:
    """All of them, with plain names. labels: those by which the operator's Prometheus and Alertmanager choose
    what they read."""
    return [
        *(_pod_monitor(namespace, labels) for namespace in PLAIN),
        _rules(scale, namespaces, labels),
        _route(labels),
    ]


def _object(version: str, kind: str, namespace: str, labels: Mapping[str, str], spec: Any) -> KubeObject:
    metadata = {"name": NAME, "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, "spec": spec}


def _pod_monitor(namespace: str, labels: Mapping[str, str]) -> KubeObject:
    """One for each namespace, so that none depends on being allowed to look into another."""
    interval = prometheus_duration(SCRAPE_SECONDS)
    rules = [{_CAMEL.get(key, key): value for key, value in rule.items()} for rule in relabelling()]
    rules += [
        {"targetLabel": "namespace", "replacement": namespace},  # by its plain name, whatever the cluster's
        {"targetLabel": "job", "replacement": JOB},
        {"action": "labeldrop", "regex": _ADDED},
    ]
    endpoint = {
        "interval": interval,
        "scrapeTimeout": interval,
        "proxyUrl": f"http://{host_of(PROMETHEUS, None)}:{SCRAPE_PROXY_PORT}",
        "relabelings": rules,
    }
    spec = {"selector": {}, "podMetricsEndpoints": [endpoint]}
    return _object("v1", "PodMonitor", namespace, labels, spec)


def _rules(scale: TimeScale, namespaces: Namespaces, labels: Mapping[str, str]) -> KubeObject:
    """The rules; an alert carries the namespace of its route, as an AlertmanagerConfig takes no others."""
    groups = yaml.safe_load(rule_files(scale)[RULES_FILE])["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        if "alert" in rule:
            rule["labels"] = rule["labels"] | {"namespace": namespaces.real(LAB_SYSTEM)}
    return _object("v1", "PrometheusRule", LAB_SYSTEM, labels, {"groups": groups})


def _route(labels: Mapping[str, str]) -> KubeObject:
    config = yaml.safe_load(alertmanager_config())
    route, (receiver,) = config["route"], config["receivers"]
    (webhook,) = receiver["webhook_configs"]
    spec = {
        "route": {
            "receiver": route["receiver"],
            "groupBy": route["group_by"],
            "groupWait": route["group_wait"],
            "groupInterval": route["group_interval"],
            "repeatInterval": route["repeat_interval"],
        },
        "receivers": [
            {
                "name": receiver["name"],
                "webhookConfigs": [
                    {
                        "url": webhook["url"],
                        "sendResolved": webhook["send_resolved"],
                        "maxAlerts": webhook["max_alerts"],
                    }
                ],
            }
        ],
    }
    return _object("v1alpha1", "AlertmanagerConfig", LAB_SYSTEM, labels, spec)
