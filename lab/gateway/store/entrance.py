"""Who asks for what: the signature gives the actor, the request line the target."""

from __future__ import annotations

from lab.core.clock import Clock
from lab.core.sigv4 import Request, SignatureRefused, verify
from lab.gateway.exchange import Answer, Exchange, Handler
from lab.gateway.identity import Clients
from lab.gateway.store.answers import S3_CODE
from lab.gateway.store.operations import BadRequest, Operation, read_operation
from lab.gateway.target import Target, read_pairs
from lab.kube.request import RequestInfo
from lab.kube.status import StatusError, bad_request

GROUP = "s3"
"""The API group of buckets and objects in audit records, budgets, risk rules and the canary's hash."""

DRY_RUN = "X-Lab-Dry-Run"
"""A request header, `All`: rehearse this mutation, whatever the mode."""


class Entrance:
    """First inner stage: reads the request line, checks the signature, lets the body come."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        request = exchange.request
        misread: StatusError | None = None
        try:
            exchange.target = target_of(request.method, request.raw_path, request.headers)
        except StatusError as error:
            misread = error
        path, _, query = request.raw_path.partition("?")
        signed = Request(request.method, path, query, request.headers)
        try:
            exchange.actor, _ = verify(signed, self._clients.secret, self._clock.now())
        except SignatureRefused as refused:
            raise StatusError(403, "Forbidden", refused.message, headers={S3_CODE: refused.code}) from refused
        if misread is not None:
            raise misread
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await following(exchange)


def target_of(method: str, raw_path: str, headers: object) -> Target:
    """The request in the gateway's terms: bucket as namespace, key as name. Raises StatusError 400."""
    path, _, query = raw_path.partition("?")
    operation = operation_of(method, raw_path, headers)
    info = RequestInfo(
        path=path,
        verb=operation.verb,
        is_resource=True,
        group=GROUP,
        resource=operation.resource,
        namespace=operation.bucket,
        name=operation.key,
        subresource="tagging" if operation.is_mutating and operation.name.endswith("Tagging") else "",
    )
    return Target(method, path, read_pairs(query), info)


def operation_of(method: str, raw_path: str, headers: object) -> Operation:
    """What S3 calls it. Raises StatusError 400."""
    path, _, query = raw_path.partition("?")
    source = getattr(headers, "get", lambda *_: "")("x-amz-copy-source", "") or ""
    try:
        return read_operation(method, path, query, source)
    except (BadRequest, UnicodeDecodeError) as error:
        raise bad_request(str(error)) from error
