"""Receivers of notifications, and what each has been told."""

from __future__ import annotations

from lab.core.incident import Incident
from lab.pager.dead_letters import DeadLetters
from lab.pager.journal import Record
from lab.pager.state import delivered_record, record_of
from lab.pager.store import PAGER, NotFound, Store, WrongState
from lab.pager.values import Webhook

MAX_WEBHOOKS = 32


class Webhooks:
    """All operations on webhooks."""

    def __init__(self, store: Store, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters

    def put(self, webhook: Webhook) -> None:
        """Add or replace a receiver; it is told of every open incident, again if it had been told.

        Raises WrongState (too many), JournalError.
        """
        known = self._store.state.webhooks
        if webhook.name not in known and len(known) >= MAX_WEBHOOKS:
            raise WrongState(f"there are {MAX_WEBHOOKS} webhooks already; no more are taken")
        line = self._store.history("webhook", webhook.name, f"receives notifications at {webhook.url}")
        self._store.commit([record_of("webhook", webhook), line], answer=webhook.as_dict())

    def remove(self, name: str) -> None:
        """Forget a receiver. Raises NotFound, JournalError."""
        if name not in self._store.state.webhooks:
            raise NotFound(f"there is no webhook {name[:80]!r}")
        line = self._store.history("webhook", name, "receives no more notifications")
        records = [{"kind": "webhook-removed", "value": {"name": name}}, line]
        self._store.commit(records, answer={"removed": name})

    def told(self, webhook: str, incident: Incident, status: str) -> None:
        """A webhook took a notification. Raises JournalError."""
        done = self._dead_letters.taken(webhook, incident.id)
        self._store.commit([delivered_record(webhook, incident.id, status), *done])

    def gave_up(self, webhook: Webhook, incident: Incident, status: str, failure: str) -> None:
        """A notification cannot be delivered: it becomes a dead letter. Raises JournalError."""
        summary = f"webhook {webhook.name}: {incident.alertname} {status} was not delivered: {failure}"
        payload = {"receiver": webhook.name, "url": webhook.url, "status": status}
        letter: list[Record] = []
        try:
            _, letter = self._dead_letters.giving_up(PAGER, summary, payload, incident.id, webhook.name)
        except WrongState:
            pass  # the queue is full; the line of the history below is what is left
        text = f"refused the notification ({status}): {failure}"
        line = self._store.history("webhook", webhook.name, text, {"status": status}, incident=incident.id)
        self._store.commit([*letter, delivered_record(webhook.name, incident.id, status), line])
