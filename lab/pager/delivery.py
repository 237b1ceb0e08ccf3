"""Notifications to webhooks: Alertmanager's webhook payload, version 4, at least once.

Level-triggered: each receiver has one task that compares what it was told last with what is, and tells it the
difference. So a restart loses nothing, and a receiver that was down hears the present state, not a backlog.

As in Alertmanager: 2xx is delivered; 5xx, 429 and no answer are retried with exponential back-off; any other
code gives that notification up, and so does a lab hour without success: it becomes a dead letter. An incident
that was over before the receiver could be told is not told, nor is one that a silence matches. An open
incident is told again every four lab hours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import orjson

from lab.core.clock import Clock, rfc3339
from lab.core.incident import Incident
from lab.pager.book import Book
from lab.pager.journal import JournalError
from lab.pager.matchers import all_match
from lab.pager.values import Webhook

FIRING = "firing"
RESOLVED = "resolved"
REPEAT_LAB_HOURS = 4.0
GIVE_UP_LAB_MINUTES = 60.0
FIRST_RETRY_LAB_MINUTES = 0.5
LAST_RETRY_LAB_MINUTES = 10.0
_ZERO_TIME = "0001-01-01T00:00:00Z"
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
Piece = tuple[str, str]
"""What is to be told: incident id and status."""
log = logging.getLogger("lab.pager.delivery")


def payload(
    webhook: Webhook, incident: Incident, status: str, generator: str, external: str
) -> dict[str, Any]:
    """The body for one incident, which is a group of its own (`group_by: ['...']`).

    The alert carries the additional key `incident`, the pager's id; receivers ignore keys they do not know.
    """
    labels = dict(incident.labels)
    group = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    ended = incident.ends_at or incident.resolved_at
    alert = {
        "status": status,
        "labels": labels,
        "annotations": dict(incident.annotations),
        "startsAt": rfc3339(incident.starts_at),
        "endsAt": rfc3339(ended) if status == RESOLVED and ended else _ZERO_TIME,
        "generatorURL": generator,
        "fingerprint": incident.fingerprint,
        "incident": incident.id,
    }
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{group}}}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": webhook.name,
        "groupLabels": labels,
        "commonLabels": labels,
        "commonAnnotations": dict(incident.annotations),
        "externalURL": external,
        "alerts": [alert],
    }


class Delivery:
    """The tasks that notify, one per webhook. Start it with the pager, close it with the pager."""

    def __init__(self, book: Book, external_url: str) -> None:
        self._book = book
        self._external_url = external_url
        self._tasks: dict[str, tuple[Webhook, asyncio.Task[None]]] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self._session: aiohttp.ClientSession | None = None
        self._copies: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to notify, and to follow the book's changes."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False)
        self._book.store.changed.append(self._on_change)
        self._on_change()

    async def close(self) -> None:
        """Stop every task. What was not delivered is delivered after the next start."""
        self._book.store.changed.remove(self._on_change)
        tasks = [*(task for _, task in self._tasks.values()), *self._copies]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        if self._session is not None:
            await self._session.close()

    def _on_change(self) -> None:
        webhooks = self._book.store.state.webhooks
        for name in list(self._tasks):
            webhook, task = self._tasks[name]
            if webhooks.get(name) is not webhook:
                task.cancel()
                del self._tasks[name]
        for name, webhook in webhooks.items():
            if name not in self._tasks:
                self._wake[name] = asyncio.Event()
                self._tasks[name] = (
                    webhook,
                    asyncio.create_task(self._notify(webhook), name=f"webhook {name}"),
                )
            self._wake[name].set()

    async def _notify(self, webhook: Webhook) -> None:
        """Tell one receiver what it does not know, for ever."""
        wake = self._wake[webhook.name]
        scale, clock = self._book.store.scale, self._book.store.clock
        first = scale.real(minutes=FIRST_RETRY_LAB_MINUTES)
        retry = first
        told_at: dict[str, float] = {}
        due: dict[Piece, float] = {}
        while True:
            wake.clear()
            failed = not await self._tell_all(webhook, told_at, due)
            if failed:
                await clock.sleep(retry)
                retry = min(retry * 2, scale.real(minutes=LAST_RETRY_LAB_MINUTES))
            else:
                retry = first
                await self._changed_or(wake, scale.real(hours=REPEAT_LAB_HOURS) / 4, clock)

    @staticmethod
    async def _changed_or(wake: asyncio.Event, seconds: float, clock: Clock) -> None:
        waiting = [asyncio.create_task(wake.wait()), asyncio.create_task(clock.sleep(seconds))]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _tell_all(self, webhook: Webhook, told_at: dict[str, float], due: dict[Piece, float]) -> bool:
        """One notification for each difference; False as soon as one fails and is to be tried again.

        due: since when each difference waits to be told, in monotonic seconds.
        """
        clock, limit = self._book.store.clock, self._book.store.scale.real(minutes=GIVE_UP_LAB_MINUTES)
        pieces = self._differences(webhook, told_at)
        for piece in due.keys() - set(pieces):
            del due[piece]
        for piece in pieces:
            due.setdefault(piece, clock.monotonic())
        for identity, status in pieces:
            incident = self._book.store.state.incidents.get(identity)
            if incident is None:
                continue
            failure, again = await self._post(webhook, incident, status)
            if again and clock.monotonic() - due[identity, status] < limit:
                log.info("webhook %s: %s; trying again", webhook.name, failure)
                return False
            told_at[identity] = clock.monotonic()
            with suppress(JournalError):
                if failure:
                    self._book.webhooks.gave_up(webhook, incident, status, failure)
                else:
                    self._book.webhooks.told(webhook.name, incident, status)
        return True

    def _differences(self, webhook: Webhook, told_at: Mapping[str, float]) -> list[Piece]:
        store = self._book.store
        repeat = store.scale.real(hours=REPEAT_LAB_HOURS)
        told = store.state.delivered.get(webhook.name, {})
        now, instant = store.clock.monotonic(), store.clock.now()
        found = []
        for identity, incident in store.state.incidents.items():
            last = told.get(identity)
            status = self._book.trouble.telling.seen(incident, last)
            if status is None:
                continue
            is_news = last != status and not (last is None and status == RESOLVED)
            is_stale = status == FIRING and now - told_at.get(identity, now) >= repeat
            if not (is_news or is_stale) or not all_match(webhook.matchers, incident.labels):
                continue
            if status == RESOLVED or not self._book.silences.silencing(incident.labels, instant):
                found.append((identity, status))
        return found

    async def _post(self, webhook: Webhook, incident: Incident, status: str) -> tuple[str, bool]:
        """Send once: what went wrong (empty: nothing), and whether to try again."""
        failure, again = await self._send(webhook, body := self._body(webhook, incident, status))
        if not failure:
            for row, seconds in self._book.trouble.telling.copies(incident):
                copy = asyncio.create_task(self._copy(webhook, body, row, seconds))
                self._copies.add(copy)
                copy.add_done_callback(self._copies.discard)
        return failure, again

    def _body(self, webhook: Webhook, incident: Incident, status: str) -> bytes:
        state = self._book.store.state

        def one(member: Incident, its_status: str) -> dict[str, Any]:
            generator = state.generators.get(member.id, "")
            return payload(webhook, member, its_status, generator, self._external_url)

        others = (state.incidents[identity] for identity in state.open.values())
        now, silences = self._book.store.clock.now(), self._book.silences
        heard = (
            other
            for other in others
            if all_match(webhook.matchers, other.labels) and not silences.silencing(other.labels, now)
        )
        return orjson.dumps(self._book.trouble.telling.body(incident, status, heard, one))

    async def _copy(self, webhook: Webhook, body: bytes, row: str, seconds: float) -> None:
        """Send it once more, on behalf of a fault, unless that is over by then."""
        await self._book.store.clock.sleep(seconds)
        if self._book.trouble.bites(row):
            await self._send(webhook, body)

    async def _send(self, webhook: Webhook, body: bytes) -> tuple[str, bool]:
        assert self._session is not None
        headers = {"Content-Type": "application/json", "User-Agent": "toil-lab-pager"}
        try:
            async with self._session.post(
                webhook.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                code = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return f"no answer from {webhook.url}: {type(error).__name__}", True
        if 200 <= code < 300:
            return "", False
        return f"HTTP {code}", code >= 500 or code == 429
