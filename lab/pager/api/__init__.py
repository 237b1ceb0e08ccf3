"""The pager's whole API as one table of operations, from which it is served and documented."""

from __future__ import annotations

from lab.pager.api.alertmanager import AlertmanagerApi
from lab.pager.api.approvals import ApprovalsApi
from lab.pager.api.channel import ChannelApi
from lab.pager.api.dead_letters import DeadLettersApi
from lab.pager.api.incidents import IncidentsApi
from lab.pager.api.notifications import NotificationsApi
from lab.pager.api.oncall import OnCallApi
from lab.pager.api.silences import SilencesApi
from lab.pager.book import Book
from lab.pager.operation import Operation


def operations(book: Book) -> list[Operation]:
    """Everything that the pager serves by itself."""
    parts = (
        AlertmanagerApi(book),
        NotificationsApi(book),
        SilencesApi(book),
        IncidentsApi(book),
        OnCallApi(book),
        ApprovalsApi(book),
        DeadLettersApi(book),
        ChannelApi(book),
    )
    return [operation for part in parts for operation in part.operations()]
