"""The object store of the shop's logs: moto's S3, in memory, open to the gateway's key alone.

Every service writes one object in four lab hours, keyed `<service>/<lab day>/<hour>.log`; nobody takes any
away, and that is the toil. Port 9000 speaks S3, 8080 has probes and metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import Clock, SystemClock, TimeScale
from lab.core.seed import stream
from lab.core.sigv4 import Request, SignatureRefused, verify
from lab.errors import ConfigError
from lab.metrics.catalogue import LOGSTORE_BYTES, LOGSTORE_OBJECTS
from lab.metrics.metric import gauge
from lab.metrics.pod import bind_host, run, serve

log = logging.getLogger("shop.logstore")
BUCKET = "shop-logs"
SERVICES = ("api", "payments", "worker")
PORT = 9000
DAYS_AT_START = 10
EVERY_HOURS = 4
FIRST_DAY = datetime(2030, 1, 1, tzinfo=UTC)
"""The lab's calendar begins so many days before the store starts; a lab hour later it is an hour later."""

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def key_of(service: str, hour: int) -> str:
    """The key of a service's log of a lab hour, counted from the beginning of the calendar."""
    at = FIRST_DAY + timedelta(hours=hour)
    return f"{service}/{at:%Y-%m-%d}/{at:%H}.log"


def content_of(seed: int, service: str, hour: int) -> bytes:
    """What that log holds: 200 to 2000 bytes, by the seed."""
    chance = stream(seed, "log", service, str(hour))
    line = f"{service} hour {hour} handled {chance.randrange(10_000)} requests\n".encode()
    return line * (chance.randrange(200, 2000) // len(line) + 1)


def guarded(application: Wsgi, key: str, secret: str, clock: Clock) -> Wsgi:
    """Only requests that are signed with the one key get in: nobody goes around the gateway."""

    def guard(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        headers = {
            name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        path = environ.get("RAW_URI", environ.get("REQUEST_URI", "/")).partition("?")[0]
        request = Request(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), headers)
        try:
            verify(request, lambda given: secret if given == key else None, clock.now())
        except SignatureRefused as refused:
            body = f"<Error><Code>{refused.code}</Code><Message>{refused.message}</Message></Error>".encode()
            start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        return application(environ, start)

    return guard


class Writer:
    """Writes what the services log: the past first, then an object per service every four lab hours."""

    def __init__(self, client: Any, seed: int, scale: TimeScale, registry: CollectorRegistry) -> None:
        self._client = client
        self._seed = seed
        self._scale = scale
        self._objects = gauge(LOGSTORE_OBJECTS, registry)
        self._bytes = gauge(LOGSTORE_BYTES, registry)
        self.hour = 0
        self.begun = False

    def begin(self) -> None:
        """Make the bucket and the past; `begun` is set when all of it is there."""
        self._client.create_bucket(Bucket=BUCKET)
        for _ in range(24 * DAYS_AT_START // EVERY_HOURS):
            self.write()
        self.begun = True

    def write(self) -> None:
        """Four lab hours of logs."""
        for service in SERVICES:
            body = content_of(self._seed, service, self.hour)
            self._client.put_object(Bucket=BUCKET, Key=key_of(service, self.hour), Body=body)
        self.hour += EVERY_HOURS

    def measure(self) -> None:
        """Export how full the bucket is."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        sizes = [item["Size"] for page in pages for item in page.get("Contents", ())]
        self._objects.set(len(sizes))
        self._bytes.set(sum(sizes))

    async def run(self, clock: Clock) -> None:
        """For ever."""
        await asyncio.to_thread(self.begin)
        while True:
            await asyncio.to_thread(self.measure)
            await clock.sleep(self._scale.real(minutes=60 * EVERY_HOURS))
            await asyncio.to_thread(self.write)


def start_store(host: str, port: int, key: str, secret: str, clock: Clock) -> Any:
    """Serve S3 from a thread; the server, whose `shutdown` ends it. Raises OSError when the port is taken."""
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    application = guarded(create_backend_app("s3"), key, secret, clock)
    server = make_server(host, port, application, threaded=True)
    threading.Thread(target=server.serve_forever, name="s3", daemon=True).start()
    return server


def client_of(url: str, key: str, secret: str) -> Any:
    """A boto3 client for a store at an address, with path-style requests."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={}),
    )


async def main() -> None:
    """The pod. Raises ConfigError without its key."""
    key, secret = os.environ.get("LOGSTORE_KEY", ""), os.environ.get("LOGSTORE_SECRET", "")
    if not key or not secret:
        raise ConfigError("LOGSTORE_KEY and LOGSTORE_SECRET come from Secret logstore")
    clock, host = SystemClock(), bind_host()
    scale = TimeScale(float(os.environ.get("LAB_HOUR_SECONDS") or 60))
    registry = CollectorRegistry()
    store = start_store(host, PORT, key, secret, clock)
    client = client_of(f"http://{host}:{PORT}", key, secret)
    writer = Writer(client, int(os.environ.get("LAB_SEED") or 1), scale, registry)

    async def writing(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(writer.run(clock), name="writer")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        store.shutdown()

    app = web.Application()
    app.cleanup_ctx.append(writing)
    await serve(app, ready=lambda: writer.begun, registry=registry)


if __name__ == "__main__":
    run(main)
