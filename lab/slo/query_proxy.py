"""Questions to a Prometheus that the lab does not run, passed on from where the lab's own would answer.

So no part of the lab and no automation has to know whose Prometheus it is. It passes on questions, and
nothing that changes what they are asked of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from yarl import URL

PORT = 9090
UPSTREAM_VARIABLE = "PROMETHEUS_UPSTREAM"
READY = "/-/ready"
QUESTIONS = ("query", "query_range", "series", "labels", "query_exemplars", "format_query")
"""Of the HTTP API, those that are asked by POST too: a long query does not fit into an address."""

_READ = ("/api/v1/", "/-/ready", "/-/healthy")
_CLOSED = ("/api/v1/admin/",)
_PASSED_ON = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_PASSED_BACK = ("Content-Type", "Content-Encoding")
_TIMEOUT = aiohttp.ClientTimeout(total=60.0, connect=5.0)


class QueryProxy:
    """Stands in for the Prometheus at a URL. Close it after use."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream.rstrip("/")
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
            trust_env=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def is_ready(self) -> bool:
        """Whether that Prometheus takes questions now."""
        try:
            async with self._session.get(self._upstream + READY) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """One question."""
        if not _is_question(request.method, request.path):
            return web.Response(status=403, text="only questions are passed on: it is not the lab's own\n")
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = URL(self._upstream + request.rel_url.raw_path_qs, encoded=True)
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=await request.read()
            ) as answer:
                back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
                return web.Response(status=answer.status, headers=back, body=await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return web.Response(status=502, text=f"{self._upstream}: {type(error).__name__}\n")


def _is_question(method: str, path: str) -> bool:
    if method == "POST":
        return path in {f"/api/v1/{question}" for question in QUESTIONS}
    return method == "GET" and path.startswith(_READ) and not path.startswith(_CLOSED)


def answering(app: web.Application, proxy: QueryProxy, host: str, port: int = PORT) -> None:
    """Serve the proxy on its own port for as long as the application is served."""

    async def listening(_: web.Application) -> AsyncIterator[None]:
        runner = web.ServerRunner(web.Server(proxy.handle, access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        yield
        await runner.cleanup()
        await proxy.close()

    app.cleanup_ctx.append(listening)
