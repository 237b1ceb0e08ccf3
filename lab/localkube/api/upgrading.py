"""Switching protocols: which one a client asks for, and the negotiation of SPDY.

Source: kubernetes staging/src/k8s.io/apimachinery/pkg/util/httpstream.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from lab.kube.status import StatusError, bad_request
from lab.kube.takeover import RawConnection, take_over

SPDY = "SPDY/3.1"
VERSION_HEADER = "X-Stream-Protocol-Version"
ACCEPTED_HEADER = "X-Accepted-Stream-Protocol-Versions"
FAREWELL_SECONDS = 5.0
"""How long to wait for a client to close, once it has been told all."""
_LARGEST_MESSAGE = 32 * 1024 * 1024


def is_websocket(request: web.BaseRequest) -> bool:
    """Does the client ask for WebSocket? Raises StatusError 400 when it asks for neither that nor SPDY."""
    wanted = request.headers.get("Upgrade", "").lower()
    if "upgrade" in request.headers.get("Connection", "").lower():
        if wanted == "websocket":
            return True
        if SPDY.lower() in wanted:
            return False
    raise bad_request("Upgrade request required")


async def open_websocket(request: web.BaseRequest, protocols: Sequence[str]) -> web.WebSocketResponse:
    """Switch to WebSocket. Raises StatusError 403 when the client wants none of the protocols."""
    asked = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if any(asked) and not set(asked) & set(protocols):
        why = f"requested protocol(s) are not supported: {_go(asked)}; supports {_go(protocols)}"
        raise StatusError(403, "Forbidden", why)
    socket = web.WebSocketResponse(
        protocols=protocols, max_msg_size=_LARGEST_MESSAGE, timeout=FAREWELL_SECONDS
    )
    await socket.prepare(request)
    return socket


def open_spdy(request: web.BaseRequest, protocols: Sequence[str]) -> tuple[RawConnection, str]:
    """Switch to SPDY; the connection, and the first of the protocols that the client speaks.

    Raises StatusError 400 when it names none, 403 when it speaks none.
    """
    values = request.headers.getall(VERSION_HEADER, [])
    asked = [word.strip() for value in values for word in value.split(",") if word.strip()]
    if not asked:
        raise bad_request(f"unable to upgrade: {VERSION_HEADER} is required")
    chosen = next((protocol for protocol in asked if protocol in protocols), None)
    if chosen is None:
        why = f"client supports {_go(asked)}, server accepts {_go(protocols)}"
        raise StatusError(
            403,
            "Forbidden",
            f"unable to upgrade: unable to negotiate protocol: {why}",
            headers={ACCEPTED_HEADER: ", ".join(protocols)},
        )
    headers = (("Connection", "Upgrade"), ("Upgrade", SPDY), (VERSION_HEADER, chosen))
    return take_over(request, headers), chosen


def _go(words: Sequence[str]) -> str:
    """A list as Go prints one."""
    return f"[{' '.join(words)}]"
