"""Faults in what the pager hears: alerts that arrive late, ends that never arrive, an alert that flaps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from lab.pager.alerts import Alert, fingerprint
from lab.pager.episodes import Episodes
from lab.pager.store import Store
from lab.pager.trouble.raising import flap_fires, flapping_labels
from lab.pager.trouble.rows import FLAPPING, LATE, NEVER_RESOLVES, Bite, Bites, push

RENEW_LAB_MINUTES = 1.0
"""How often an alert that a fault keeps alive is pushed again; its lease is five."""


class Hearing:
    """Between a push and the episodes."""

    def __init__(self, store: Store, episodes: Episodes, bites: Bites) -> None:
        self._store = store
        self._episodes = episodes
        self._bites = bites

    def incoming(self, alerts: Iterable[Alert]) -> list[Alert]:
        """What the pager hears of a push now; the rest it hears later, or never."""
        now = self._store.clock.now()
        heard = list(alerts)
        for bite in self._bites.of(NEVER_RESOLVES):
            heard = [alert for alert in heard if not _withhold(bite, alert, now)]
        for bite in self._bites.of(FLAPPING):
            if not flap_fires(bite, now):
                heard = [alert for alert in heard if alert.labels != flapping_labels(bite.row)]
        for bite in self._late():
            delay = bite.span("delaySeconds")
            late = [alert for alert in heard if bite.matches(alert.name)]
            heard = [alert for alert in heard if not bite.matches(alert.name)]
            bite.held += [(now + delay, _shifted(alert, now, delay)) for alert in late]
        return heard

    def tick(self, now: datetime) -> None:
        """Let in what has waited long enough, and keep open what is not to end."""
        for bite in self._late():
            due = [alert for at, alert in bite.held if at <= now]
            bite.held = [(at, alert) for at, alert in bite.held if at > now]
            push(self._episodes, due)
        for bite in self._bites.of(NEVER_RESOLVES):
            if bite.renews(now, self._store.span(RENEW_LAB_MINUTES)):
                self._keep_open(bite)

    def conclude(self, bite: Bite) -> None:
        """The fault is over: hear all that it kept back."""
        push(self._episodes, [*(alert for _, alert in bite.held), *bite.withheld.values()])

    def _late(self) -> list[Bite]:
        return [bite for bite in self._bites.of(LATE) if bite.row.parameters["hop"] == "alerts"]

    def _keep_open(self, bite: Bite) -> None:
        """A lease that nobody renews any more must not end either."""
        state = self._store.state
        opened = [state.incidents[identity] for identity in state.open.values()]
        push(
            self._episodes,
            [
                Alert(dict(incident.labels), dict(incident.annotations), incident.starts_at)
                for incident in opened
                if bite.matches(incident.alertname)
            ],
        )


def _withhold(bite: Bite, alert: Alert, now: datetime) -> bool:
    if not bite.matches(alert.name):
        return False
    if alert.ends_at is None or alert.ends_at > now:
        bite.withheld.pop(fingerprint(alert.labels), None)
        return False
    bite.withheld[fingerprint(alert.labels)] = alert
    return True


def _shifted(alert: Alert, now: datetime, delay: timedelta) -> Alert:
    """A held alert fires for as long after its release as it would have now."""
    if alert.ends_at is None or alert.ends_at <= now:
        return alert
    return replace(alert, ends_at=alert.ends_at + delay)
