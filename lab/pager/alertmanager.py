"""The Alertmanager v2 API, as far as Prometheus and amtool use it.

Source: Alertmanager's api/v2/openapi.yaml.
"""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from lab.core.clock import rfc3339
from lab.core.incident import Incident
from lab.pager.alerts import parse_alerts
from lab.pager.book import IncidentBook, WrongState
from lab.pager.matchers import all_match, parse_matcher
from lab.pager.wire import read_json
from lab.version import __version__

RECEIVER = "on-call"


class AlertmanagerApi:
    """The routes below /api/v2."""

    def __init__(self, book: IncidentBook) -> None:
        self._book = book
        self._started = rfc3339(book.clock.now())

    def routes(self) -> list[web.RouteDef]:
        """What an application serves."""
        return [
            web.post("/api/v2/alerts", self.push),
            web.get("/api/v2/alerts", self.list),
            web.get("/api/v2/status", self.status),
            web.get("/api/v2/receivers", self.receivers),
            web.get("/api/v2/silences", self.silences),
        ]

    async def push(self, request: web.Request) -> web.Response:
        """Take alerts in. The valid ones count even when others are refused."""
        alerts, problems = parse_alerts(await read_json(request))
        try:
            self._book.receive(alerts)
        except WrongState as error:
            problems.append(error.message)
        if problems:
            return web.json_response("; ".join(problems[:10]), status=400)
        return web.json_response({})

    async def list(self, request: web.Request) -> web.Response:
        """The alerts that fire now; `filter` may be given several times."""
        query = request.query
        try:
            matchers = [parse_matcher(text) for text in query.getall("filter", [])]
        except ValueError as error:
            return web.json_response(str(error), status=400)
        if query.get("active", "true") == "false":
            return web.json_response([])
        state = self._book.state
        alerts = [
            self._alert(state.incidents[identity])
            for identity in state.open.values()
            if all_match(matchers, state.incidents[identity].labels)
        ]
        return web.json_response(alerts)

    def _alert(self, incident: Incident) -> dict[str, Any]:
        now = rfc3339(self._book.clock.now())
        return {
            "labels": dict(incident.labels),
            "annotations": dict(incident.annotations),
            "startsAt": rfc3339(incident.starts_at),
            "endsAt": rfc3339(incident.ends_at) if incident.ends_at else now,
            "updatedAt": now,
            "generatorURL": self._book.state.generators.get(incident.id, ""),
            "fingerprint": incident.fingerprint,
            "receivers": [{"name": RECEIVER}],
            "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []},
        }

    async def status(self, _: web.Request) -> web.Response:
        """Version and start; there is no cluster of pagers."""
        version = {
            "version": __version__,
            "revision": "",
            "branch": "",
            "buildUser": "",
            "buildDate": time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(0)),
            "goVersion": "",
        }
        config = f"route:\n  receiver: {RECEIVER}\nreceivers:\n  - name: {RECEIVER}\n"
        return web.json_response(
            {
                "cluster": {"status": "disabled"},
                "versionInfo": version,
                "config": {"original": config},
                "uptime": self._started,
            }
        )

    async def receivers(self, _: web.Request) -> web.Response:
        """The one receiver."""
        return web.json_response([{"name": RECEIVER}])

    async def silences(self, _: web.Request) -> web.Response:
        """There are none: a page cannot be silenced here."""
        return web.json_response([])
