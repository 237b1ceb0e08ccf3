"""One request on its way through the chain, and the answer that comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import aiohttp
import orjson
from aiohttp import web
from multidict import CIMultiDict

from lab.core.audit import Decision, Mode
from lab.gateway.control import ControlState
from lab.gateway.target import Target
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError

MAX_BODY_BYTES = 3 * 1024 * 1024
"""As the API server's own limit."""


@dataclass(slots=True, eq=False)
class Exchange:
    """What the stages learn about a request. `arrived` is RFC 3339, `started` a monotonic instant."""

    request: web.BaseRequest
    arrived: str
    started: float
    control: ControlState
    target: Target | None = None
    actor: str = "system:anonymous"
    acting: Mode = Mode.SHADOW
    """Shadow or live: how this one request is treated, in canary mode by its target."""
    decision: Decision = Decision.REFUSED
    reason: str = ""
    recall: str = ""
    """Why it could not be recalled, when the kill switch was engaged too late for it."""
    dry_run: bool = False
    body: bytes = b""
    before: KubeObject | None = None
    diff: tuple[dict[str, Any], ...] = ()
    made: str = ""
    """Name of the object that a create made."""
    canary: str = ""
    risk: str = ""
    budget: str = ""
    approval: str = ""
    fault: str = ""

    @property
    def mutating(self) -> bool:
        """May it change anything? A request that was not understood counts."""
        return self.target is None or not self.target.is_read


class Chunks(Protocol):
    """The body of a stream."""

    def iter_any(self) -> AsyncIterator[bytes]:
        """Pieces as they come. An error means that the client must not see a proper end."""


class Stream(Protocol):
    """An answer that is passed through: aiohttp's response, or what a fault made of it."""

    @property
    def content(self) -> Chunks:
        """Its body."""

    def close(self) -> None:
        """Let go of it, read to its end or not."""


@dataclass(slots=True)
class Answer:
    """What goes back: a body in hand, a stream to pass through, or a connection to take over."""

    code: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""
    stream: Stream | None = None
    take_over: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None

    def drop(self) -> None:
        """Let go of a stream that will not be passed on."""
        if self.stream is not None:
            self.stream.close()


Handler = Callable[[Exchange], Awaitable[Answer]]


class Stage(Protocol):
    """One step of the chain."""

    def __call__(self, exchange: Exchange, following: Handler) -> Awaitable[Answer]:
        """Answer, by itself or with what follows."""


def status_answer(error: StatusError) -> Answer:
    """A failure as Kubernetes' Status object."""
    headers: CIMultiDict[str] = CIMultiDict(error.headers)
    headers["Content-Type"] = "application/json"
    return Answer(error.code, headers, orjson.dumps(error.status()))


def compose(stages: list[Stage], last: Handler) -> Handler:
    """The chain: the first stage is outermost, `last` the innermost."""
    handler = last
    for stage in reversed(stages):
        handler = partial(stage, following=handler)
    return handler


async def read_body(request: web.BaseRequest) -> bytes:
    """The whole body. Raises StatusError 413 when it is larger than MAX_BODY_BYTES."""
    content = bytearray()
    try:
        async for chunk in request.content.iter_any():
            content += chunk
            if len(content) > MAX_BODY_BYTES:
                message = f"the request body is larger than {MAX_BODY_BYTES} bytes"
                raise StatusError(413, "RequestEntityTooLarge", message)
    except (aiohttp.ClientPayloadError, aiohttp.http_exceptions.HttpProcessingError, OSError) as error:
        raise StatusError(400, "BadRequest", "the request body cannot be read") from error
    return bytes(content)
