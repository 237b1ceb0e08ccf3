"""Who may see the page: whoever has its token, by a link, and then by a cookie.

The token is derived from the lab's admin token, so the link can be read over a shoulder without giving the
lab away: it opens the page, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac

from aiohttp import web
from aiohttp.typedefs import Handler

COOKIE = "lab_page"
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
HEADER = "X-Lab-Page"
"""A header that a form of another site cannot send: every change must carry it."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page_token(admin_token: str) -> str:
    """The token in the page's link."""
    return hmac.new(admin_token.encode(), b"live page", hashlib.sha256).hexdigest()[:32]


class Guard:
    """The middleware: a link with the token becomes a cookie; without either there is only a 401."""

    def __init__(self, token: str) -> None:
        self._token = token

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in, or not."""
        if request.path in OPEN_PATHS:
            return await handler(request)
        offered = request.query.get("token", "")
        if request.path == "/" and self._same(offered):
            answer: web.StreamResponse = web.Response(
                status=303, headers={"Location": "/"} | SECURITY_HEADERS
            )
            answer.set_cookie(COOKIE, offered, httponly=True, samesite="Strict", path="/")
            return answer
        if not self._same(request.cookies.get(COOKIE, "")):
            text = "This page opens by its link: lab page prints it.\n"
            return web.Response(status=401, text=text, headers=SECURITY_HEADERS)
        if request.method not in ("GET", "HEAD") and request.headers.get(HEADER) != "1":
            return web.Response(status=403, text=f"a change carries the header {HEADER}: 1\n")
        answer = await handler(request)
        if not answer.prepared:
            answer.headers.update(SECURITY_HEADERS)
        return answer

    def _same(self, offered: str) -> bool:
        return hmac.compare_digest(offered.encode(errors="replace"), self._token.encode())
