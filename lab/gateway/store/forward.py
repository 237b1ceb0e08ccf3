"""The innermost stage: reads pass through; mutations are looked at first, then rehearsed or carried out."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from multidict import CIMultiDict

from lab.core.audit import Decision
from lab.core.clock import Clock, rfc3339
from lab.core.sigv4 import payload_matches
from lab.gateway.control import Control
from lab.gateway.exchange import Answer, Exchange
from lab.gateway.image import Operation as Change
from lab.gateway.ledger import is_unknown
from lab.gateway.passage import Passages
from lab.gateway.safeguards import Safeguards
from lab.gateway.standing import stand
from lab.gateway.store import answers
from lab.gateway.store.answers import S3_CODE
from lab.gateway.store.backend import Backend, returned
from lab.gateway.store.entrance import DRY_RUN, operation_of
from lab.gateway.store.operations import REHEARSED, BadRequest, Operation, with_keys
from lab.gateway.store.trouble import Trouble, Withheld, keys_left
from lab.gateway.target import Pairs
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError, bad_request, forbidden


@dataclass(frozen=True, slots=True)
class Deed:
    """A mutation, understood. before: the record's image, or None when nothing was there. etag: of what a
    copy would copy."""

    operation: Operation
    quiet: bool
    before: KubeObject | None
    etag: str = ""
    withheld: tuple[Withheld, ...] = ()

    @property
    def failures(self) -> list[tuple[str, str, str]]:
        """Keys of a batch that the store refuses to touch."""
        return [(one.key, one.code, one.message) for one in self.withheld]


class Forward:
    """Behind the same control, kill switch, budgets and risk classes as the Kubernetes API."""

    def __init__(
        self,
        backend: Backend,
        control: Control,
        passages: Passages,
        safeguards: Safeguards,
        trouble: Trouble,
        clock: Clock,
    ) -> None:
        self._backend = backend
        self._control = control
        self._passages = passages
        self._safeguards = safeguards
        self._trouble = trouble
        self._clock = clock

    async def __call__(self, exchange: Exchange) -> Answer:
        request, target = exchange.request, exchange.target
        assert target is not None
        operation = operation_of(request.method, request.raw_path, request.headers)
        if not operation.is_mutating:
            stream = await self._backend.open(
                request.method, operation.bucket, operation.key, target.pairs, request.headers
            )
            return Answer(stream.status, returned(stream), stream=stream)
        promised = request.headers.get("x-amz-content-sha256", "")
        if promised.startswith("STREAMING-"):
            raise bad_request("bodies in signed chunks are not taken; send the body whole")
        if not payload_matches(promised, exchange.body):
            raise bad_request("the body is not the one that was signed")
        deed = await self._look(exchange, operation)
        exchange.dry_run = request.headers.get(DRY_RUN, "").lower() == "all"
        if exchange.decision is Decision.SHADOWED or exchange.dry_run:
            return await self._rehearse(exchange, deed)
        return await self._act(exchange, deed)

    async def _look(self, exchange: Exchange, operation: Operation) -> Deed:
        """What is there now; a write to a key that does not exist is a create, which destroys nothing."""
        assert exchange.target is not None
        quiet, etag = False, ""
        if operation.name == "DeleteObjects":
            try:
                operation, quiet = with_keys(operation, exchange.body)
            except BadRequest as error:
                raise bad_request(str(error)) from error
            before: KubeObject | None = {"kind": "ObjectList", "names": list(operation.keys), "cut": _CUT}
        elif operation.key:
            found = await self._backend.head(operation.bucket, operation.key)
            before = None if found is None else _image(operation, dict(found))
            if found is None and operation.name in ("PutObject", "CopyObject"):
                exchange.target = replace(exchange.target, info=replace(exchange.target.info, verb="create"))
            if operation.name == "CopyObject":
                etag = await self._source(operation)
        else:
            before = None
        exchange.before = before
        withheld = self._trouble.withheld(exchange, operation, before is not None)
        if withheld and operation.name != "DeleteObjects":
            one = withheld[0]
            raise StatusError(403, "Forbidden", one.message, headers={S3_CODE: one.code})
        left = replace(operation, keys=keys_left(operation, withheld)) if withheld else operation
        return Deed(left, quiet, before, etag, tuple(withheld))

    async def _source(self, operation: Operation) -> str:
        bucket, _, key = operation.source.partition("/")
        found = await self._backend.head(bucket, key)
        if found is None:
            raise StatusError(404, "NotFound", f"there is no {operation.source} to copy")
        return found.get("ETag", "")

    async def _rehearse(self, exchange: Exchange, deed: Deed) -> Answer:
        """Answer as the store would, without asking it to change anything."""
        is_intent = exchange.decision is Decision.SHADOWED and not exchange.dry_run
        if deed.operation.name not in REHEARSED:
            exchange.decision = Decision.REFUSED
            what = deed.operation.name or deed.operation.method
            exchange.reason = f"{what} cannot be rehearsed; in shadow mode it is refused"
            raise forbidden(deed.operation.resource, "s3", deed.operation.key, exchange.reason)
        self._safeguards.classify(exchange)
        answer = await self._answer_of(exchange, deed)
        if exchange.dry_run:
            exchange.decision = Decision.ALLOWED
        exchange.dry_run = True
        if answer.code < 400:
            exchange.diff = _diff(exchange, deed)
            if is_intent:
                await self._safeguards.report(exchange, deed.before)
        return answer

    async def _answer_of(self, exchange: Exchange, deed: Deed) -> Answer:
        operation = deed.operation
        if deed.before is None or operation.name == "DeleteObjects":
            await self._bucket_exists(operation.bucket)
        if operation.name == "DeleteObjects":
            return answers.deleted(operation.keys, deed.failures, quiet=deed.quiet)
        if operation.name == "DeleteObject":
            return Answer(204)
        if operation.name.endswith("Tagging"):
            if deed.before is None:
                raise _missing("NoSuchKey", f"there is no object {operation.key}")
            return Answer(204 if operation.method == "DELETE" else 200)
        if operation.name == "CopyObject":
            return answers.copied(deed.etag, rfc3339(self._clock.now()))
        answer = Answer(200)
        answer.headers["ETag"] = f'"{hashlib.md5(exchange.body, usedforsecurity=False).hexdigest()}"'
        return answer

    async def _bucket_exists(self, bucket: str) -> None:
        if await self._backend.head(bucket) is None:
            raise _missing("NoSuchBucket", f"there is no bucket {bucket}")

    async def _act(self, exchange: Exchange, deed: Deed) -> Answer:
        target = exchange.target
        assert target is not None
        place = await self._safeguards.clear(exchange, deed.before, _diff(exchange, deed))
        try:
            stand(exchange, self._control.last)
            self._passages.send(exchange)
            answer = await self._send(exchange, deed, target.pairs)
        except BaseException:
            if not self._passages.is_sent(exchange):
                place.give_back()
            raise
        if answer.code < 400:
            exchange.diff = _diff(exchange, deed)
            self._safeguards.settle(exchange, place, deed.before)
        elif not is_unknown(answer.code):
            place.give_back()
        return answer

    async def _send(self, exchange: Exchange, deed: Deed, pairs: Pairs) -> Answer:
        """Ask the store; of a batch only for the keys that no fault withholds."""
        operation, body = deed.operation, exchange.body
        headers: Mapping[str, str] = exchange.request.headers
        if deed.withheld:
            if not operation.keys:
                return answers.deleted((), deed.failures)
            headers, body = CIMultiDict(), answers.batch(operation.keys, quiet=deed.quiet)
        code, returned_, content = await self._backend.read(
            exchange.request.method, operation.bucket, operation.key, pairs, headers, body
        )
        if deed.withheld and code < 400:
            returned_.popall("Content-Length", None)
            content = answers.with_failures(content, deed.failures)
        return Answer(code, returned_, content)


_CUT = "the record holds no content of objects"


def _image(operation: Operation, headers: dict[str, str]) -> KubeObject:
    lowered = {name.lower(): value for name, value in headers.items()}
    return {
        "kind": "Object",
        "metadata": {"namespace": operation.bucket, "name": operation.key},
        "etag": lowered.get("etag", ""),
        "size": int(lowered.get("content-length") or 0),
        "lastModified": lowered.get("last-modified", ""),
        "cut": _CUT,
    }


def _diff(exchange: Exchange, deed: Deed) -> tuple[Change, ...]:
    """One `remove` per key of a delete; for a write what is known of the new content."""
    operation = deed.operation
    if operation.name in ("DeleteObject", "DeleteObjects"):
        return tuple({"op": "remove", "path": "/" + _escape(key)} for key in operation.keys)
    value: dict[str, Any] = {"operation": operation.name}
    if operation.name == "PutObject":
        digest = hashlib.sha256(exchange.body).digest()
        value |= {"size": len(exchange.body), "sha256": base64.b16encode(digest).decode().lower()}
    if operation.source:
        value["source"] = operation.source
    op = "add" if deed.before is None else "replace"
    return ({"op": op, "path": "/" + _escape(operation.key), "value": value},)


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _missing(code: str, message: str) -> StatusError:
    return StatusError(404, "NotFound", message, headers={S3_CODE: code})
