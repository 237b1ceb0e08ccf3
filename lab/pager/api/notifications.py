"""The receiving end of an Alertmanager that stands between Prometheus and the pager."""

from __future__ import annotations

from typing import Any

from lab.errors import UsageError
from lab.pager.book import Book
from lab.pager.notifications import parse_notification
from lab.pager.operation import Call, Operation
from lab.pager.schemas import named
from lab.pager.store import WrongState


class NotificationsApi:
    """One route."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def operations(self) -> list[Operation]:
        """The table."""
        return [
            Operation(
                "POST",
                "/api/v1/alertmanager",
                "postNotification",
                "Take a notification in (webhook version 4). The valid alerts count even when others are"
                " refused. One that fires does so until a notification says that it is resolved.",
                self.receive,
                {"type": "object", "maxProperties": 0},
                raw=named("Notification"),
            )
        ]

    def receive(self, call: Call) -> Any:
        """Take a notification in. A repeated one changes nothing."""
        alerts, problems = parse_notification(call.body, self._book.store.clock.now())
        try:
            self._book.episodes.receive(self._book.trouble.hearing.incoming(alerts))
        except WrongState as error:
            problems.append(error.message)
        if problems:
            raise UsageError("; ".join(problems[:10]))
        return {}
