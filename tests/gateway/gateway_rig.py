"""A gateway in front of a small real API server that does everything that is not a dry run."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from aiohttp import web

from lab.core.clock import SystemClock
from lab.gateway.app import Gateway, build
from lab.gateway.server import start_front
from lab.gateway.settings import GatewaySettings
from lab.kube.kubeconfig import Connection

TOKEN = "secret-of-the-automation"
CONNECTS = ("exec", "attach", "portforward", "proxy")
REVIEWS = ("reviews",)
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "worker-1", "namespace": "shop", "uid": "u1", "labels": {"app": "worker"}},
    "spec": {"containers": [{"name": "worker", "image": "toil-lab"}]},
}


@dataclass
class RecordingApi:
    """Reads options as a real API server does, only more eagerly: when in doubt, it acts."""

    control: dict[str, str] | None = field(default_factory=lambda: {"mode": "shadow", "killSwitch": "off"})
    objects: dict[str, Any] = field(default_factory=dict)
    seen: list[web.BaseRequest] = field(default_factory=list)
    mutations: list[tuple[str, str]] = field(default_factory=list)
    applied: list[tuple[str, str, str]] = field(default_factory=list)
    control_reads: int = 0
    delay: float = 0.0
    watchers: set[asyncio.Queue[dict[str, str]]] = field(default_factory=set)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    stream_ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        path = unquote(unquote(request.path))
        if path.endswith("/configmaps/automation-control") and "Impersonate-User" not in request.headers:
            self.control_reads += 1
            if request.method == "PATCH":
                self.set_control(**json.loads(body)["data"])
            if self.control is None:
                return _status(500, "InternalError")
            return web.json_response({"kind": "ConfigMap", "data": self.control})
        if request.query.get("fieldSelector") == "metadata.name=automation-control":
            return await self._watch_control(request)
        self.seen.append(request)
        if self.delay:
            await asyncio.sleep(self.delay)
        method = request.headers.get("X-HTTP-Method-Override", request.method).upper()
        if _changes(method, path):
            self.mutations.append((method, path))
            if not _dry_run(method, path, request, body):
                self.applied.append((method, request.raw_path, body.decode(errors="replace")))
        return await self._answer(request, method, path, body)

    def set_control(self, **data: str) -> None:
        """Change the control ConfigMap, and tell whoever watches it."""
        self.control = (self.control or {}) | data
        for watcher in self.watchers:
            watcher.put_nowait(dict(self.control))

    async def _watch_control(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        changes: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.watchers.add(changes)
        try:
            while True:
                data = await changes.get()
                event = {"type": "MODIFIED", "object": {"kind": "ConfigMap", "data": data}}
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self.watchers.discard(changes)

    async def _answer(
        self, request: web.BaseRequest, method: str, path: str, body: bytes
    ) -> web.StreamResponse:
        if method == "GET" and (request.query.get("watch") == "true" or path.endswith("/log")):
            return await self._stream(request)
        found = self.objects.get(path)
        if callable(found):
            return await found(request)
        if method == "GET":
            return web.json_response(found) if found is not None else _status(404, "NotFound")
        if _evicts(method, path):
            return web.json_response({"kind": "Status", "status": "Success"}, status=201)
        if method == "DELETE":
            return web.json_response(found or {"kind": "Status", "status": "Success"})
        with contextlib.suppress(ValueError):
            return web.json_response(_merge(found, json.loads(body)), status=201 if method == "POST" else 200)
        return web.json_response(found or {"kind": "Status", "status": "Success"})

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"type":"ADDED"}\n')
        try:
            await self.may_end.wait()
        finally:
            self.stream_ended.set()
        await response.write(b'{"type":"DELETED"}\n')
        return response


def _merge(old: Any, patch: Any) -> Any:
    if isinstance(old, dict) and isinstance(patch, dict):
        return old | {key: _merge(old.get(key), value) for key, value in patch.items()}
    return patch


def _status(code: int, reason: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "reason": reason}, status=code)


def _rest(path: str) -> list[str]:
    """The path from the resource on: resource, name, subresource ..."""
    parts = [part for part in path.lower().split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:]
    if rest[:1] == ["watch"]:
        rest = rest[1:]
    return rest[2:] if rest[:1] == ["namespaces"] and len(rest) > 2 else rest


def _connects(path: str) -> bool:
    """Is there a connecting subresource, at or below the place of a subresource?"""
    return any(part in CONNECTS for part in _rest(path)[2:]) or _rest(path)[:1] == ["proxy"]


def _evicts(method: str, path: str) -> bool:
    return method == "POST" and _rest(path)[2:3] == ["eviction"]


def _changes(method: str, path: str) -> bool:
    if _connects(path):
        return True
    last = path.strip("/").rpartition("/")[2]
    return method not in ("GET", "HEAD", "OPTIONS") and not (method == "POST" and last.endswith(REVIEWS))


def _dry_run(method: str, path: str, request: web.BaseRequest, body: bytes) -> bool:
    if _connects(path):
        return False
    query = request.query.getall("dryRun", [])
    if method != "DELETE" and not _evicts(method, path):
        return query == ["All"]
    options: Any = None
    if body:
        try:
            options = yaml.safe_load(body) if "yaml" in request.content_type else json.loads(body)
        except (ValueError, yaml.YAMLError):
            return False
        if _evicts(method, path) and isinstance(options, dict):
            options = options.get("deleteOptions")
    elif method == "DELETE":
        return query == ["All"]
    return query == ["All"] and isinstance(options, dict) and options.get("dryRun") == ["All"]


@dataclass
class Rig:
    """A running gateway and what is behind it."""

    api: RecordingApi
    gateway: Gateway
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def records(self) -> list[dict[str, Any]]:
        return self.gateway.book.read(0, 100_000)

    async def raw(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> int:
        """Send a request as bytes, exactly as given; the status code, 0 when there is none."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = [f"{method} {target} HTTP/1.1", "Host: gateway", "Connection: close"]
        head += [f"{name}: {value}" for name, value in headers]
        if body:
            head.append(f"Content-Length: {len(body)}")
        try:
            writer.write("\r\n".join(head).encode(errors="surrogateescape") + b"\r\n\r\n" + body)
            answer = await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return 0
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        parts = answer.split(b" ", 2)
        return int(parts[1]) if len(parts) > 1 else 0


@contextlib.asynccontextmanager
async def running_rig(folder: Path, port: int = 0, **more: Any) -> AsyncIterator[Rig]:
    """Start a recording API server and a gateway before it. `more` are further settings."""
    api = RecordingApi()
    behind = web.ServerRunner(web.Server(api.handle, handler_cancellation=True), shutdown_timeout=0.2)
    await behind.setup()
    await web.TCPSite(behind, "127.0.0.1", 0).start()
    clients = folder / "clients"
    clients.mkdir(exist_ok=True)
    (clients / "automation").write_text(TOKEN)
    settings = GatewaySettings(
        clients=clients, audit_file=folder / "audit.jsonl", admin_token="admin", **more
    )
    server = Connection(f"http://127.0.0.1:{behind.addresses[0][1]}", token="of-the-gateway")
    gateway = build(settings, server, SystemClock())
    front = await start_front(gateway.front, "127.0.0.1", port, None)
    try:
        yield Rig(api, gateway, front.addresses[0][1], folder)
    finally:
        await front.cleanup()
        await gateway.close()
        await behind.cleanup()
