"""Actions and probes for experiments, by Chaos Toolkit's Python provider.

    {"type": "action", "name": "two workers hang",
     "provider": {"type": "python", "module": "lab.experiments.activities", "func": "inject",
                  "arguments": {"fault": "hung-workers", "parameters": {"count": 2}, "seconds": 60}}}

Every function finds its lab in the experiment's configuration, key `lab_name`, which `lab experiment` sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from lab.engine.lab import Lab, is_available, open_lab
from lab.engine.settings import LabSettings
from lab.errors import NotReadyError
from lab.kube.objects import name_of, namespace_of

LEASE_SECONDS = 600.0
"""How long a fault of an experiment lasts at most when it does not say: a run that was killed ends it so."""

_QUERY_SECONDS = 10.0
Configuration = Mapping[str, Any] | None


def inject(
    fault: str,
    seconds: float = LEASE_SECONDS,
    parameters: dict[str, Any] | None = None,
    configuration: Configuration = None,
) -> list[str]:
    """Start a fault of the catalogue; the identities of its journal entries, one per victim.

    seconds: its lease, in real seconds. It ends with the experiment in any case.
    """
    with _lab(configuration) as lab:
        return [str(entry["id"]) for entry in lab.faults.inject(fault, seconds, parameters)]


def heal(fault: str = "", configuration: Configuration = None) -> list[str]:
    """Undo a fault by name, or all that are active; the identities that were undone."""
    with _lab(configuration) as lab:
        return [str(entry["id"]) for entry in lab.faults.heal(fault)]


def kill_switch(on: bool, reason: str = "", configuration: Configuration = None) -> bool:
    """Engage or release the kill switch; as it is now."""
    with _lab(configuration) as lab:
        lab.set_kill_switch(on, "experiment", reason)
        return on


def query(promql: str, configuration: Configuration = None) -> float | None:
    """The value of a query that gives one sample; None when it gives none, which meets no tolerance.

    Raises NotReadyError when Prometheus does not answer, or the query gives several.
    """
    with _lab(configuration) as lab, requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(
                f"{lab.prometheus_url}/api/v1/query", params={"query": promql}, timeout=_QUERY_SECONDS
            )
            body = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise NotReadyError(f"Prometheus does not answer: {error}") from error
    if body.get("status") != "success":
        raise NotReadyError(f"Prometheus refuses the query {promql!r}: {body.get('error')}")
    data = body["data"]
    if data["resultType"] == "scalar":
        return float(data["result"][1])
    if len(data["result"]) > 1:
        raise NotReadyError(
            f"the query {promql!r} gives {len(data['result'])} samples", hint="aggregate them"
        )
    return float(data["result"][0]["value"][1]) if data["result"] else None


def incidents(alertname: str = "", status: str = "open", configuration: Configuration = None) -> int:
    """How many incidents there are: of an alert, or of any."""
    with _lab(configuration) as lab:
        return sum(alertname in ("", incident["alertname"]) for incident in lab.pager.incidents(status))


def available(namespace: str, name: str, configuration: Configuration = None) -> bool:
    """Whether a Deployment is rolled out and available."""
    with _lab(configuration) as lab:
        found = [d for d in lab.kube.deployments() if (namespace_of(d), name_of(d)) == (namespace, name)]
        return bool(found) and is_available(found[0])


@contextmanager
def _lab(configuration: Configuration) -> Iterator[Lab]:
    lab = open_lab(str((configuration or {}).get("lab_name") or LabSettings().name))
    try:
        yield lab
    finally:
        lab.close()
