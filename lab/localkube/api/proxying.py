"""The proxy subresources: HTTP to a pod, to a pod behind a service, or to a port of a node.

    /api/v1/namespaces/NAMESPACE/services/[SCHEME:]NAME[:PORT]/proxy/PATH

Source: k8s.io/kubernetes/pkg/registry/core/{pod,service,node} (ResourceLocation) and
k8s.io/apimachinery/pkg/util/proxy.
"""

from __future__ import annotations

import ipaddress
import itertools
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from lab.kube.objects import KubeObject
from lab.kube.request import RequestInfo
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError, bad_request, not_found, service_unavailable
from lab.localkube.protocols import Registry

_PODS, _SERVICES, _NODES = builtin("Pod"), builtin("Service"), builtin("Node")
_ENDPOINTS = builtin("Endpoints")
_BEHIND = re.compile(r"(/+api/+v1/+(?:namespaces/+[^/]+/+)?[^/]+/+[^/]+/+proxy)(.*)", re.DOTALL)
_CONNECT_SECONDS = 30.0
_CHUNK = 64 * 1024
_HOP_BY_HOP = frozenset(
    (
        *("connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)
_OURS = ("authorization", "impersonate-")
"""Headers that are for the API server and go no further."""


@dataclass(frozen=True, slots=True)
class Name:
    """What the path calls `[scheme:]name[:port]`."""

    scheme: str
    name: str
    port: str


def split_name(text: str, kind: str) -> Name:
    """Take a name with scheme and port apart. Raises StatusError 400."""
    parts = text.split(":")
    scheme, name, port = parts if len(parts) == 3 else ("", *[*parts, ""][:2])
    if len(parts) > 3 or not name or scheme not in ("", "http", "https"):
        raise bad_request(f'invalid {kind} request "{text}"')
    return Name(scheme or "http", name, port)


class Proxy:
    """Carries requests to where a proxy subresource leads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._turn = itertools.count()

    async def answer(self, request: web.Request, info: RequestInfo, resource: Resource) -> web.StreamResponse:
        """Pass one request on, and its answer back. Raises StatusError 400, 404 and 503."""
        target = self._locate(info, resource)
        found = _BEHIND.fullmatch(request.rel_url.raw_path)
        prefix, rest = (found[1], found[2]) if found else (request.rel_url.raw_path, "/")
        query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        if not rest and request.method in ("GET", "HEAD"):
            return web.Response(status=301, headers={"Location": f"{request.rel_url.raw_path}/{query}"})
        url = URL(f"{target}{rest or '/'}{query}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session,
                session.request(
                    request.method,
                    url,
                    headers=_passed_on(request, prefix, rest),
                    data=request.content if request.body_exists else None,
                    allow_redirects=False,
                    ssl=False,
                    skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                ) as answer,
            ):
                return await _give_back(request, answer, prefix)
        except aiohttp.ClientConnectorError as error:
            why = f"dial tcp {url.host}:{url.port}: connect: {(error.strerror or str(error)).lower()}"
            raise service_unavailable(f"error trying to reach service: {why}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise service_unavailable(f"error trying to reach service: {error or 'EOF'}") from error

    def _locate(self, info: RequestInfo, resource: Resource) -> str:
        if resource.key == _PODS.key:
            return self._of_pod(info)
        if resource.key == _SERVICES.key:
            return self._of_service(info)
        return self._of_node(info)

    def _of_pod(self, info: RequestInfo) -> str:
        wanted = split_name(info.name, "pod")
        pod = self._registry.get(_PODS, info.namespace, wanted.name)
        containers = pod["spec"].get("containers") or ()
        ports = (port["containerPort"] for each in containers for port in each.get("ports") or ())
        address = _allowed((pod.get("status") or {}).get("podIP", ""))
        port = wanted.port or next(ports, 443 if wanted.scheme == "https" else 80)
        return f"{wanted.scheme}://{address}:{_number(port)}"

    def _of_service(self, info: RequestInfo) -> str:
        wanted = split_name(info.name, "service")
        port = wanted.port
        if port.isdigit():
            service = self._registry.get(_SERVICES, info.namespace, wanted.name)
            ports = service["spec"].get("ports") or ()
            named = next((each.get("name", "") for each in ports if each["port"] == int(port)), None)
            if named is None:
                raise service_unavailable(f'no service port {port} found for service "{wanted.name}"')
            port = named
        try:
            endpoints = self._registry.get(_ENDPOINTS, info.namespace, wanted.name)
        except StatusError as error:
            raise not_found("services", "", wanted.name) from error
        if not endpoints.get("subsets"):
            raise service_unavailable(f'no endpoints available for service "{wanted.name}"')
        backends = list(self._backends(info.namespace, endpoints, port))
        if not backends:
            raise service_unavailable(f'no endpoints available for service "{info.name}"')
        return f"{wanted.scheme}://{backends[next(self._turn) % len(backends)]}"

    def _backends(self, namespace: str, endpoints: KubeObject, port_name: str) -> Iterator[str]:
        """The addresses of a port that belong to pods; to no others does upstream proxy."""
        for subset in endpoints["subsets"]:
            numbers = [p["port"] for p in subset.get("ports") or () if p.get("name", "") == port_name]
            for address in subset.get("addresses") or () if numbers else ():
                reference = address.get("targetRef") or {}
                if reference.get("kind") == "Pod" and self._is_of(namespace, reference, address["ip"]):
                    yield f"{_allowed(address['ip'])}:{numbers[0]}"

    def _is_of(self, namespace: str, reference: KubeObject, address: str) -> bool:
        try:
            pod = self._registry.get(_PODS, namespace, reference.get("name", ""))
        except StatusError:
            return False
        return bool((pod.get("status") or {}).get("podIP") == address)

    def _of_node(self, info: RequestInfo) -> str:
        wanted = split_name(info.name, "node")
        node = self._registry.get(_NODES, "", wanted.name)
        if not wanted.port:
            raise service_unavailable("error trying to reach service: the kubelet has no API of its own here")
        addresses = (node.get("status") or {}).get("addresses") or ()
        address = next((each["address"] for each in addresses if each.get("type") == "InternalIP"), "")
        return f"{wanted.scheme}://{_allowed(address)}:{_number(wanted.port)}"


def _allowed(address: str) -> str:
    """Pods and nodes are on loopback, and nothing else is reached from here."""
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise bad_request("address not allowed")


def _number(port: str | int) -> int:
    if str(port).isdecimal() and 0 < int(port) < 1 << 16:
        return int(port)
    raise service_unavailable(f"error trying to reach service: dial tcp: unknown port {port}")


def _passed_on(request: web.Request, prefix: str, rest: str) -> CIMultiDict[str]:
    """The headers for the backend: the client's own, the host that it asked for, and where it came from."""
    named = ",".join(request.headers.getall("Connection", []))
    dropped = _HOP_BY_HOP | {name.strip().lower() for name in named.split(",")}
    headers = CIMultiDict(
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in dropped and not name.lower().startswith(_OURS)
    )
    headers["X-Forwarded-Uri"] = f"{prefix}{rest}"
    before = request.headers.get("X-Forwarded-For")
    headers["X-Forwarded-For"] = ", ".join(each for each in (before, request.remote) if each)
    return headers


async def _give_back(request: web.Request, answer: aiohttp.ClientResponse, prefix: str) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in _HOP_BY_HOP:
            response.headers.add(name, value)
    if "Location" in answer.headers:
        backend = f"{answer.url.host}:{answer.url.port}"
        response.headers["Location"] = rewritten(answer.headers["Location"], prefix, backend, request.host)
    await response.prepare(request)
    async for chunk in answer.content.iter_chunked(_CHUNK):
        await response.write(chunk)
    await response.write_eof()
    return response


def rewritten(location: str, prefix: str, backend: str, asked: str) -> str:
    """A Location that leads through the proxy again, unless it is relative or on another host.

    prefix: the path up to `proxy`. backend, asked: `host:port` of who redirects and of who was asked.
    """
    parts = urlsplit(location)
    if (parts.netloc and parts.netloc not in (backend, asked)) or not parts.path.startswith("/"):
        return location
    if parts.netloc != asked:
        parts = parts._replace(scheme="", netloc="")
    if not parts.path.startswith(prefix):
        joined = posixpath.normpath(f"{prefix}{parts.path}")
        slash = "/" if parts.path.endswith("/") and not joined.endswith("/") else ""
        parts = parts._replace(path=joined + slash)
    return urlunsplit(parts)
