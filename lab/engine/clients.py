"""Small synchronous clients for the lab's own services, as the wire contracts describe them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import requests

from lab.core import interrupt
from lab.core.audit import AuditRecord
from lab.errors import LabError, NotReadyError, UsageError

Json = dict[str, Any]
_TIMEOUT = (3.0, 15.0)


class ServiceClient:
    """JSON over HTTP with one base URL. An answer outside 2xx or a dead service raises a LabError."""

    def __init__(self, base: str, what: str, token: str = "") -> None:
        self.base = base.rstrip("/")
        self.what = what
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy variable must never see lab traffic
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, *, body: Any = None, params: Json | None = None) -> Any:
        """One request; the decoded JSON answer (text when it is not JSON)."""
        try:
            answer = self._session.request(
                method, self.base + path, json=body, params=params, timeout=_TIMEOUT
            )
        except requests.RequestException as error:
            raise NotReadyError(
                f"the {self.what} does not answer at {self.base}{path}: {type(error).__name__}",
                hint="lab status shows which part is down",
            ) from error
        if answer.status_code >= 400:
            raise self._refusal(answer, method, path)
        if "json" in answer.headers.get("Content-Type", ""):
            return answer.json()
        return answer.text

    def _refusal(self, answer: requests.Response, method: str, path: str) -> LabError:
        """What a service says is wrong, and the way out: `{"error", "hint"}`, or as Alertmanager a string."""
        kind = UsageError if answer.status_code in (400, 404, 409, 422) else LabError
        try:
            said = answer.json()
            if isinstance(said, str):
                return kind(f"the {self.what} refused: {said}")
            return kind(f"the {self.what} refused: {said['error']}", hint=str(said.get("hint") or ""))
        except (ValueError, KeyError, TypeError):
            return kind(f"the {self.what} refused {method} {path}: {answer.status_code} {answer.text[:400]}")

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()


class PagerClient(ServiceClient):
    """Incidents, status posts, history."""

    def incidents(self, status: str = "all") -> list[Json]:
        """Incidents, oldest first."""
        return list(self.call("GET", "/api/v1/incidents", params={"status": status})["incidents"])

    def incident(self, identity: str) -> Json:
        """One incident."""
        return dict(self.call("GET", f"/api/v1/incidents/{identity}"))

    def acknowledge(self, identity: str, by: str) -> Json:
        """Take an incident."""
        return dict(self.call("POST", f"/api/v1/incidents/{identity}/acknowledge", body={"by": by}))

    def resolve(self, identity: str, by: str, note: str = "") -> Json:
        """Close an incident by hand."""
        return dict(self.call("POST", f"/api/v1/incidents/{identity}/resolve", body={"by": by, "note": note}))

    def history(self) -> list[Json]:
        """All that happened, oldest first."""
        return list(self.call("GET", "/api/v1/history")["entries"])

    def history_text(self) -> str:
        """The history, readable."""
        return str(self.call("GET", "/api/v1/history", params={"format": "text"}))

    def status_posts(self) -> list[Json]:
        """Posts to the team channel, oldest first."""
        answer = self.call("GET", "/api/v1/status")
        return list(answer["posts"] if isinstance(answer, dict) else answer)

    def post_status(self, by: str, text: str, incident: str = "") -> None:
        """Post to the team channel."""
        self.call("POST", "/api/v1/status", body={"by": by, "text": text, "incident": incident or None})


class FaultsClient(ServiceClient):
    """Injecting, healing, and the journal that says what was really done."""

    def catalogue(self) -> list[Json]:
        """Every fault with its parameters."""
        answer = self.call("GET", "/api/v1/catalogue")
        return list(answer["faults"] if isinstance(answer, dict) else answer)

    def active(self) -> list[Json]:
        """Journal entries that bite now."""
        answer = self.call("GET", "/api/v1/faults")
        return list(answer["faults"] if isinstance(answer, dict) else answer)

    def inject(
        self, name: str, for_seconds: float | None = None, parameters: Json | None = None
    ) -> list[Json]:
        """Start a fault; its journal entries."""
        body: Json = {"name": name, "parameters": parameters or {}}
        if for_seconds is not None:
            body["forSeconds"] = for_seconds
        answer = self.call("POST", "/api/v1/faults", body=body)
        return list(answer["entries"] if isinstance(answer, dict) else answer)

    def heal(self, name: str = "") -> list[Json]:
        """Undo one fault by name, or all; the entries undone."""
        answer = self.call("DELETE", "/api/v1/faults", params={"name": name} if name else None)
        return list(answer["entries"] if isinstance(answer, dict) else answer)

    def heal_one(self, identity: str) -> list[Json]:
        """Undo one journal entry; the entry as it is then."""
        return list(self.call("DELETE", f"/api/v1/faults/{identity}")["entries"])

    def journal(self) -> list[Json]:
        """Every entry ever written, oldest first."""
        answer = self.call("GET", "/api/v1/journal")
        return list(answer["entries"] if isinstance(answer, dict) else answer)

    def schedule(self, seed: int, steps: list[Json]) -> Any:
        """Start a schedule of faults now."""
        return self.call("POST", "/api/v1/schedules", body={"seed": seed, "steps": steps})

    def end_schedule(self) -> bool:
        """End the schedule, if there is one; whether there was."""
        return bool(self.call("DELETE", "/api/v1/schedules")["removed"])


class GatewayClient(ServiceClient):
    """The audit log."""

    PAGE = 1000

    def audit(self, after: int = 0) -> list[AuditRecord]:
        """All records with a sequence number above `after`, oldest first."""
        return list(self._records("/audit", after))

    def intents(self, after: int = 0) -> list[AuditRecord]:
        """What shadow mode recorded instead of doing."""
        return [record for record in self.audit(after) if record.decision.value == "shadowed"]

    def _records(self, path: str, after: int) -> Iterator[AuditRecord]:
        while True:
            page = self.call("GET", path, params={"after": after, "limit": self.PAGE})["records"]
            yield from (AuditRecord.from_dict(record) for record in page)
            if len(page) < self.PAGE:
                return
            after = int(page[-1]["seq"])


def wait_until(condition: Any, *, seconds: float, every: float = 0.1) -> bool:
    """Call `condition` until it is truthy or the time is over; whether it became true.

    `condition` may raise NotReadyError, which counts as not yet. Raises KeyboardInterrupt when the command is
    interrupted meanwhile.
    """
    deadline = time.monotonic() + seconds
    while True:
        interrupt.check()
        try:
            if condition():
                return True
        except NotReadyError:
            pass
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return False
        Event().wait(min(every, remaining))
