"""The Prometheus Operator as far as tests play it: its kinds with exactly the fields that the lab uses, and
what it makes of a PodMonitor, a PrometheusRule and an AlertmanagerConfig.

Source of the translation: generatePodMonitorConfig in the operator's pkg/prometheus/promcfg.go, and
processRoute of the namespaceEnforcer in its pkg/alertmanager/amcfg.go.
"""

from __future__ import annotations

from typing import Any

from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.slo.discovery import target_group
from lab.slo.operator import GROUP

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
TEXTS: Json = {"type": "object", "additionalProperties": TEXT}
ANYTHING: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DURATION: Json = {"type": "string", "pattern": "^(0|([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"}


def whole(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


def listed(items: Json) -> Json:
    return {"type": "array", "items": items}


RELABELING = whole(
    action={"type": "string", "enum": ["replace", "keep", "drop", "labeldrop"], "default": "replace"},
    regex=TEXT,
    replacement=TEXT,
    separator=TEXT,
    sourceLabels=listed(TEXT),
    targetLabel=TEXT,
)
ENDPOINT = whole(
    interval=DURATION,
    scrapeTimeout=DURATION,
    proxyUrl={"type": "string", "pattern": "^(http|https|socks5)://.+$"},
    relabelings=listed(RELABELING),
)
RULE = whole(record=TEXT, alert=TEXT, expr=TEXT, labels=TEXTS, annotations=TEXTS, **{"for": DURATION}) | {
    "required": ["expr"]
}
WEBHOOK = whole(url=TEXT, sendResolved={"type": "boolean"}, maxAlerts={"type": "integer", "minimum": 0})
ROUTE = whole(
    receiver=TEXT,
    groupBy=listed(TEXT),
    groupWait=TEXT,
    groupInterval=TEXT,
    repeatInterval=TEXT,
)
KINDS: dict[str, tuple[str, str, Json]] = {
    "Prometheus": ("v1", "prometheuses", ANYTHING),
    "Alertmanager": ("v1", "alertmanagers", ANYTHING),
    "PodMonitor": ("v1", "podmonitors", whole(selector=ANYTHING, podMetricsEndpoints=listed(ENDPOINT))),
    "PrometheusRule": (
        "v1",
        "prometheusrules",
        whole(groups=listed(whole(name=TEXT, interval=DURATION, rules=listed(RULE)))),
    ),
    "AlertmanagerConfig": (
        "v1alpha1",
        "alertmanagerconfigs",
        whole(route=ROUTE, receivers=listed(whole(name=TEXT, webhookConfigs=listed(WEBHOOK)))),
    ),
}
"""Version, plural and schema of `spec`."""


def definition(kind: str) -> KubeObject:
    """The CustomResourceDefinition of a kind."""
    version, plural, spec = KINDS[kind]
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": whole(spec=spec) | {"required": ["spec"]}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [served],
        },
    }


def path_of(kind: str, namespace: str = "") -> str:
    """Where objects of a kind are listed and created."""
    version, plural, _ = KINDS[kind]
    inside = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/{GROUP}/{version}/{inside}{plural}"


def scrape_configs(monitor: KubeObject, discovery: str) -> list[Json]:
    """What a PodMonitor without a port becomes. discovery: in the place of kubernetes_sd."""
    made = []
    for place, endpoint in enumerate(monitor["spec"]["podMetricsEndpoints"]):
        assert monitor["spec"]["selector"] == {}
        assert "port" not in endpoint
        job = f"{namespace_of(monitor)}/{name_of(monitor)}"
        relabelings: list[Json] = [
            {"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"},
            {
                "action": "drop",
                "source_labels": ["__meta_kubernetes_pod_phase"],
                "regex": "(Failed|Succeeded)",
            },
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
            {"target_label": "job", "replacement": job},
        ]
        for rule in endpoint["relabelings"]:
            snake = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
            relabelings.append({snake.get(key, key): value for key, value in rule.items()})
        made.append(
            {
                "job_name": f"podMonitor/{job}/{place}",
                "honor_labels": False,
                "scrape_interval": endpoint["interval"],
                "scrape_timeout": endpoint["scrapeTimeout"],
                "proxy_url": endpoint["proxyUrl"],
                "http_sd_configs": [
                    {"url": f"{discovery}?namespace={namespace_of(monitor)}", "refresh_interval": "1s"}
                ],
                "relabel_configs": relabelings,
            }
        )
    return made


def pod_targets(pod: KubeObject) -> list[Json]:
    """A pod as kubernetes_sd gives it: a target for each port of each container."""
    group = target_group(pod)
    made = []
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or [{}]:
            number = port.get("containerPort")
            labels = {
                "__meta_kubernetes_pod_container_name": container["name"],
                "__meta_kubernetes_pod_container_port_name": port.get("name", ""),
                "__meta_kubernetes_pod_container_port_number": str(number or ""),
            }
            address = pod["status"]["podIP"] + (f":{number}" if number else "")
            made.append({"targets": [address], "labels": group["labels"] | labels})
    return made


def alertmanager_yaml(config: KubeObject) -> Json:
    """What an AlertmanagerConfig becomes: for its namespace alone, below a root that drops the rest."""
    spec, name = config["spec"], f"{namespace_of(config)}/{name_of(config)}"
    route = spec["route"]
    return {
        "route": {
            "receiver": "null",
            "routes": [
                {
                    "receiver": f"{name}/{route['receiver']}",
                    "matchers": [f'namespace="{namespace_of(config)}"'],
                    "continue": True,
                    "group_by": route["groupBy"],
                    "group_wait": route["groupWait"],
                    "group_interval": route["groupInterval"],
                    "repeat_interval": route["repeatInterval"],
                }
            ],
        },
        "receivers": [
            {"name": "null"},
            *(
                {
                    "name": f"{name}/{receiver['name']}",
                    "webhook_configs": [
                        {
                            "url": webhook["url"],
                            "send_resolved": webhook["sendResolved"],
                            "max_alerts": webhook["maxAlerts"],
                        }
                        for webhook in receiver["webhookConfigs"]
                    ],
                }
                for receiver in spec["receivers"]
            ),
        ],
    }
