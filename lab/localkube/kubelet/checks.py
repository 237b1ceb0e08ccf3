"""One look at a container: an HTTP request, a TCP connection, or a command. For probes and lifecycle hooks.

Source: pkg/probe of Kubernetes. A gRPC probe is answered by a TCP connection here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.status import StatusError

Execute = Callable[[list[str]], Awaitable[tuple[int, str]]]
"""Run a command in the container: its exit code and what it said."""
BODY_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Target:
    """What a check needs to know of its container."""

    address: str
    container: KubeObject
    execute: Execute


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found. `message` says why it failed, in upstream's words."""

    ok: bool
    message: str = ""


async def check(spec: dict[str, Any], target: Target, timeout: float) -> Outcome:
    """Do what a probe or a hook says: httpGet, tcpSocket, grpc, exec or sleep, at most `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            if "httpGet" in spec:
                return await _http(spec["httpGet"], target)
            if "exec" in spec:
                return await _exec(spec["exec"], target)
            if "tcpSocket" in spec or "grpc" in spec:
                return await _tcp(spec.get("tcpSocket") or spec["grpc"], target)
            if "sleep" in spec:
                await asyncio.sleep(float(spec["sleep"].get("seconds") or 0))
    except TimeoutError:
        if "exec" in spec:
            return Outcome(False, f"command timed out after {timeout:g}s")
        return Outcome(False, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    return Outcome(True)


def resolve_port(port: Any, container: KubeObject) -> int:
    """A number, or the container's port of that name. Raises ValueError."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise ValueError(f"couldn't find port: {port!r}")


async def _tcp(spec: dict[str, Any], target: Target) -> Outcome:
    try:
        port = resolve_port(spec["port"], target.container)
        _, writer = await asyncio.open_connection(spec.get("host") or target.address, port)
    except (OSError, ValueError) as error:
        return Outcome(False, _dial_error("tcp", error))
    writer.close()
    return Outcome(True)


async def _http(spec: dict[str, Any], target: Target) -> Outcome:
    host = spec.get("host") or target.address
    scheme = str(spec.get("scheme") or "HTTP").lower()
    path = spec.get("path") or "/"
    path = path if path.startswith("/") else "/" + path
    try:
        port = resolve_port(spec["port"], target.container)
        context = _unverified() if scheme == "https" else None
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, ValueError) as error:
        return Outcome(False, f'Get "{scheme}://{host}:{spec["port"]}{path}": {_dial_error("tcp", error)}')
    headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/1.32", "Accept": "*/*"}
    headers |= {item["name"]: str(item.get("value") or "") for item in spec.get("httpHeaders") or ()}
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    try:
        writer.write(f"GET {path} HTTP/1.1\r\n{text}Connection: close\r\n\r\n".encode())
        await writer.drain()
        status = (await reader.readline()).split(maxsplit=2)
        code = int(status[1]) if len(status) > 1 and status[1].isdigit() else 0
        if 200 <= code < 400:
            return Outcome(True)
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        return Outcome(False, f'Get "{scheme}://{host}:{port}{path}": {_dial_error("read", error)}')
    finally:
        writer.close()
    if code == 0:
        return Outcome(False, f'Get "{scheme}://{host}:{port}{path}": EOF')
    return Outcome(False, f"HTTP probe failed with statuscode: {code}")


async def _exec(spec: dict[str, Any], target: Target) -> Outcome:
    try:
        code, output = await target.execute(list(spec.get("command") or ()))
    except StatusError as error:
        return Outcome(False, error.message)
    return Outcome(code == 0, output[:BODY_LIMIT])


def _dial_error(what: str, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "dial tcp: connect: connection refused"
    return f"{what}: {error}"


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
