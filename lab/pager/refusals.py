"""How a failure is told: `{"error": …, "hint": …}`; below /api/v2 a JSON string, as Alertmanager does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from lab.errors import UsageError
from lab.pager.journal import JournalError
from lab.pager.store import NotFound, WrongState

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MEANINGS = {
    400: "The request is wrong; error says how.",
    401: "The admin token is missing or wrong.",
    403: "The name belongs to somebody else.",
    404: "There is no such thing.",
    409: "It is too late for that, or there is no room.",
    413: "The body is larger than 1 MiB.",
    422: "The Idempotency-Key was used for another request.",
    507: "The disk is full; nothing was changed.",
}


@web.middleware
async def tell_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure has one of the codes of `MEANINGS`, or 405, and a message."""
    hint = ""
    try:
        return await handler(request)
    except NotFound as error:
        code, message, hint = 404, error.message, error.hint
    except WrongState as error:
        code, message, hint = 409, error.message, error.hint
    except UsageError as error:
        code, message, hint = 400, error.message, error.hint
    except JournalError as error:
        code, message, hint = 507, error.message, error.hint
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {name: error.headers[name] for name in ("Allow", "WWW-Authenticate") if name in error.headers}
        return _told(request, error.status, error.text or error.reason, "", kept)
    return _told(request, code, message, hint, {})


def _told(
    request: web.Request, code: int, message: str, hint: str, headers: dict[str, str]
) -> web.StreamResponse:
    if request.path.startswith("/api/v2/"):
        return web.json_response(message, status=code, headers=headers)
    said = {"error": message, "hint": hint} if hint else {"error": message}
    return web.json_response(said, status=code, headers=headers)
