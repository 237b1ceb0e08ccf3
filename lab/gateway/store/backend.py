"""The store behind the gateway: one connection pool, and requests signed with the gateway's own key."""

from __future__ import annotations

import io
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from lab.core.clock import Clock
from lab.core.sigv4 import Request, sign
from lab.gateway.target import Pairs
from lab.kube.status import StatusError, service_unavailable

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
PASSED = frozenset(
    {"accept", "content-type", "content-md5", "content-encoding", "range", "if-match", "if-none-match"}
)
"""Request headers that go on, beside x-amz-* ones that are not part of the signature."""

_OWN = frozenset({"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"})
_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "server", "date"}
)


class Backend:
    """An S3-compatible store at `url`, asked with path-style addresses."""

    def __init__(self, url: str, key: str, secret: str, clock: Clock) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._secret = secret
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def open(
        self,
        method: str,
        bucket: str,
        key: str,
        pairs: Pairs = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> aiohttp.ClientResponse:
        """Send a request; the answer's body is not read yet. Raises StatusError 503 when there is none."""
        path = "/" + "/".join(quote(part, safe="-_.~/") for part in (bucket, key) if part)
        query = urlencode(pairs, quote_via=quote)
        url = URL(f"{self._url}{path}{'?' + query if query else ''}", encoded=True)
        sent = CIMultiDict(passed(headers or {}))
        sent["Host"] = url.authority
        signed = Request(method, path, query, sent)
        sent.update(sign(signed, self._key, self._secret, self._clock.now()))
        try:
            return await self._pool().request(
                method, url, headers=sent, data=io.BytesIO(body) if body else None, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise service_unavailable(
                f"the gateway cannot reach the object store: {type(error).__name__}; "
                "a mutation may or may not have been applied"
            ) from error

    async def read(
        self,
        method: str,
        bucket: str,
        key: str,
        pairs: Pairs = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> tuple[int, CIMultiDict[str], bytes]:
        """Code, headers and the whole body. Raises StatusError 503."""
        answer = await self.open(method, bucket, key, pairs, headers, body)
        try:
            content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            message = "the object store broke off its answer; a mutation may have been applied"
            raise service_unavailable(message) from error
        finally:
            answer.release()
        return answer.status, returned(answer), content

    async def head(self, bucket: str, key: str = "") -> CIMultiDict[str] | None:
        """The headers of an object or bucket, or None when it is not there. Raises StatusError."""
        code, headers, _ = await self.read("HEAD", bucket, key)
        if code == 404:
            return None
        if code >= 400:
            raise StatusError(
                code, "Unknown", f"the object store answered {code} to a look at {bucket}/{key}"
            )
        return headers

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS
                ),
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
            )
        return self._session


def passed(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a client's headers, those that go to the store."""
    return {
        name: value
        for name, value in headers.items()
        if name.lower() in PASSED or (name.lower().startswith("x-amz-") and name.lower() not in _OWN)
    }


def returned(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    """Of the store's headers, those that go back to the client."""
    return CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in _HOP)
