"""The HTTP forward proxy between Prometheus and the pods, where the monitoring faults bite.

Prometheus reaches every target through it (`proxy_url`). Without a fault it passes bytes on: no header that
matters to a scrape and no byte of a body is changed. It asks nobody but pods of the cluster, and only by GET.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from yarl import URL

from lab.core.clock import Clock
from lab.kube.objects import KubeObject, labels_of, name_of
from lab.metrics.pod import bind_host
from lab.slo.scrape_faults import Answer, Scrape, ScrapeFaults

PORT = 9092
PLAIN_TEXT = "text/plain; version=0.0.4; charset=utf-8"
LONGEST_SECONDS = 10.0
"""How long a target may take when Prometheus does not say."""

_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
_PASSED_ON = ("Accept", "Accept-Encoding", "Authorization", "User-Agent", _TIMEOUT_HEADER)
_PASSED_BACK = ("Content-Type", "Content-Encoding")
_NOT_ASKED = Answer(502)
_UNREACHED = (aiohttp.ClientError, TimeoutError, OSError)


class Pods(Protocol):
    """The pods that may be asked."""

    @property
    def synced(self) -> bool:
        """Whether they are known yet."""

    def pod_at(self, address: str) -> KubeObject | None:
        """The pod that has an address."""


class ScrapeProxy:
    """Answers requests in absolute form, as HTTP clients send them to a proxy. Close it after use."""

    def __init__(self, pods: Pods, faults: ScrapeFaults, clock: Clock) -> None:
        self._pods = pods
        self._faults = faults
        self._clock = clock
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )

    async def close(self) -> None:
        """Close the connections to the pods."""
        await self._session.close()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """One scrape."""
        url = request.url
        if request.method != "GET" or url.scheme != "http":
            return web.Response(status=405, text="this proxy takes GET of http:// targets only\n")
        if not self._pods.synced:
            return web.Response(status=503, text="no list of pods yet\n")
        pod = self._pods.pod_at(url.host or "")
        if pod is None:
            return web.Response(status=403, text=f"{url.host} is no pod of this cluster\n")
        scrape = _scrape(pod, url, self._clock.now().timestamp())
        rows = self._faults.biting(scrape)
        try:
            if not rows:
                return await self._pass_on(request, url)
            known = self._faults.knows(rows, scrape)
            answer = _NOT_ASKED if known else await self._ask_in_text(request, url)
            return _response(self._faults.apply(rows, scrape, answer))
        except _UNREACHED as error:
            return web.Response(status=502, text=f"{url}: {type(error).__name__}\n")

    async def _pass_on(self, request: web.BaseRequest, url: URL) -> web.Response:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        async with self._session.get(url, headers=headers, timeout=_timeout(request)) as answer:
            back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
            return web.Response(status=answer.status, headers=back, body=await answer.read())

    async def _ask_in_text(self, request: web.BaseRequest, url: URL) -> Answer:
        """The answer in the one format that the faults edit; a target that is away is an answer too."""
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        headers |= {"Accept": PLAIN_TEXT, "Accept-Encoding": "identity"}
        try:
            async with self._session.get(url, headers=headers, timeout=_timeout(request)) as answer:
                return Answer(answer.status, (await answer.read()).decode("utf-8", "replace"))
        except _UNREACHED as error:
            return Answer(502, f"{url}: {type(error).__name__}\n")


def _scrape(pod: KubeObject, url: URL, at: float) -> Scrape:
    identity = f"{pod['metadata'].get('uid') or name_of(pod)} {url.raw_path_qs}"
    return Scrape(identity, name_of(pod), labels_of(pod).get("app", ""), at)


def _response(answer: Answer) -> web.Response:
    headers = {"Content-Type": "text/plain; charset=utf-8" if answer.failed else PLAIN_TEXT}
    return web.Response(status=answer.status, headers=headers, body=answer.text.encode())


def _timeout(request: web.BaseRequest) -> aiohttp.ClientTimeout:
    try:
        seconds = float(request.headers.get(_TIMEOUT_HEADER, LONGEST_SECONDS))
    except ValueError:
        seconds = LONGEST_SECONDS
    return aiohttp.ClientTimeout(total=min(max(seconds, 0.001), LONGEST_SECONDS))


def proxy_beside(app: web.Application, proxy: ScrapeProxy, *, host: str | None = None) -> None:
    """Serve the proxy on its own port for as long as the application is served."""

    async def listening(_: Any) -> AsyncIterator[None]:
        runner = web.ServerRunner(web.Server(proxy.handle, access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, host or bind_host(), PORT, reuse_address=True).start()
        yield
        await runner.cleanup()
        await proxy.close()

    app.cleanup_ctx.append(listening)
