"""S3's answers in XML: errors, and what a rehearsal says instead of the store."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

import orjson
from multidict import CIMultiDict

from lab.gateway.exchange import Answer, Exchange, Handler

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_CODES = {
    400: "InvalidRequest", 401: "InvalidAccessKeyId", 403: "AccessDenied", 404: "NoSuchKey",
    405: "MethodNotAllowed", 409: "OperationAborted", 413: "EntityTooLarge", 429: "SlowDown",
    500: "InternalError", 503: "ServiceUnavailable",
}  # fmt: skip
S3_CODE = "X-Lab-S3-Code"
"""Between the stages: the error code when the HTTP code alone does not tell it. It never goes out."""


async def as_s3(exchange: Exchange, following: Handler) -> Answer:
    """Outermost stage: a Status object of the gateway becomes an S3 error. Too many requests is SlowDown 503,
    the one code that S3 clients wait and try again for."""
    answer = await following(exchange)
    code = answer.headers.pop(S3_CODE, "")
    if answer.stream is not None or answer.code < 400 or "json" not in answer.headers.get("Content-Type", ""):
        return answer
    status = orjson.loads(answer.body)
    made = error(exchange, answer.code, code or _CODES.get(answer.code, "InternalError"), status["message"])
    if retry := answer.headers.get("Retry-After"):
        made.headers["Retry-After"] = retry
    return made


def error(exchange: Exchange, http_code: int, code: str, message: str) -> Answer:
    """An S3 error. A HEAD gets its code alone, by the rules of HTTP."""
    path = exchange.request.raw_path.partition("?")[0]
    body = (
        f"<Error><Code>{escape(code)}</Code><Message>{escape(_clean(message))}</Message>"
        f"<Resource>{escape(path)}</Resource><RequestId>{escape(exchange.arrived)}</RequestId></Error>"
    )
    answer = document(body, 503 if code == "SlowDown" else http_code)
    if exchange.request.method == "HEAD":
        answer.body = b""
    return answer


def document(inner: str, code: int = 200) -> Answer:
    """An answer of XML."""
    headers = CIMultiDict({"Content-Type": "application/xml"})
    return Answer(code, headers, f'<?xml version="1.0" encoding="UTF-8"?>\n{inner}'.encode())


def deleted(
    keys: Iterable[str], failed: Iterable[tuple[str, str, str]] = (), *, quiet: bool = False
) -> Answer:
    """The answer to a batch delete. failed: key, error code, message."""
    gone = "" if quiet else "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
    return document(f'<DeleteResult xmlns="{NAMESPACE}">{gone}{_errors(failed)}</DeleteResult>')


def batch(keys: Iterable[str], *, quiet: bool) -> bytes:
    """The body of a batch delete."""
    objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    quietly = "<Quiet>true</Quiet>" if quiet else ""
    return f'<Delete xmlns="{NAMESPACE}">{objects}{quietly}</Delete>'.encode()


def with_failures(content: bytes, failed: Iterable[tuple[str, str, str]]) -> bytes:
    """A store's answer to a batch delete, with further keys that failed."""
    head, end, tail = content.rpartition(b"</")
    return head + _errors(failed).encode() + end + tail


def _errors(failed: Iterable[tuple[str, str, str]]) -> str:
    return "".join(
        f"<Error><Key>{escape(key)}</Key><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        for key, code, message in failed
    )


def copied(etag: str, when: str) -> Answer:
    """The answer to a copy."""
    inner = f"<LastModified>{escape(when)}</LastModified><ETag>{escape(etag)}</ETag>"
    return document(f'<CopyObjectResult xmlns="{NAMESPACE}">{inner}</CopyObjectResult>')


def _clean(text: str) -> str:
    """Without what XML cannot carry."""
    return "".join(c for c in text if c >= " " or c in "\t\n")
