"""The team channel, the webhooks and the history over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from lab.errors import UsageError
from lab.pager.book import Book
from lab.pager.fields import MAX_BY, Field, Kind, author
from lab.pager.matchers import parse_matchers
from lab.pager.operation import Call, Operation, Query
from lab.pager.schemas import TEXT, listed, named, whole
from lab.pager.text import history_text
from lab.pager.values import Webhook

MAX_URL = 2048


class ChannelApi:
    """What people and programs hear."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def operations(self) -> list[Operation]:
        """The table."""
        post, webhook = named("StatusPost"), named("Webhook")
        incident = Field("incident", "The incident it is about.", required=False, limit=64)
        name = Field("name", "The receiver's name, its identity.", limit=MAX_BY)
        url = Field("url", "Where notifications are posted, http or https.", limit=MAX_URL)
        matchers = Field(
            "matchers",
            "Which incidents: texts, Alertmanager's objects, or an object of equal labels; else all.",
            Kind.ANY,
            required=False,
        )
        form = Query("format", "json, or text for people.", ("json", "text"), "json")
        return [
            Operation(
                "POST",
                "/api/v1/status",
                "postStatus",
                "Post to the team channel.",
                self.post_status,
                post,
                fields=(author(), Field("text", "The post."), incident),
                success=201,
                refusals=(404,),
            ),
            Operation(
                "GET",
                "/api/v1/status",
                "listStatusPosts",
                "Posts of the team channel, oldest first.",
                self.status_posts,
                whole(posts=listed(post)),
            ),
            Operation(
                "GET",
                "/api/v1/webhooks",
                "listWebhooks",
                "Receivers of notifications.",
                self.webhooks,
                whole(webhooks=listed(webhook)),
            ),
            Operation(
                "POST",
                "/api/v1/webhooks",
                "addWebhook",
                "Add or replace a receiver of notifications (Alertmanager's webhook, version 4).",
                self.add_webhook,
                webhook,
                fields=(name, url, matchers),
                success=201,
                refusals=(409,),
            ),
            Operation(
                "DELETE",
                "/api/v1/webhooks",
                "removeWebhook",
                "Forget a receiver, named in the query or the body.",
                self.remove_webhook,
                whole(removed=TEXT),
                fields=(Field("name", "The receiver.", required=False, limit=MAX_BY),),
                query=(Query("name", "The receiver."),),
                refusals=(404,),
                without_body=True,
            ),
            Operation(
                "DELETE",
                "/api/v1/webhooks/{id}",
                "removeWebhookByPath",
                "Forget the receiver of that name.",
                self.remove_webhook,
                whole(removed=TEXT),
                refusals=(404,),
            ),
            Operation(
                "GET",
                "/api/v1/history",
                "getHistory",
                "All that happened, oldest first.",
                self.history,
                whole(entries=listed(named("HistoryEntry"))),
                query=(form,),
                media=("application/json", "text/plain"),
            ),
        ]

    def post_status(self, call: Call) -> Any:
        """Post to the team channel."""
        values = call.values
        return self._book.incidents.post_status(call.by, values["text"], values["incident"]).as_dict()

    def status_posts(self, _: Call) -> Any:
        """Posts of the team channel."""
        return {"posts": [post.as_dict() for post in self._book.store.state.posts]}

    def webhooks(self, _: Call) -> Any:
        """All receivers."""
        return {"webhooks": [webhook.as_dict() for webhook in self._book.store.state.webhooks.values()]}

    def add_webhook(self, call: Call) -> Any:
        """Add or replace a receiver."""
        try:
            matchers = parse_matchers(call.values["matchers"])
        except ValueError as error:
            raise UsageError(f"matchers: {error}") from error
        webhook = Webhook(call.values["name"], _url(call.values["url"]), matchers)
        self._book.webhooks.put(webhook)
        return webhook.as_dict()

    def remove_webhook(self, call: Call) -> Any:
        """Forget a receiver."""
        name = call.path.get("id") or call.query.get("name") or call.values.get("name")
        if not name:
            raise UsageError("name is missing")
        self._book.webhooks.remove(name)
        return {"removed": name}

    def history(self, call: Call) -> Any:
        """All that happened."""
        state = self._book.store.state
        if call.query["format"] == "text":
            return web.Response(text=history_text(state.history, state.incidents))
        return {"entries": [entry.as_dict() for entry in state.history]}


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise UsageError(f"url {text[:80]!r} is not an http address, like http://host:8080/alerts")
    return text
