"""A small optional helper for automations written in Python. Nothing requires it.

    from lab.automation import sdk

    pager, prometheus = sdk.Pager("restart-hung-workers"), sdk.Prometheus()
    for incident in pager.incidents():
        core = kubernetes.client.CoreV1Api(sdk.kube_client(incident["id"], "hung for 5 lab minutes"))

The addresses come from the environment of the pod: KUBECONFIG, PROMETHEUS_URL, PAGER_URL, TEXTFILE_DIR.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Mapping
from threading import Event
from typing import Any

import requests
import yaml

Json = dict[str, Any]
TIMEOUT = (2.0, 5.0)
TRIES = 3
_UNSET = "is not set: run this through lab run, or set it by hand"


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"{name} {_UNSET}")
    return value


def lab_minutes(count: float) -> float:
    """Real seconds that so many lab minutes take."""
    return count * float(os.environ.get("LAB_HOUR_SECONDS", "60")) / 60


class _Service:
    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._session.request(method, self._base + path, timeout=TIMEOUT, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _post(self, path: str, body: Json) -> Any:
        """POST once in effect: when no answer comes it is sent again under the same Idempotency-Key."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        for _ in range(TRIES - 1):
            try:
                return self._call("POST", path, json=body, headers=headers)
            except (requests.ConnectionError, requests.Timeout):
                continue
        return self._call("POST", path, json=body, headers=headers)


class Pager(_Service):
    """The pager, as one actor. `by` is the name that incidents and posts show."""

    def __init__(self, by: str, url: str = "") -> None:
        super().__init__(url or _variable("PAGER_URL"))
        self._by = by

    def incidents(self, status: str = "open") -> list[Json]:
        """Incidents, oldest first."""
        return list(self._call("GET", "/api/v1/incidents", params={"status": status})["incidents"])

    def acknowledge(self, incident: str) -> None:
        """Tell people that the automation works on it."""
        self._post(f"/api/v1/incidents/{incident}/acknowledge", {"by": self._by})

    def note(self, incident: str, text: str) -> None:
        """Add a finding to the incident."""
        self._post(f"/api/v1/incidents/{incident}/notes", {"by": self._by, "text": text})

    def action(self, incident: str, action: str, pod: str, reason: str, **more: str) -> None:
        """Record what was done to a pod of the shop (action `none`: decided to leave it alone).

        `more` may hold startedAt, endedAt and outcome.
        """
        target = {"kind": "Pod", "namespace": "shop", "name": pod}
        body = {"by": self._by, "action": action, "target": target, "reason": reason, **more}
        self._post(f"/api/v1/incidents/{incident}/actions", body)

    def escalate(self, incident: str, summary: str, evidence: str) -> None:
        """Hand the incident over to a human, with what was found."""
        body = {"by": self._by, "summary": summary, "evidence": evidence}
        self._post(f"/api/v1/incidents/{incident}/escalations", body)

    def status(self, text: str, incident: str = "") -> None:
        """Post to the team channel."""
        self._post("/api/v1/status", {"by": self._by, "text": text, "incident": incident or None})

    def request_approval(
        self,
        verb: str,
        resource: str,
        name: str,
        reason: str,
        *,
        restore_point: str = "",
        incident: str = "",
        group: str = "",
        subresource: str = "",
        namespace: str = "shop",
        within_lab_minutes: float = 15.0,
    ) -> Json:
        """Ask a human for one request to the Kubernetes API; the approval, most likely pending.

        It waits so many lab minutes for a decision (at most a lab day).

        It is asked in the name that the gateway knows the program by. Asking the same again while it is
        pending is the same request.
        """
        deed = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        target = {"namespace": namespace, "name": name}
        said: Json = {"reason": reason, "restorePoint": restore_point, "incident": incident or None}
        said["decideWithinLabMinutes"] = within_lab_minutes
        return dict(self._post("/api/v1/approvals", {"by": _actor()} | deed | target | said))

    def wait_for_approval(self, approval: str, lab_minutes_to_wait: float = 20.0) -> Json:
        """The approval as soon as it is decided, or as it is when the time is over: look at its status."""
        rounds = max(1, round(lab_minutes_to_wait * 4))
        for _ in range(rounds):
            found = dict(self._call("GET", f"/api/v1/approvals/{approval}"))
            if found["status"] != "pending":
                break
            Event().wait(lab_minutes(0.25))
        return found

    def dead_letter(self, summary: str, payload: Json, incident: str = "") -> Json:
        """Give work up, with what it takes to do it once more; a person decides about it.

        Giving the same work up again counts an attempt and makes no second letter.
        """
        body = {"by": self._by, "summary": summary, "payload": payload, "incident": incident or None}
        return dict(self._post("/api/v1/dead-letters", body))

    def replayed(self) -> list[Json]:
        """Dead letters that a person gave back to this program: do the work and say `done`, or give it up."""
        query = {"status": "replayed", "by": self._by}
        return list(self._call("GET", "/api/v1/dead-letters", params=query)["deadLetters"])

    def done(self, letter: str) -> None:
        """The work of a replayed dead letter is done."""
        self._post(f"/api/v1/dead-letters/{letter}/done", {"by": self._by})


class Prometheus(_Service):
    """Instant queries."""

    def __init__(self, url: str = "") -> None:
        super().__init__(url or _variable("PROMETHEUS_URL"))

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of every series of an instant vector."""
        data = self._call("GET", "/api/v1/query", params={"query": expression})["data"]["result"]
        return [(dict(series["metric"]), float(series["value"][1])) for series in data]

    def value(self, expression: str) -> float | None:
        """The value of the only series; None when there is none or more than one."""
        found = self.query(expression)
        return found[0][1] if len(found) == 1 else None


def write_metrics(
    file_name: str, samples: Mapping[str, float], types: Mapping[str, str] | None = None
) -> None:
    """Replace one `*.prom` file atomically. `samples` maps series as text (`name{label="x"}`) to values.

    `types` maps metric names to counter or gauge.
    """
    directory = _variable("TEXTFILE_DIR")
    lines = [f"# TYPE {name} {kind}\n" for name, kind in (types or {}).items()]
    lines += [f"{series} {value}\n" for series, value in samples.items()]
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=file_name, suffix=".tmp")
    with os.fdopen(descriptor, "w") as stream:
        stream.writelines(lines)
    os.replace(temporary, os.path.join(directory, file_name))


def _actor() -> str:
    """The name that the gateway knows this program by: the user of its kubeconfig."""
    with open(_variable("KUBECONFIG"), encoding="utf-8") as file:
        found = yaml.safe_load(file)
    contexts = {entry["name"]: entry["context"] for entry in found["contexts"]}
    return str(contexts[found["current-context"]]["user"])


def kube_client(incident: str = "", reason: str = "") -> Any:
    """An ApiClient from KUBECONFIG; the audit log shows the incident and the reason of its requests."""
    from kubernetes import client, config

    settings = client.Configuration()
    settings.proxy = None  # the gateway is in the lab; this client would take a proxy variable to mean it too
    api = config.new_client_from_config(config_file=_variable("KUBECONFIG"), client_configuration=settings)
    if incident:
        api.set_default_header("X-Lab-Incident", incident)
    if reason:
        api.set_default_header("X-Lab-Reason", reason.encode("ascii", "replace").decode())
    return api
