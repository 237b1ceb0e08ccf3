"""The Alertmanager v2 API, as far as Prometheus and amtool use it.

Source: Alertmanager's api/v2/openapi.yaml.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lab.core.clock import rfc3339
from lab.core.incident import Incident
from lab.errors import UsageError
from lab.pager.alerts import parse_alerts
from lab.pager.book import Book
from lab.pager.episodes import Silenced
from lab.pager.matchers import Matcher, all_match, parse_matcher
from lab.pager.operation import Call, Operation, Query
from lab.pager.schemas import INSTANT, TEXT, listed, named, one_of, whole
from lab.pager.store import WrongState
from lab.version import __version__

RECEIVER = "on-call"
FILTER = Query("filter", 'A matcher such as alertname="X"; may be given several times.', many=True)
_YES_OR_NO = ("true", "false")


def read_filter(call: Call) -> list[Matcher]:
    """The matchers of the query. Raises UsageError."""
    try:
        return [parse_matcher(text) for text in call.queries("filter")]
    except ValueError as error:
        raise UsageError(str(error)) from error


class AlertmanagerApi:
    """The routes below /api/v2 that are not about silences."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._started = rfc3339(book.store.clock.now())

    def operations(self) -> list[Operation]:
        """The table."""
        version = whole(
            version=TEXT, revision=TEXT, branch=TEXT, buildUser=TEXT, buildDate=TEXT, goVersion=TEXT
        )
        status = whole(
            cluster=whole(status=one_of("disabled")),
            versionInfo=version,
            config=whole(original=TEXT),
            uptime=INSTANT,
        )
        return [
            Operation(
                "POST",
                "/api/v2/alerts",
                "postAlerts",
                "Take alerts in. The valid ones count even when others are refused.",
                self.push,
                {"type": "object", "maxProperties": 0},
                raw=listed(named("PostedAlert")),
            ),
            Operation(
                "GET",
                "/api/v2/alerts",
                "getAlerts",
                "The alerts that fire now.",
                self.list,
                listed(named("Alert")),
                query=(
                    FILTER,
                    Query("active", "Those that page.", _YES_OR_NO, "true"),
                    Query("silenced", "Those that a silence matches.", _YES_OR_NO, "true"),
                ),
            ),
            Operation(
                "GET",
                "/api/v2/status",
                "getStatus",
                "Version and start; there is no cluster of pagers.",
                self.status,
                status,
            ),
            Operation(
                "GET",
                "/api/v2/receivers",
                "getReceivers",
                "The one receiver.",
                self.receivers,
                listed(whole(name=TEXT)),
            ),
        ]

    def push(self, call: Call) -> Any:
        """Take alerts in."""
        alerts, problems = parse_alerts(call.body)
        try:
            self._book.episodes.receive(self._book.trouble.hearing.incoming(alerts))
        except WrongState as error:
            problems.append(error.message)
        if problems:
            raise UsageError("; ".join(problems[:10]))
        return {}

    def list(self, call: Call) -> Any:
        """The alerts that fire now, those that a silence matches marked."""
        matchers = read_filter(call)
        state = self._book.store.state
        shown = [self._of_incident(state.incidents[identity]) for identity in state.open.values()]
        shown += [self._of_silenced(*pair) for pair in self._book.episodes.silenced.items()]
        wanted = {"active": call.query["active"] == "true", "suppressed": call.query["silenced"] == "true"}
        return [
            alert
            for alert in shown
            if wanted[alert["status"]["state"]] and all_match(matchers, alert["labels"])
        ]

    def _of_incident(self, incident: Incident) -> dict[str, Any]:
        ends_at = incident.ends_at or self._book.store.clock.now()
        generator = self._book.store.state.generators.get(incident.id, "")
        return self._alert(
            incident.labels,
            incident.annotations,
            incident.starts_at,
            ends_at,
            generator,
            incident.fingerprint,
        )

    def _of_silenced(self, print_: str, silenced: Silenced) -> dict[str, Any]:
        alert = silenced.alert
        return self._alert(
            alert.labels,
            alert.annotations,
            silenced.starts_at,
            silenced.ends_at or self._book.store.clock.now(),
            alert.generator_url,
            print_,
        )

    def _alert(
        self,
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
        starts_at: datetime,
        ends_at: datetime,
        generator: str,
        print_: str,
    ) -> dict[str, Any]:
        now = self._book.store.clock.now()
        silences = self._book.silences.silencing(labels, now)
        return {
            "labels": dict(labels),
            "annotations": dict(annotations),
            "startsAt": rfc3339(starts_at),
            "endsAt": rfc3339(ends_at),
            "updatedAt": rfc3339(now),
            "generatorURL": generator,
            "fingerprint": print_,
            "receivers": [{"name": RECEIVER}],
            "status": {
                "state": "suppressed" if silences else "active",
                "silencedBy": silences,
                "inhibitedBy": [],
                "mutedBy": [],
            },
        }

    def status(self, _: Call) -> Any:
        """Version and start."""
        version = {
            "version": __version__,
            "revision": "",
            "branch": "",
            "buildUser": "",
            "buildDate": time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(0)),
            "goVersion": "",
        }
        config = f"route:\n  receiver: {RECEIVER}\nreceivers:\n  - name: {RECEIVER}\n"
        return {
            "cluster": {"status": "disabled"},
            "versionInfo": version,
            "config": {"original": config},
            "uptime": self._started,
        }

    def receivers(self, _: Call) -> Any:
        """The one receiver."""
        return [{"name": RECEIVER}]
