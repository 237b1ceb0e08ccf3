"""Reaching into a pod: its log, a command beside it, its ports.

Source: kubernetes pkg/registry/core/pod/rest, pkg/kubelet/server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from lab.core.clock import parse_rfc3339
from lab.kube.objects import KubeObject
from lab.kube.request import RequestInfo, truthy
from lab.kube.resources import Resource, builtin
from lab.kube.status import (
    StatusError,
    bad_request,
    internal_error,
    invalid,
    method_not_allowed,
    service_unavailable,
)
from lab.kube.takeover import taken
from lab.localkube.api.options import integer
from lab.localkube.api.portforward import Place, forward_ports
from lab.localkube.api.proxying import Proxy
from lab.localkube.api.remotecommand import Wanted, open_session
from lab.localkube.protocols import PodRuntime, Registry, Streams

PODS = builtin("Pod")
_FIRST_LINE_WAIT = 0.2
_LAST_INPUT_SECONDS = 5.0
"""How long a command may go on with its input after the client has gone."""


class PodStreams:
    """Answers log, exec, attach, portforward and proxy. Without a runtime (API only) only the last works."""

    def __init__(self, registry: Registry, runtime: PodRuntime | None) -> None:
        self._registry = registry
        self._proxy = Proxy(registry)
        self.runtime = runtime

    async def answer(self, request: web.Request, info: RequestInfo, resource: Resource) -> web.StreamResponse:
        """Serve a connecting subresource or the log. Raises StatusError."""
        if info.subresource == "proxy":
            return await self._proxy.answer(request, info, resource)
        pod = self._registry.get(resource, info.namespace, info.name)
        if info.subresource == "log":
            if info.verb != "get":
                raise method_not_allowed()
            return await self._log(request, info, pod)
        if request.method not in ("GET", "POST"):
            raise method_not_allowed()
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {info.name} does not have a host assigned")
        try:
            if info.subresource == "portforward":
                return await self._portforward(request, pod)
            if info.subresource == "exec":
                return await self._exec(request, info, pod)
            return await self._attach(request, info, pod)
        except ConnectionError:
            return taken()

    def _running(self) -> PodRuntime:
        if self.runtime is None:
            raise service_unavailable("no kubelet runs: this API server was started without one")
        return self.runtime

    async def _log(self, request: web.Request, info: RequestInfo, pod: KubeObject) -> web.StreamResponse:
        query = request.query
        container = choose_container(pod, query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            return web.Response(text="")  # nothing has been said yet
        options = log_options(query, info.name)
        chunks = self._running().logs(info.namespace, info.name, container, **options)
        return await _stream(request, chunks)

    async def _exec(self, request: web.Request, info: RequestInfo, pod: KubeObject) -> web.StreamResponse:
        command = request.query.getall("command", [])
        if not command:
            raise bad_request("you must specify at least 1 command")
        wanted = _wanted(request.query)
        container = choose_container(pod, request.query.get("container", ""))
        runtime = self._running()

        async def run(streams: Streams) -> KubeObject:
            return _exit_status(await runtime.exec(info.namespace, info.name, container, command, streams))

        return await _serve(request, wanted, run)

    async def _attach(self, request: web.Request, info: RequestInfo, pod: KubeObject) -> web.StreamResponse:
        wanted = _wanted(request.query)
        container = choose_container(pod, request.query.get("container", ""))
        runtime = self._running()

        async def run(streams: Streams) -> KubeObject:
            await runtime.attach(info.namespace, info.name, container, streams)
            return _exit_status(0)

        return await _serve(request, wanted, run)

    async def _portforward(self, request: web.Request, pod: KubeObject) -> web.StreamResponse:
        status, metadata = pod.get("status") or {}, pod["metadata"]
        if status.get("phase") != "Running" or not status.get("podIP"):
            phase = status.get("phase", "Pending")
            raise bad_request(f"unable to forward port because pod is not running. Current status={phase}")

        def present() -> bool:
            try:
                now = self._registry.get(PODS, metadata["namespace"], metadata["name"])
            except StatusError:
                return False
            return bool(now["metadata"]["uid"] == metadata["uid"])

        address = str(status["podIP"])
        return await forward_ports(request, Place(metadata["name"], metadata["uid"], address, present))


def choose_container(pod: KubeObject, wanted: str) -> str:
    """The container to work on: the one asked for, or the only one. Raises StatusError 400."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    containers = [c["name"] for c in spec.get("containers") or ()]
    init = [c["name"] for c in spec.get("initContainers") or ()]
    if wanted:
        ephemeral = [c["name"] for c in spec.get("ephemeralContainers") or ()]
        if wanted not in (*containers, *init, *ephemeral):
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(containers) == 1:
        return str(containers[0])
    choices = f"choose one of: [{' '.join(containers)}]"
    if init:
        choices += f" or one of the init containers: [{' '.join(init)}]"
    raise bad_request(f"a container name must be specified for pod {name}, {choices}")


def log_options(query: MultiMapping[str], pod: str) -> dict[str, Any]:
    """The keyword arguments of PodRuntime.logs. Raises StatusError 400 or 422."""
    return {
        "follow": truthy(query.get("follow")),
        "previous": truthy(query.get("previous")),
        "tail_lines": _at_least(query, "tailLines", 0, pod),
        "since_seconds": _at_least(query, "sinceSeconds", 1, pod),
        "since_time": _since(query, pod),
        "timestamps": truthy(query.get("timestamps")),
        "limit_bytes": _at_least(query, "limitBytes", 1, pod),
    }


def _at_least(query: MultiMapping[str], name: str, least: int, pod: str) -> int | None:
    value = integer(query, name)
    if value is not None and value < least:
        bound = "greater than or equal to 0" if least == 0 else "greater than 0"
        why = f"Invalid value: {value}: must be {bound}"
        raise invalid("PodLogOptions", "", pod, [(name, "FieldValueInvalid", why)])
    return value


def _since(query: MultiMapping[str], pod: str) -> datetime | None:
    text = query.get("sinceTime")
    if not text:
        return None
    if "sinceSeconds" in query:
        why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        raise invalid("PodLogOptions", "", pod, [("[]", "FieldValueForbidden", why)])
    try:
        return parse_rfc3339(text)
    except ValueError:
        why = f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"'
        raise bad_request(why) from None


async def _stream(request: web.Request, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send chunks as they come. An error before the first one is the answer itself."""
    iterator = aiter(chunks)
    first = asyncio.ensure_future(anext(iterator, b""))
    try:
        await asyncio.wait([first], timeout=_FIRST_LINE_WAIT)
        if first.done():
            first.result()  # raises what went wrong, while a status can still be sent
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(await first)
        with contextlib.suppress(StatusError):
            async for chunk in iterator:
                await response.write(chunk)
        await response.write_eof()
    finally:
        first.cancel()
        close = getattr(iterator, "aclose", None)
        if close is not None and (first.done() or first.cancelled()):
            with contextlib.suppress(RuntimeError):
                await close()
    return response


def _wanted(query: MultiMapping[str]) -> Wanted:
    """The streams that a query asks for. Raises StatusError 400 when it asks for none."""
    stdin, stdout, stderr, tty = (truthy(query.get(name)) for name in ("stdin", "stdout", "stderr", "tty"))
    if not (stdin or stdout or stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return Wanted(stdin, stdout, stderr and not tty, tty)


async def _serve(
    request: web.Request, wanted: Wanted, run: Callable[[Streams], Awaitable[KubeObject]]
) -> web.StreamResponse:
    """Run something with a client's streams until it ends or the client goes, and tell its outcome."""
    session = await open_session(request, wanted)
    running = asyncio.ensure_future(run(session.streams))
    try:
        await asyncio.wait({running, session.reading}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await session.finish(_outcome(running))
    finally:
        if wanted.stdin and not wanted.tty:  # some clients send all and hang up; upstream works it through
            await asyncio.wait({running}, timeout=_LAST_INPUT_SECONDS)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        response = await session.close()
    return response


def _outcome(running: asyncio.Future[KubeObject]) -> KubeObject:
    try:
        return running.result()
    except StatusError as error:
        return error.status()
    except OSError as error:
        return internal_error(f"error executing command in container: {error}").status()


def _exit_status(code: int) -> KubeObject:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes: list[dict[str, Any]] = [{"reason": "ExitCode", "message": str(code)}]
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": causes},
    }
