"""The API server behind the gateway: connections, credentials, impersonation, headers."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from lab.core.audit import Mode
from lab.gateway.names import legible, real_body
from lab.kube.connector import Connector
from lab.kube.kubeconfig import Connection
from lab.kube.objects import KubeObject
from lab.kube.renaming import AS_IT_IS, Renaming
from lab.kube.status import StatusError, service_unavailable

PASSED_HEADERS = frozenset(
    {
        "accept",
        "content-type",
        "if-match",
        "if-none-match",
        "kubectl-command",
        "kubectl-session",
        "range",
        "user-agent",
        "x-stream-protocol-version",
    }
)
"""Request headers that go upstream as they are. Any other (Impersonate-*, Authorization, method overrides,
hop-by-hop headers) does not."""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_JSON = "application/json"
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
_ENDLESS = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
_ANSWERED = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS)
_OWN_LIMIT = 8 * 1024 * 1024


class Upstream:
    """One connection pool. Every request is made as the impersonated actor, or as the gateway itself."""

    def __init__(self, connection: Connection, actor_namespace: str, renaming: Renaming = AS_IT_IS) -> None:
        """actor_namespace and every path are plain names; `renaming` makes them the cluster's."""
        self.connection = connection
        self.renaming = renaming
        self._actor_namespace = renaming.namespaces.real(actor_namespace)
        self._session: aiohttp.ClientSession | None = None

    def pool(self) -> aiohttp.ClientSession:
        """The session; made on first use, inside the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=Connector(self.connection),
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=_ENDLESS,
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
            )
        return self._session

    async def close(self) -> None:
        """Close every connection, also of streams whose TLS goodbye the API server has not answered yet."""
        if self._session is not None:
            await self._session.close()

    def headers_for(self, actor: str, mode: Mode, client: Mapping[str, str]) -> CIMultiDict[str]:
        """The headers that go upstream for an actor: what may pass, our credentials, the impersonation."""
        headers: CIMultiDict[str] = CIMultiDict(
            (name, value) for name, value in client.items() if name.lower() in PASSED_HEADERS
        )
        headers["Impersonate-User"] = f"system:serviceaccount:{self._actor_namespace}:{actor}"
        headers["Impersonate-Group"] = self.renaming.namespaces.group(f"toil-lab:{mode.value}")
        return self._own(headers)

    async def watch(self, url: str) -> AsyncIterator[dict[str, Any]]:
        """Events of a watch as the gateway itself, until the API server ends it.

        Raises StatusError when there is no watch, or when it breaks off.
        """
        stream = await self.open("GET", url, self._own(CIMultiDict({"Accept": _JSON})), None, endless=True)
        try:
            if stream.status >= 400:
                raise StatusError(stream.status, stream.reason or "Unknown", "the watch was refused")
            async for line in stream.content:
                yield self.decode(line)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise service_unavailable(f"the API server broke off: {type(error).__name__}") from error
        finally:
            stream.close()

    async def open(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes | None, *, endless: bool = False
    ) -> aiohttp.ClientResponse:
        """Send a request; the answer's body is not read yet. `endless` lifts the limit on silence.

        Raises StatusError 503 when the API server cannot be reached or breaks off.
        """
        if self.renaming.active:
            body = real_body(self.renaming, body, headers.get("Content-Type", ""))
            headers = legible(headers)
        try:
            return await self.pool().request(
                method,
                self.url(url),
                headers=headers,
                data=io.BytesIO(body) if body else None,
                timeout=_ENDLESS if endless else _ANSWERED,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise service_unavailable(
                f"the gateway cannot reach the API server: {type(error).__name__}; "
                "a mutation may or may not have been applied"
            ) from error

    def url(self, path_and_query: str) -> URL:
        """The absolute address of an already encoded path and query."""
        return URL(self.connection.server + self.renaming.path(path_and_query), encoded=True)

    def decode(self, content: bytes) -> KubeObject:
        """`decode_object` with plain names."""
        return decode_object(self.renaming.answer(content))

    async def read(self, url: str, headers: CIMultiDict[str] | None = None) -> KubeObject:
        """GET one JSON object: as the gateway itself, or with an actor's headers.

        Raises StatusError for every answer from 400 up, and when there is none.
        """
        sent = self._own(CIMultiDict(headers or {}))
        sent["Accept"] = _JSON
        for unwanted in ("Content-Type", "If-Match", "If-None-Match", "Range"):
            sent.popall(unwanted, None)
        return await self._decoded(await self.open("GET", url, sent, None))

    async def merge(self, url: str, patch: KubeObject) -> KubeObject:
        """Merge-patch one object as the gateway itself. Raises StatusError as `read` does."""
        headers = CIMultiDict({"Accept": _JSON, "Content-Type": "application/merge-patch+json"})
        return await self._decoded(await self.open("PATCH", url, self._own(headers), orjson.dumps(patch)))

    async def _decoded(self, answer: aiohttp.ClientResponse) -> KubeObject:
        try:
            content = await read_bounded(answer)
        finally:
            answer.release()
        decoded = self.decode(content)
        if answer.status >= 400:
            reason, message = str(decoded.get("reason") or "Unknown"), str(decoded.get("message") or "")
            raise StatusError(answer.status, reason, message)
        return decoded

    def _own(self, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        try:
            bearer = self.connection.bearer()
        except OSError as error:
            raise service_unavailable("the gateway's own token cannot be read") from error
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        return headers


def answer_headers(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    """The response headers that go back to the client."""
    return CIMultiDict(
        (name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP
    )


def decode_object(content: bytes) -> KubeObject:
    """A JSON object, or an empty one when the content is something else.

    A Scale of zero replicas gets the number that API servers leave out of it.
    """
    try:
        decoded: Any = orjson.loads(content)
    except ValueError:
        return {}
    if not isinstance(decoded, dict):
        return {}
    if decoded.get("kind") == "Scale" and isinstance(decoded.get("spec"), dict):
        decoded["spec"].setdefault("replicas", 0)
    return decoded


async def read_bounded(answer: aiohttp.ClientResponse) -> bytes:
    """A whole answer that the gateway has to understand. Raises StatusError 503 when it cannot be had."""
    try:
        return await _bounded(answer)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise service_unavailable(f"the API server broke off: {type(error).__name__}") from error


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > _OWN_LIMIT:
            answer.close()
            raise service_unavailable("the API server's answer is too large for the gateway to read")
    return bytes(content)
