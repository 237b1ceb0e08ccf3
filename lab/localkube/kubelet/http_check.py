"""HTTP requests as upstream's kubelet makes them: one GET, unverified TLS, redirects on the same host.

Source: pkg/probe/http of Kubernetes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from lab.kube.objects import KubeObject
from lab.localkube.kubelet.ports import dial_error, resolve_port

MOST_REDIRECTS = 10
_HEAD_LIMIT = 100
"""Header lines that are read of an answer, in search of a redirect's target."""
_URL_CHARACTERS = "/?&=%:@!$'()*+,;~[]-._"


class PlainAnswer(Exception):
    """An HTTPS request got an answer that is not TLS."""


@dataclass(frozen=True, slots=True)
class Request:
    """One GET. Its URL, and headers in order; a `Host` among them replaces the URL's."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()


def request_of(spec: dict[str, Any], address: str, container: KubeObject, purpose: str) -> Request:
    """The request of an httpGet action; `purpose` is probe or lifecycle. Raises ValueError for its port."""
    port = resolve_port(spec["port"], container)
    scheme = str(spec.get("scheme") or "HTTP").lower()
    path = quote(str(spec.get("path") or "/").partition("#")[0], safe=_URL_CHARACTERS)
    path = path if path.startswith("/") else "/" + path
    given = [(item["name"], str(item.get("value") or "")) for item in spec.get("httpHeaders") or ()]
    names = {name.lower() for name, _ in given}
    if "user-agent" not in names:
        given.append(("User-Agent", f"kube-{purpose}/1.32"))
    if "accept" not in names:
        given.append(("Accept", "*/*"))
    headers = tuple((name, value) for name, value in given if value or name.lower() != "accept")
    return Request(f"{scheme}://{spec.get('host') or address}:{port}{path}", headers)


async def fetch(request: Request) -> int:
    """The answer's status. A redirect is followed while it stays on the host; another's status is the answer.

    Raises OSError or ValueError that say what Go's client says; PlainAnswer.
    """
    host, url = urlsplit(request.url).hostname, request.url
    for _ in range(MOST_REDIRECTS):
        status, location = await _get(url, request.headers)
        target = urljoin(url, location)
        if not location or urlsplit(target).hostname != host:
            return status
        url = target
    raise ValueError(f"stopped after {MOST_REDIRECTS} redirects")


async def _get(url: str, headers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """The status of one answer, and where it redirects to."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    head = _head(parts.path or "/", parts.query, parts.netloc, headers)
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=_unverified() if secure else None)
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
            raise PlainAnswer("http: server gave HTTP response to HTTPS client") from error
        raise
    except OSError as error:
        raise OSError(dial_error(error, host, port)) from error
    try:
        writer.write(head)
        await writer.drain()
        return await _read_head(reader)
    except ConnectionResetError as error:
        here = "{}:{}".format(*writer.get_extra_info("sockname")[:2])
        raise OSError(f"read tcp {here}->{host}:{port}: read: connection reset by peer") from error
    finally:
        writer.close()


def _head(path: str, query: str, authority: str, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"GET {path}{'?' + query if query else ''} HTTP/1.1"]
    hosts = [value for name, value in headers if name.lower() == "host" and value]
    lines.append(f"Host: {hosts[0] if hosts else authority}")
    for name, value in headers:
        if any(ord(character) < 32 and character != "\t" for character in value):
            raise ValueError(f'net/http: invalid header field value for "{name}"')
        if name.lower() != "host":
            lines.append(f"{name}: {value}")
    return "\r\n".join((*lines, "Connection: close", "", "")).encode()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, str]:
    first = await reader.readline()
    if not first:
        raise OSError("EOF")
    words = first.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        said = first.strip().decode(errors="replace")
        raise ValueError(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{said}"')
    status = int(words[1])
    for _ in range(_HEAD_LIMIT if status in (301, 302, 303, 307, 308) else 0):
        name, _, value = (await reader.readline()).decode("latin-1").partition(":")
        if not value:
            break
        if name.strip().lower() == "location":
            return status, value.strip()
    return status, ""


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
