"""What a client may send: the sizes of heads and bodies, and the time that a body may take.

A body that is compressed is not unpacked, as upstream: it is no JSON, YAML or protobuf then.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from lab.kube.status import StatusError, bad_request

BODY_LIMIT = 3 * 1024 * 1024
"""Bytes of a request body, as upstream."""

BODY_SECONDS = 60.0
"""Time for a body to come whole, as upstream's time for a request."""

LINE_LIMIT = 256 * 1024
"""Bytes of the request line, and so of its selectors."""

FIELD_LIMIT = 64 * 1024
"""Bytes of one header."""


async def read_body(request: web.Request) -> bytes:
    """The whole body; later reads of the request give the same. Raises StatusError 400, 413 or 504."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        message = "Timeout: request did not complete within the allotted timeout"
        raise StatusError(504, "Timeout", message) from error
    except web.HTTPRequestEntityTooLarge as error:
        message = f"Request entity too large: limit is {BODY_LIMIT}"
        raise StatusError(413, "RequestEntityTooLarge", message) from error
    except web.RequestPayloadError as error:
        raise bad_request(f"unable to read the body of the request: {error}") from error


class _OneLine(logging.Filter):
    """A client that does not speak HTTP deserves a line and no traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        failure = record.exc_info[1] if record.exc_info else None
        if isinstance(failure, HttpProcessingError):
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg, record.args = "a request that is no HTTP: %s", (type(failure).__name__,)
            record.exc_info = None
        return True


def server_options() -> dict[str, Any]:
    """How aiohttp's server is to be set up."""
    logger = logging.getLogger("lab.localkube.http")
    logger.addFilter(_OneLine())
    return {
        "auto_decompress": False,
        "max_line_size": LINE_LIMIT,
        "max_field_size": FIELD_LIMIT,
        "logger": logger,
    }
