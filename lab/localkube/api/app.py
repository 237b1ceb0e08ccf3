"""The handler chain of the API server: authenticate, impersonate, authorize, answer.

request ─► authenticate ─► impersonate ─► authorize ─┬─► resources (rest)
              401             403            403      └─► discovery, OpenAPI, health, version
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from lab.core.clock import Clock
from lab.kube.request import RequestInfo, parse_request
from lab.kube.resources import BUILTIN
from lab.kube.status import (
    StatusError,
    internal_error,
    method_not_allowed,
    path_not_found,
)
from lab.localkube.api.discovery import Discovery
from lab.localkube.api.escalation import Escalation
from lab.localkube.api.identity import Authenticator, Tokens, User
from lab.localkube.api.impersonation import impersonate
from lab.localkube.api.limits import BODY_LIMIT, read_body
from lab.localkube.api.media import JSON, Accepted, negotiate
from lab.localkube.api.metrics import METRICS_WINDOW, ResourceMetrics
from lab.localkube.api.openapi import OpenApi
from lab.localkube.api.podstreams import PodStreams
from lab.localkube.api.rbac import Attributes, Authorizer
from lab.localkube.api.rest import Rest, respond
from lab.localkube.api.reviews import Reviews
from lab.localkube.protocols import PodRuntime, Registry

log = logging.getLogger(__name__)

GIT_VERSION = "v1.32.0+localkube"
_BUILTIN_GROUPS = frozenset(resource.group for resource in BUILTIN)
_HEALTH = ("/healthz", "/livez", "/readyz")


class Api:
    """A Kubernetes API over a registry. `ready` says whether /readyz is ok; `runtime` may come later.

    metrics_window: seconds over which metrics.k8s.io averages the use of processors.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        clock: Clock,
        tokens: Tokens,
        admin_token: str,
        server: str,
        runtime: PodRuntime | None = None,
        ready: Callable[[], bool] = lambda: True,
        metrics_window: float = METRICS_WINDOW,
    ) -> None:
        self._authenticator = Authenticator(registry, tokens, admin_token)
        self._authorizer = Authorizer(registry)
        self._discovery = Discovery(registry, server)
        self._openapi = OpenApi(registry, GIT_VERSION)
        self._ready = ready
        self.streams = PodStreams(registry, runtime)
        reviews = Reviews(registry, self._authenticator, self._authorizer, tokens, clock)
        self.metrics = ResourceMetrics(registry, clock, metrics_window, lambda: self.streams.runtime)
        escalation = Escalation(registry, self._authorizer)
        self._rest = Rest(registry, reviews, self.streams, escalation, clock, self.metrics, self._authorizer)

    def application(self) -> web.Application:
        """The aiohttp application: one handler for every method and path."""
        application = web.Application(client_max_size=BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self.handle)
        return application

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; a failure becomes a Status. The edge that keeps the server alive."""
        try:
            return await self._answer(request)
        except StatusError as error:
            absent = error.code == 404 and error.details == {} and not _is_own_path(request.path)
            return _page_not_found() if absent else _failure(error)
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            return _failure(internal_error(f"Internal error occurred: {type(error).__name__}: {error}"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        user = self._authenticator.authenticate(request.headers.get("Authorization", ""), request.path)
        user = impersonate(user, request.headers, self._authorizer)
        info = parse_request(request.method, request.path, request.query)
        self._authorizer.check(user, _attributes(request, info))
        if info.is_resource:
            if request.body_exists and not info.is_connect:
                await read_body(request)
            return await self._rest.answer(request, info, user)
        return self._document(request, info, user)

    def _document(self, request: web.Request, info: RequestInfo, user: User) -> web.StreamResponse:
        path = "/" + request.path.strip("/")
        if path.startswith(_HEALTH):
            return self._health(path, verbose="verbose" in request.query)
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if path == "/version":
            return web.Response(
                body=orjson.dumps(version(), option=orjson.OPT_INDENT_2), content_type="application/json"
            )
        if path.startswith("/openapi/"):
            return self._openapi_answer(request, path)
        if path == "/":
            return respond({"paths": self._root_paths()})
        parts = path.split("/")[1:]
        if parts[0] not in ("api", "apis"):
            raise path_not_found()
        return self._discover(request, parts)

    def _discover(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        core = parts[0] == "api"
        if len(parts) == 1:
            accepted = negotiate(request.headers.get("Accept", ""))
            if accepted.kind == "APIGroupDiscoveryList":
                return self._aggregated(request, core, accepted)
            return respond(self._discovery.core_versions() if core else self._discovery.group_list())
        if core:
            return respond(self._discovery.resource_list("", parts[1]))
        if len(parts) == 2:
            return respond(self._discovery.group(parts[1]))
        return respond(self._discovery.resource_list(parts[1], parts[2]))

    def _aggregated(self, request: web.Request, core: bool, accepted: Accepted) -> web.Response:
        document, tag = self._discovery.aggregated(core, accepted.version)
        headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "public"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        response = respond(document, accepted=accepted)
        response.headers.update(headers)
        return response

    def _openapi_answer(self, request: web.Request, path: str) -> web.Response:
        accept = request.headers.get("Accept", "")
        if accept and not any(t in accept for t in (JSON, "*/*", "application/*")):
            message = f"only the following media types are accepted: {JSON}"
            raise StatusError(406, "NotAcceptable", message, details={})
        if path == "/openapi/v3":
            return respond(self._openapi.index())
        if path == "/openapi/v2":
            return web.Response(body=self._openapi.v2(), content_type=JSON)
        if path.startswith("/openapi/v3/"):
            body = self._openapi.v3(path.removeprefix("/openapi/v3/"))
            headers = {"Cache-Control": "public, immutable"} if "hash" in request.query else {}
            return web.Response(body=body, content_type=JSON, headers=headers)
        raise path_not_found()

    def _health(self, path: str, *, verbose: bool) -> web.Response:
        kind, _, single = path[1:].partition("/")
        checks = {"ping": True, "etcd": True} | ({"ready": self._ready()} if kind == "readyz" else {})
        if single:
            if single not in checks:
                return _page_not_found()
            checks = {single: checks[single]}
        lines = [
            f"[+]{name} ok" if ok else f"[-]{name} failed: still starting" for name, ok in checks.items()
        ]
        if not all(checks.values()):
            return web.Response(status=500, text="\n".join([*lines, f"{kind} check failed", ""]))
        if verbose and not single:
            return web.Response(text="\n".join([*lines, f"{kind} check passed", ""]))
        return web.Response(text="ok")

    def _root_paths(self) -> list[str]:
        paths = ["/api", "/api/v1", "/apis"]
        for group, versions in self._discovery.groups().items():
            paths += [f"/apis/{group}", *(f"/apis/{group}/{served}" for served in versions)]
        return [*paths, *_HEALTH, "/openapi/v2", "/openapi/v3", "/version"]


def version() -> dict[str, Any]:
    """/version: the release whose wire we speak."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": "1",
        "minor": "32",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2024-12-11T00:00:00Z",
        "goVersion": "none",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{machine}",
    }


def _attributes(request: web.Request, info: RequestInfo) -> Attributes:
    if not info.is_resource:
        return Attributes(verb=info.verb, path=info.path)
    name = info.name
    if not name and info.verb in ("list", "watch", "deletecollection"):
        name = _single_name(request.query.get("fieldSelector", ""))
    return Attributes(info.verb, info.group, info.resource, info.subresource, info.namespace, name)


def _single_name(field_selector: str) -> str:
    """The name that a field selector pins, so that resourceNames rules apply to lists of one."""
    for term in field_selector.split(","):
        key, equals, value = term.replace("==", "=").partition("=")
        if key == "metadata.name" and equals:
            return value
    return ""


def _is_own_path(path: str) -> bool:
    """Is it below /api or a built-in group? What is not found is a Status there, and elsewhere plain text."""
    top, _, rest = path.strip("/").partition("/")
    return top == "api" or (top == "apis" and rest.split("/")[0] in _BUILTIN_GROUPS)


def _page_not_found() -> web.Response:
    headers = {"X-Content-Type-Options": "nosniff"}
    return web.Response(status=404, text="404 page not found\n", headers=headers)


def _failure(error: StatusError) -> web.Response:
    response = respond(error.status(), error.code)
    response.headers.update(error.headers)
    return response
