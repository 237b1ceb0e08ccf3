"""One look at a container: an HTTP request, a TCP connection, a gRPC health check, or a command.

Source: pkg/probe and pkg/kubelet/prober of Kubernetes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.status import StatusError
from lab.localkube.kubelet.http_check import PlainAnswer, fetch, request_of
from lab.localkube.kubelet.ports import dial_error, resolve_port
from lab.localkube.kubelet.rewriting import expand

Execute = Callable[[list[str]], Awaitable[tuple[int, str]]]
"""Run a command in the container: its exit code and what it said."""
BODY_LIMIT = 10 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """What a check needs to know of its container."""

    address: str
    container: KubeObject
    execute: Execute


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found. `message` says why it failed, in upstream's words.

    errored: the check itself could not be made. warned: it succeeded, and `message` says what was odd.
    """

    ok: bool
    message: str = ""
    errored: bool = False
    warned: bool = False


async def check(spec: dict[str, Any], target: Target, timeout: float) -> Outcome:
    """Do what a probe says: httpGet, tcpSocket, grpc or exec, at most `timeout` seconds."""
    try:
        if "httpGet" in spec:
            return await _http(spec["httpGet"], target, timeout)
        if "exec" in spec:
            return await _exec(spec["exec"], target, timeout)
        if "tcpSocket" in spec:
            return await _tcp(spec["tcpSocket"], target, timeout)
        return await _grpc(spec["grpc"], target, timeout)
    except StatusError as error:
        return Outcome(False, error.message, errored=True)


async def _tcp(spec: dict[str, Any], target: Target, timeout: float) -> Outcome:
    host = spec.get("host") or target.address
    try:
        port = resolve_port(spec["port"], target.container)
    except ValueError as error:
        return Outcome(False, str(error), errored=True)
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Outcome(False, dial_error(error, host, port))
    writer.close()
    return Outcome(True)


async def _grpc(spec: dict[str, Any], target: Target, timeout: float) -> Outcome:
    from lab.localkube.kubelet.grpc_check import ask_health

    why = await ask_health(target.address, int(spec["port"]), str(spec.get("service") or ""), timeout)
    return Outcome(not why, why)


async def _http(spec: dict[str, Any], target: Target, timeout: float) -> Outcome:
    try:
        request = request_of(spec, target.address, target.container, "probe")
    except ValueError as error:
        return Outcome(False, str(error), errored=True)
    try:
        async with asyncio.timeout(timeout):
            status = await fetch(request)
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(False, f'Get "{request.url}": {why}')
    except (OSError, ValueError, PlainAnswer) as error:
        return Outcome(False, f'Get "{request.url}": {error}')
    if 300 <= status < 400:
        return Outcome(True, "Probe terminated redirects", warned=True)
    if 200 <= status < 300:
        return Outcome(True)
    return Outcome(False, f"HTTP probe failed with statuscode: {status}")


async def _exec(spec: dict[str, Any], target: Target, timeout: float) -> Outcome:
    known = {item["name"]: str(item.get("value") or "") for item in target.container.get("env") or ()}
    command = [expand(word, known) for word in spec.get("command") or ()]
    try:
        async with asyncio.timeout(timeout):
            code, output = await target.execute(command)
    except TimeoutError:
        return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {timeout:g}s')
    return Outcome(code == 0, output[:BODY_LIMIT])
