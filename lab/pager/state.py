"""What has happened, and nothing about what should: tables filled by applying records in order.

Applying the records of `PagerState.snapshot` to an empty state gives the same state again; that is how a
restarted pager remembers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.core.incident import Escalation, HistoryEntry, Incident, StatusPost
from lab.pager.journal import Record
from lab.pager.matchers import Matcher, parse_matchers

KEEP_INCIDENTS = 2000
KEEP_HISTORY = 20_000
KEEP_POSTS = 2000


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of notifications. `name` is its identity."""

    name: str
    url: str
    matchers: tuple[Matcher, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"name": self.name, "url": self.url, "matchers": [str(matcher) for matcher in self.matchers]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Webhook:
        """Read the wire form. Raises KeyError or ValueError."""
        return cls(str(data["name"]), str(data["url"]), parse_matchers(data.get("matchers")))


class PagerState:
    """Incidents, history, posts, escalations, webhooks and what each webhook has been told."""

    def __init__(self) -> None:
        self.incidents: dict[str, Incident] = {}
        self.open: dict[str, str] = {}
        """Fingerprint to the id of the open incident."""
        self.generators: dict[str, str] = {}
        """Incident id to the generatorURL of its alert."""
        self.history: deque[HistoryEntry] = deque(maxlen=KEEP_HISTORY)
        self.posts: deque[StatusPost] = deque(maxlen=KEEP_POSTS)
        self.escalations: deque[Escalation] = deque(maxlen=KEEP_POSTS)
        self.webhooks: dict[str, Webhook] = {}
        self.delivered: dict[str, dict[str, str]] = {}
        """Webhook name to incident id to the last status delivered: firing or resolved."""

    def apply(self, record: Record) -> None:
        """Take one fact in. Raises KeyError or ValueError when it is not one."""
        kind, value = record["kind"], record["value"]
        if kind == "incident":
            self._put(Incident.from_dict(value), str(record.get("generatorURL") or ""))
        elif kind == "history":
            self.history.append(HistoryEntry.from_dict(value))
        elif kind == "status":
            self.posts.append(StatusPost.from_dict(value))
        elif kind == "escalation":
            self.escalations.append(Escalation.from_dict(value))
        elif kind == "webhook":
            webhook = Webhook.from_dict(value)
            self.webhooks[webhook.name] = webhook
            self.delivered[webhook.name] = {}
        elif kind == "webhook-removed":
            self.webhooks.pop(value["name"], None)
            self.delivered.pop(value["name"], None)
        elif kind == "delivered":
            if value["webhook"] in self.delivered:
                self.delivered[value["webhook"]][value["incident"]] = value["status"]
        else:
            raise ValueError(f"unknown record {kind!r}")

    def _put(self, incident: Incident, generator: str) -> None:
        self.incidents[incident.id] = incident
        if generator:
            self.generators[incident.id] = generator
        if incident.is_open:
            self.open[incident.fingerprint] = incident.id
        elif self.open.get(incident.fingerprint) == incident.id:
            del self.open[incident.fingerprint]
        if len(self.incidents) > KEEP_INCIDENTS:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = next((key for key, incident in self.incidents.items() if not incident.is_open), None)
        if oldest is None:
            return
        del self.incidents[oldest]
        self.generators.pop(oldest, None)
        for told in self.delivered.values():
            told.pop(oldest, None)

    def snapshot(self) -> Iterator[Record]:
        """The records that rebuild this state."""
        for incident in self.incidents.values():
            yield incident_record(incident, self.generators.get(incident.id, ""))
        for entry in self.history:
            yield {"kind": "history", "value": entry.as_dict()}
        for post in self.posts:
            yield {"kind": "status", "value": post.as_dict()}
        for escalation in self.escalations:
            yield {"kind": "escalation", "value": escalation.as_dict()}
        for webhook in self.webhooks.values():
            yield {"kind": "webhook", "value": webhook.as_dict()}
        for name, told in self.delivered.items():
            for incident_id, status in told.items():
                yield delivered_record(name, incident_id, status)

    def size(self) -> int:
        """How many records `snapshot` gives."""
        tables = (self.incidents, self.history, self.posts, self.escalations, self.webhooks)
        return sum(map(len, tables)) + sum(map(len, self.delivered.values()))


def incident_record(incident: Incident, generator: str = "") -> Record:
    """The fact that an incident now looks like this."""
    return {"kind": "incident", "value": incident.as_dict(), "generatorURL": generator}


def delivered_record(webhook: str, incident: str, status: str) -> Record:
    """The fact that a webhook was told a status."""
    return {"kind": "delivered", "value": {"webhook": webhook, "incident": incident, "status": status}}
