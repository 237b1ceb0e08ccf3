"""A small API server that answers at once, so that what is measured is the gateway before it.

GET, PATCH ... any pod          a pod of one KiB
GET  ...?watch=true             an event every half second, with the time in it, and those of /bench/event
GET  .../pods/N-mib/log         N MiB
GET  .../pods/endless/log       as much as is read
POST /bench/mode/MODE           what the control ConfigMap says from now on
POST /bench/event               one event to all watches
GET  /bench/sent                bytes sent of endless logs
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from pathlib import Path

import orjson
from aiohttp import web

EVERY_SECONDS = 0.5
WATCHES = 500
CHUNK = b"x" * 65536
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "NAME", "namespace": "shop", "uid": "uid-of-NAME"},
    "spec": {"containers": [{"name": f"c{n}", "image": "toil-lab", "args": ["x" * 60]} for n in range(8)]},
}


class Stub:
    """Holds the mode, and counts."""

    def __init__(self) -> None:
        self.mode = "live"
        self.sent = 0
        self.pod = orjson.dumps(POD)
        self.numbers = itertools.count()
        self.watches: set[web.StreamResponse] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path
        if path.startswith("/bench/"):
            return await self.obey(path)
        if "automation-control" in path:
            if "watch" in request.query:
                await asyncio.Event().wait()
            return answer({"kind": "ConfigMap", "data": {"mode": self.mode, "killSwitch": "off"}})
        if "watch" in request.query:
            return await self.watch(request)
        if path.endswith("/log"):
            return await self.log(request, path.split("/")[-2])
        await request.read()
        name = path.partition("?")[0].rpartition("/")[2]
        return web.Response(body=self.pod.replace(b"NAME", name.encode()), content_type="application/json")

    async def obey(self, path: str) -> web.StreamResponse:
        if path.startswith("/bench/mode/"):
            self.mode = path.rpartition("/")[2]
        elif path == "/bench/event":
            for stream in tuple(self.watches):
                await stream.write(event("MODIFIED"))
        return answer({"sent": self.sent})

    async def watch(self, request: web.BaseRequest) -> web.StreamResponse:
        """Watches take turns, so that their events are spread evenly."""
        loop, turn = asyncio.get_running_loop(), next(self.numbers) % WATCHES / WATCHES * EVERY_SECONDS
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        self.watches.add(stream)
        try:
            while True:
                await asyncio.sleep(EVERY_SECONDS - (loop.time() - turn) % EVERY_SECONDS)
                await stream.write(event("BOOKMARK"))
        except OSError:
            return stream  # the client left
        finally:
            self.watches.discard(stream)

    async def log(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        size = None if name == "endless" else int(name.removesuffix("-mib")) * 2**20
        stream = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await stream.prepare(request)
        try:
            for _ in itertools.repeat(None) if size is None else range(size // len(CHUNK)):
                await stream.write(CHUNK)
                self.sent += len(CHUNK)
            await stream.write_eof()
        except OSError:
            pass  # the client left
        return stream


def event(kind: str) -> bytes:
    return b'{"type":"%s","at":%f}\n' % (kind.encode(), time.time())


def answer(document: object) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")


async def serve(port: int, tls: Path) -> None:
    """Serve until the process is ended."""
    runner = web.ServerRunner(web.Server(Stub().handle, handler_cancellation=True, access_log=None))
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, backlog=1024).start()
    await asyncio.Event().wait()
