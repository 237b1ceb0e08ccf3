"""A Prometheus of the cluster's own, run by the Prometheus Operator, in the place of the lab's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.core.namespaces import LAB_SYSTEM, SHOP, Namespaces
from lab.engine.clients import ServiceClient, wait_until
from lab.engine.objects import ALERTMANAGER
from lab.errors import DeadlineExceeded, LabError, ProviderError, UsageError
from lab.kube.objects import KubeObject, labels_of, name_of, namespace_of
from lab.kube.selectors import label_selector_from
from lab.providers.base import LAB_LABEL
from lab.slo.operator import GROUP, operator_objects
from lab.slo.prometheus import JOB, SCRAPE_PROXY_PORT
from lab.slo.query_proxy import UPSTREAM_VARIABLE

if TYPE_CHECKING:
    from lab.core.clock import TimeScale
    from lab.engine.kube import Kube
    from lab.engine.lab import Lab
    from lab.engine.settings import LabSettings

EXISTING = "existing"
"""Of `lab up --prometheus`: the cluster's only one; otherwise NAMESPACE/NAME of the object Prometheus."""

PART = "prometheus"
PAGER_PORT = 8080
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
KINDS = (
    ("v1", "Prometheus"),
    ("v1", "Alertmanager"),
    ("v1", "PodMonitor"),
    ("v1", "PrometheusRule"),
    ("v1alpha1", "AlertmanagerConfig"),
)
_OPERATED = "prometheus-operated"
SCRAPED_SECONDS = 180.0
"""How long it may take the operator to hand the lab's objects to Prometheus, and Prometheus to scrape."""


@dataclass(frozen=True, slots=True)
class Existing:
    """That Prometheus. name: NAMESPACE/NAME. url: where it answers in the cluster. labels: what it and its
    Alertmanagers choose by. alertmanagers: namespaces of the latter."""

    name: str
    url: str
    labels: Mapping[str, str]
    alertmanagers: tuple[str, ...] = ()

    def openings(self) -> list[KubeObject]:
        """Where network policies keep others out: the way in for its scrapes, and for notifications."""
        namespace = self.name.partition("/")[0]
        return [
            _opening("from-existing-prometheus", PART, SCRAPE_PROXY_PORT, [namespace]),
            _opening("from-existing-alertmanager", "pager", PAGER_PORT, self.alertmanagers),
        ]


def _opening(name: str, app: str, port: int, namespaces: Iterable[str]) -> KubeObject:
    named = [{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: each}}} for each in namespaces]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": LAB_SYSTEM},
        "spec": {
            "podSelector": {"matchLabels": {"app": app}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": named, "ports": [{"port": port}]}],
        },
    }


def refuse_own(settings: LabSettings) -> None:
    """Raise UsageError for what comes with a Prometheus of the lab's own and has no place beside another."""
    wanted = settings.prometheus
    if wanted and wanted != EXISTING and len([part for part in wanted.split("/") if part]) != 2:
        raise UsageError(
            f"--prometheus is own, existing or NAMESPACE/NAME, not {wanted!r}",
            hint="existing: the only one of the cluster that the Prometheus Operator runs",
        )
    if wanted and ALERTMANAGER in settings.parts:
        raise UsageError(
            "--with alertmanager comes with the lab's own Prometheus",
            hint="an existing Prometheus has Alertmanagers of its own, which the lab gives a route",
        )


def find_existing(kube: Kube, settings: LabSettings, namespaces: Namespaces) -> Existing | None:
    """The Prometheus that is wanted, if it would read the lab's objects; None for one of the lab's own.

    Raises ProviderError with everything that stands against it, UsageError when it is not clear which.
    """
    if not settings.prometheus:
        return None
    absent = [kind for version, kind in KINDS if not kube.serves(f"{GROUP}/{version}", kind)]
    if absent:
        raise ProviderError(
            f"the cluster has no Prometheus Operator: it does not know {', '.join(absent)} of {GROUP}",
            hint="without --prometheus the lab brings a Prometheus of its own",
        )
    chosen = _choose(kube.everywhere("Prometheus", f"{GROUP}/v1"), settings.prometheus)
    spec, alertmanagers = chosen["spec"], _alertmanagers(kube, chosen)
    labels = _chosen_by(spec, alertmanagers)
    namespace = {
        LAB_LABEL: settings.name,
        "app.kubernetes.io/part-of": "toil-lab",
        NAMESPACE_LABEL: namespaces.real(LAB_SYSTEM),
    }
    problems = [
        *(_unread(name, found, labels) for name, found in _selectors(spec, alertmanagers, "Selector")),
        *(
            _unread(name, found, namespace)
            for name, found in _selectors(spec, alertmanagers, "NamespaceSelector")
        ),
        "" if alertmanagers else "it sends alerts to no Alertmanager of the operator",
        "enforcedNamespaceLabel would change the lab's queries" if spec.get("enforcedNamespaceLabel") else "",
        _other_lab(kube, settings.name),
    ]
    listed = "".join(f"\n  - {problem}" for problem in problems if problem)
    if listed:
        raise ProviderError(
            f"the Prometheus {namespace_of(chosen)}/{name_of(chosen)} would not serve the lab:{listed}",
            hint="docs/monitoring.md says what it has to allow; without --prometheus the lab brings its own",
        )
    service = f"{spec.get('serviceName') or _OPERATED}.{namespace_of(chosen)}.svc"
    prefix = str(spec.get("routePrefix") or "").rstrip("/")
    return Existing(
        f"{namespace_of(chosen)}/{name_of(chosen)}",
        f"http://{service}:9090{prefix}",
        labels,
        tuple(sorted({namespace_of(found) for found in alertmanagers})),
    )


def _selectors(
    spec: KubeObject, alertmanagers: Iterable[KubeObject], end: str
) -> list[tuple[str, KubeObject | None]]:
    """What Prometheus and its Alertmanagers choose objects by, or their namespaces, with the field's name."""
    own = [(f"{kind}{end}", spec.get(f"{kind}{end}")) for kind in ("podMonitor", "rule")]
    field = f"alertmanagerConfig{end}"
    return own + [(f"{field} of {name_of(found)}", found["spec"].get(field)) for found in alertmanagers]


def _chosen_by(spec: KubeObject, alertmanagers: Iterable[KubeObject]) -> dict[str, str]:
    """The labels that make all of them choose an object."""
    labels: dict[str, str] = {}
    for _, selector in _selectors(spec, alertmanagers, "Selector"):
        labels |= (selector or {}).get("matchLabels") or {}
    return labels


def _choose(found: list[KubeObject], wanted: str) -> KubeObject:
    by_name = {f"{namespace_of(each)}/{name_of(each)}": each for each in found}
    if wanted != EXISTING:
        by_name = {name: each for name, each in by_name.items() if name == wanted}
    if len(by_name) == 1:
        return next(iter(by_name.values()))
    there = ", ".join(sorted(f"{namespace_of(each)}/{name_of(each)}" for each in found)) or "none"
    raise UsageError(
        f"the cluster has no object Prometheus {wanted!r}" if not by_name else "which Prometheus is meant?",
        hint=f"--prometheus NAMESPACE/NAME; there is: {there}",
    )


def _alertmanagers(kube: Kube, prometheus: KubeObject) -> list[KubeObject]:
    """Those of the operator in the namespaces that this Prometheus sends alerts to."""
    endpoints = ((prometheus["spec"].get("alerting") or {}).get("alertmanagers")) or ()
    told = {str(endpoint.get("namespace") or namespace_of(prometheus)) for endpoint in endpoints}
    found = kube.everywhere("Alertmanager", f"{GROUP}/v1")
    return [each for each in found if namespace_of(each) in told]


def _unread(name: str, selector: Any, labels: Mapping[str, str]) -> str:
    """Why what carries these labels is not chosen; empty when it is. Without a selector nothing is."""
    if selector is None:
        return f"{name} is not set, so that it reads nothing of the lab's"
    if label_selector_from(selector).matches(labels):
        return ""
    return f"{name} does not match {', '.join(f'{key}={value}' for key, value in sorted(labels.items()))}"


def _other_lab(kube: Kube, lab: str) -> str:
    """A name of another lab that it serves: its queries would count both."""
    owners = {labels_of(each).get(LAB_LABEL, lab) for each in kube.everywhere("PodMonitor", f"{GROUP}/v1")}
    others = sorted(owners - {lab})
    return f"it serves the lab {others[0]!r} already, and one Prometheus holds one lab" if others else ""


def objects_for(existing: Existing | None, scale: TimeScale, namespaces: Namespaces) -> list[KubeObject]:
    """What the lab makes so that it serves the lab, with plain names."""
    if existing is None:
        return []
    return [*operator_objects(scale, namespaces, existing.labels), *existing.openings()]


def stand_in(deployments: list[KubeObject], existing: Existing | None) -> None:
    """Take Prometheus out of its pod: what stands beside it stays, and passes questions on to the other."""
    if existing is None:
        return
    (deployment,) = [d for d in deployments if name_of(d) == PART]
    pod = deployment["spec"]["template"]["spec"]
    own, beside = pod["containers"]
    beside["env"].append({"name": UPSTREAM_VARIABLE, "value": existing.url})
    beside["ports"].insert(0, own["ports"][0])
    pod["containers"] = [beside]
    del pod["volumes"]


def wait_scraped(lab: Lab, existing: Existing | None) -> None:
    """Wait until it has scraped pods of every namespace of the lab, and has its rules.

    Raises DeadlineExceeded: whoever runs that Prometheus may have forbidden what its selectors allow.
    """
    if existing is None:
        return
    wanted = {
        f'count(up{{job="{JOB}",namespace="{name}"}} == 1)': f"pods of {name}" for name in (SHOP, LAB_SYSTEM)
    }
    wanted["count(slo:objective:ratio)"] = "the rules"

    def scraped() -> bool:
        for query in list(wanted):
            try:
                answer = prometheus.call("GET", "/api/v1/query", params={"query": query})
                found = answer["data"]["result"]
            except (LabError, ValueError, KeyError, TypeError):
                found = []
            if found:
                del wanted[query]
        return not wanted

    with closing(ServiceClient(lab.prometheus_url, "Prometheus")) as prometheus:
        came = wait_until(scraped, seconds=SCRAPED_SECONDS, every=0.5)
    if not came:
        raise DeadlineExceeded(
            f"the Prometheus {existing.name} has not taken up {', '.join(wanted.values())}"
            f" within {SCRAPED_SECONDS:.0f} s",
            hint="its page of targets and the log of the Prometheus Operator say why: it has to list pods in"
            f" the lab's namespaces, and to reach port {SCRAPE_PROXY_PORT} of the lab's Service {PART}",
        )
