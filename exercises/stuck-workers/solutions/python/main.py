"""Restarts hung workers: only on an incident, only the one that is hung, once, with proof that it helped.

incident ─► diagnose ─► restart one pod ─► verify ─► post and count
               │              │               └─ not cured: escalate, never restart twice
               │              └─ 403: stand down and hand over
               └─ slow, healthy or unknown: leave it alone
"""

import signal
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from diagnosis import Diagnosis, Finding, diagnose
from ledger import Ledger
from remedy import Outcome, restart

from lab.automation import sdk

ME = "restart-hung-workers"
ALERT = "OrdersWaitingTooLong"
LOOK_EVERY = 0.5
MONITORING_LAG = 6.0  # real seconds: Prometheus takes up to five to find a new pod, and one to scrape it
CURED_WITHIN = sdk.lab_minutes(8) + MONITORING_LAG
STAND_DOWN = sdk.lab_minutes(10)
LEAVE_ALONE = sdk.lab_minutes(20)
FAILED_CALLS = 3


@dataclass
class Pending:
    """A restart whose effect is being watched."""

    found: Diagnosis
    started: str
    deadline: float
    healthy: int = 0


class Automation:
    """The state of one run. What must survive a restart of the program is in the pager."""

    def __init__(self) -> None:
        self.pager = sdk.Pager(ME)
        self.prometheus = sdk.Prometheus()
        self.ledger = Ledger()
        self.stopping = threading.Event()
        self.quiet_until = 0.0
        self.left_alone: dict[str, float] = {}
        self.handed_over: set[str] = set()
        self.failures: dict[str, int] = {}
        self.pending: dict[str, Pending] = {}

    def run(self) -> None:
        """Look for incidents until told to stop."""
        recalled = False
        while not self.stopping.is_set():
            try:
                if not recalled:
                    self.ledger.recall(self.pager.incidents("all"), ME)
                    recalled = True
                for identity in list(self.pending):
                    self.verify(identity, self.pending[identity])
                for incident in self.pager.incidents():
                    if incident["alertname"] == ALERT and not self.stopping.is_set():
                        self.handle(incident)
            except requests.RequestException as error:
                print(f"will look again: {type(error).__name__}", flush=True)
            self.ledger.export()
            self.stopping.wait(LOOK_EVERY)

    def handle(self, incident: dict[str, Any]) -> None:
        """One look at one incident."""
        now = time.monotonic()
        identity = incident["id"]
        settled = identity in self.pending or identity in self.handed_over
        if settled or now < self.quiet_until or now < self.left_alone.get(identity, 0.0):
            return
        found = diagnose(self.prometheus, incident["labels"]["partition"])
        if found.finding is not Finding.HUNG:
            return
        if self.ledger.tried(identity):
            self.hand_over(identity, found, "it hangs again after a restart")
            return
        self.remedy(identity, found)

    def remedy(self, identity: str, found: Diagnosis) -> None:
        """Restart the worker, then see whether that helped."""
        started = datetime.now(UTC).isoformat()
        outcome, why = restart(found.pod, identity, found.evidence())
        print(f"restart {found.pod}: {outcome} {why}; {found.evidence()}", flush=True)
        if outcome is Outcome.DONE:
            self.ledger.attempt(identity)
            self.pending[identity] = Pending(found, started, time.monotonic() + CURED_WITHIN)
            self.pager.acknowledge(identity)
        elif outcome is Outcome.NO_EFFECT:
            self.left_alone[identity] = time.monotonic() + LEAVE_ALONE
            self.pager.note(identity, f"would restart {found.pod}: {found.evidence()}")
        elif outcome is Outcome.FORBIDDEN:
            self.quiet_until = time.monotonic() + STAND_DOWN
            self.pager.escalate(identity, f"not allowed to restart {found.pod}; please do", found.evidence())
            self.pager.status(f"Standing down: not allowed to restart {found.pod} ({why}).", identity)
        elif outcome is Outcome.FAILED:
            self.failures[identity] = self.failures.get(identity, 0) + 1
            if self.failures[identity] >= FAILED_CALLS:
                self.hand_over(identity, found, f"the API cannot restart it ({why})")

    def verify(self, identity: str, watched: Pending) -> None:
        """Cured means that the orders do not wait any more, seen twice in a row."""
        found = watched.found
        after = diagnose(self.prometheus, found.partition)
        drains = after.finding is Finding.HEALTHY and after.pod != found.pod
        watched.healthy = watched.healthy + 1 if drains else 0
        success = watched.healthy >= 2
        if not success and time.monotonic() < watched.deadline:
            return
        del self.pending[identity]
        self.ledger.verified(success)
        times = {"startedAt": watched.started, "endedAt": datetime.now(UTC).isoformat()}
        result = "success" if success else "failure"
        self.pager.action(identity, "restart", found.pod, found.evidence(), outcome=result, **times)
        if success:
            text = f"Restarted {found.pod}; partition {found.partition} drains again. {found.evidence()}."
            self.pager.status(text, identity)
        else:
            self.hand_over(identity, found, "a restart did not help")

    def hand_over(self, identity: str, found: Diagnosis, why: str) -> None:
        """Give the incident to a human, once, and say so."""
        self.handed_over.add(identity)
        self.pager.escalate(identity, f"partition {found.partition}: {why}", found.evidence())
        self.pager.status(f"Partition {found.partition} needs a human: {why}. {found.evidence()}.", identity)


if __name__ == "__main__":
    automation = Automation()
    signal.signal(signal.SIGTERM, lambda *_: automation.stopping.set())
    automation.run()
