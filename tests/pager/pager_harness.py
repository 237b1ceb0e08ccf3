"""A pager on a real socket, and clocks that tests move."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from jsonschema import Draft202012Validator
from prometheus_client import CollectorRegistry
from yarl import URL

from lab.core.clock import SystemClock, TimeScale
from lab.metrics.pod import add_probes
from lab.pager.book import Book
from lab.pager.journal import Journal
from lab.pager.meters import PagerMeters
from lab.pager.server import pager_app
from lab.pager.state import PagerState
from lab.pager.store import Store

SCALE = TimeScale(60.0)
FORMATS = Draft202012Validator.FORMAT_CHECKER


class VirtualClock:
    """Time that passes only when somebody sleeps, and then at once."""

    def __init__(self) -> None:
        self.instant = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.instant += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


def new_book(clock: VirtualClock, path: Path | None = None, scale: TimeScale = SCALE) -> Book:
    """A book without the wire, as its journal remembers it."""
    book = Book(Store(Journal(path), clock, scale, PagerMeters(CollectorRegistry()), PagerState()))
    book.remember()
    return book


class Contract:
    """The pager's OpenAPI document, and whether answers keep to it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.kept: set[tuple[str, str]] = set()
        """Method and path of every operation that was answered with success."""
        self._patterns = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path)), path, methods)
            for path, methods in document["paths"].items()
        ]

    def check(self, method: str, path: str, code: int, media: str, text: str) -> None:
        path = path.partition("?")[0]
        found = [(name, methods) for pattern, name, methods in self._patterns if pattern.fullmatch(path)]
        exact = [pair for pair in found if pair[0] == path] or found
        if not exact or method.lower() not in exact[0][1]:
            assert code in (404, 405), f"{method} {path} is in no table and answers {code}"
            return
        template, methods = exact[0]
        answers = methods[method.lower()]["responses"]
        assert str(code) in answers, f"{method} {template} answers {code}, which is not documented"
        content = answers[str(code)]["content"]
        assert media in content, f"{method} {template} answers {code} as {media}"
        if code < 300:
            self.kept.add((method, template))
        if media == "application/json":
            schema = content[media]["schema"] | {"components": self.document["components"]}
            Draft202012Validator(schema, format_checker=FORMATS).validate(json.loads(text))


class PagerAt:
    """A running pager and a session to it. With a contract, every answer is held against it."""

    def __init__(self, base: str, session: aiohttp.ClientSession, contract: Contract | None = None) -> None:
        self.base = base
        self.contract = contract
        self._session = session

    async def call(
        self, method: str, path: str, body: Any = None, *, expect: int = 200, headers: Any = None
    ) -> Any:
        async with self._session.request(method, self.base + path, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == expect, f"{method} {path}: {answer.status} {text}"
            if self.contract is not None:
                self.contract.check(method, path, answer.status, answer.content_type, text)
            return await answer.json() if "json" in answer.headers.get("Content-Type", "") else text

    async def any(self, method: str, path: str, body: Any, headers: Any) -> tuple[int, str, str]:
        url = URL(self.base + path, encoded=True)
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, answer.content_type, await answer.text()

    async def raw(self, method: str, path: str, data: Any) -> tuple[int, str]:
        async with self._session.request(method, self.base + path, data=data) as answer:
            return answer.status, await answer.text()

    async def incidents(self, status: str = "all") -> list[dict[str, Any]]:
        return list((await self.call("GET", f"/api/v1/incidents?status={status}"))["incidents"])


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """The application on a free port of loopback; its base URL."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running_pager(
    data: Path | None = None, *, token: str = "", clock: Any = None, scale: TimeScale = SCALE
) -> AsyncIterator[PagerAt]:
    app = pager_app(
        clock=clock or SystemClock(),
        scale=scale,
        registry=(registry := CollectorRegistry()),
        data=data,
        admin_token=token,
        external_url="http://pager.test",
    )
    add_probes(app, ready=None, registry=registry)
    async with serving(app) as base, aiohttp.ClientSession() as session:
        async with session.get(f"{base}/openapi.json") as answer:
            contract = Contract(await answer.json())
        yield PagerAt(base, session, contract)


async def eventually(condition: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> Any:
    """The first truthy answer of the condition; fails when there is none in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        answer = await condition()
        if answer:
            return answer
        assert asyncio.get_running_loop().time() < deadline, f"not true within {seconds} s"
        await asyncio.sleep(0.05)


def alert(name: str = "OrdersWaitingTooLong", *, ends_in: float = 20.0, **labels: str) -> dict[str, Any]:
    """A firing alert as Prometheus sends it."""
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, "severity": "critical", **labels},
        "annotations": {"summary": "Orders wait", "runbook_url": "docs/runbooks.md"},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(seconds=ends_in)).isoformat(),
        "generatorURL": "http://prometheus.test/graph?g0.expr=x",
    }
