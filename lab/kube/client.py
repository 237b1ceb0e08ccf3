"""A light asynchronous Kubernetes client for the lab's own pods: aiohttp, plain objects, no code generation.

    async with KubeClient.from_environment() as kube:
        pods = await kube.list("pods", "shop", label_selector="app=worker")
        async for event in kube.watch("pods", "shop"):
            ...

A resource is given as a `Resource`, or by its plural or kind (`"pods"`, `"Deployment"`). Every failure that
the API server answers is a `StatusError`; one that never reached it, or whose answer was lost, is
`ConnectionError` or `TimeoutError`.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson

from lab.core.namespaces import PREFIX_VARIABLE, Namespaces
from lab.kube.connector import Connector
from lab.kube.exec_plugin import Credentials
from lab.kube.kubeconfig import (
    Connection,
    connection_from_environment,
    kubeconfig_dict,
    load_kubeconfig,
    write_kubeconfig,
)
from lab.kube.objects import KubeObject
from lab.kube.renaming import AS_IT_IS, Renaming
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError

__all__ = [
    "APPLY",
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_PATCH",
    "KubeClient",
    "kubeconfig_dict",
    "load_kubeconfig",
    "write_kubeconfig",
]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

Query = Mapping[str, str | int | bool | None]
_JSON = {"Accept": "application/json"}
_LINE_LIMIT = 8 * 1024 * 1024


class KubeClient:
    """One API server, one connection pool. Close it, or use it as an async context manager."""

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float = 30.0,
        user_agent: str = "toil-lab",
        renaming: Renaming = AS_IT_IS,
    ) -> None:
        """`timeout` bounds every request but watches, in seconds. `renaming`: for a lab whose namespaces have
        other names in the cluster; callers say, and are told, the plain ones."""
        self.renaming = renaming
        self.connection = connection
        self.namespace = connection.namespace
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._credentials = Credentials()
        self._tls: ssl.SSLContext | bool = True

    @classmethod
    def from_environment(cls, *, timeout: float = 30.0, user_agent: str = "toil-lab") -> KubeClient:
        """By KUBECONFIG, else the in-cluster files; with the lab's prefix, if there is one.

        Raises NotReadyError when there is neither.
        """
        renaming = Renaming(Namespaces(os.environ.get(PREFIX_VARIABLE, "")))
        connection = connection_from_environment()
        return cls(connection, timeout=timeout, user_agent=user_agent, renaming=renaming)

    async def __aenter__(self) -> KubeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, also those of watches that were left without being closed."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, resource: Resource | str, name: str, namespace: str | None = None) -> KubeObject:
        """One object."""
        return await self._object("GET", self._path(resource, namespace, name))

    async def list(
        self,
        resource: Resource | str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> KubeObject:
        """The whole list object, with `items`; its `metadata.resourceVersion` starts a watch.

        `namespace` None means the client's own; "" means all.
        """
        query = {"labelSelector": label_selector or None, "fieldSelector": field_selector or None}
        return await self._object("GET", self._path(resource, namespace), query=query)

    async def create(
        self,
        resource: Resource | str,
        obj: KubeObject,
        namespace: str | None = None,
        *,
        name: str = "",
        subresource: str = "",
        query: Query | None = None,
    ) -> KubeObject:
        """Store a new object, or post to a subresource (`token`, `eviction`, `binding`) of `name`."""
        path = self._path(resource, namespace or obj.get("metadata", {}).get("namespace"), name, subresource)
        return await self._object("POST", path, body=obj, query=query)

    async def update(
        self,
        resource: Resource | str,
        obj: KubeObject,
        namespace: str | None = None,
        *,
        subresource: str = "",
        query: Query | None = None,
    ) -> KubeObject:
        """Replace an object; a stale metadata.resourceVersion is a 409."""
        metadata = obj.get("metadata", {})
        path = self._path(resource, namespace or metadata.get("namespace"), metadata["name"], subresource)
        return await self._object("PUT", path, body=obj, query=query)

    async def patch(
        self,
        resource: Resource | str,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        content_type: str = "",
        subresource: str = "",
        query: Query | None = None,
    ) -> KubeObject:
        """Change an object. A list is a JSON patch, anything else a merge patch unless said otherwise."""
        content_type = content_type or (JSON_PATCH if isinstance(patch, list) else MERGE_PATCH)
        path = self._path(resource, namespace, name, subresource)
        return await self._object("PATCH", path, body=patch, content_type=content_type, query=query)

    async def apply(
        self,
        resource: Resource | str,
        obj: KubeObject,
        namespace: str | None = None,
        *,
        field_manager: str = "toil-lab",
        force: bool = True,
    ) -> KubeObject:
        """Server-side apply: create the object or make these fields ours."""
        metadata = obj["metadata"]
        path = self._path(resource, namespace or metadata.get("namespace"), metadata["name"])
        query: Query = {"fieldManager": field_manager, "force": force}
        return await self._object("PATCH", path, body=obj, content_type=APPLY, query=query)

    async def delete(
        self,
        resource: Resource | str,
        name: str,
        namespace: str | None = None,
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str = "Background",
        uid: str = "",
        query: Query | None = None,
    ) -> KubeObject:
        """Delete one object; with `uid` only if it is still that one."""
        options: KubeObject = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation_policy,
        }
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if uid:
            options["preconditions"] = {"uid": uid}
        return await self._object("DELETE", self._path(resource, namespace, name), body=options, query=query)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Query | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One raw request; the decoded JSON answer, or text when it is not JSON.

        Raises StatusError for every answer from 400 up, ConnectionError and TimeoutError when there is none.
        """
        renaming = self.renaming
        data = body if isinstance(body, bytes) or body is None else orjson.dumps(renaming.body(body))
        path = renaming.path(path)
        sent = {"Content-Type": content_type} if data is not None else {}
        query = _query(renaming.query(query))
        try:
            return await self._once(method, path, data, query, sent | dict(headers or {}))
        except StatusError as error:
            if error.code != 401 or not await self.renew():
                raise
            return await self._once(method, path, data, query, sent | dict(headers or {}))

    async def _once(
        self, method: str, path: str, data: bytes | None, query: dict[str, str], sent: dict[str, str]
    ) -> Any:
        own = _JSON | await self.headers()
        try:
            async with self._pool().request(
                method,
                self.connection.server + path,
                data=data,
                params=query,
                headers=own | sent,
                ssl=self._tls,
            ) as answer:
                content = await answer.read()
                if answer.status >= 400:
                    raise _status_error(answer.status, content, answer.headers)
                if "json" in answer.headers.get("Content-Type", ""):
                    return orjson.loads(self.renaming.answer(content))
                return content.decode(errors="replace")
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{method} {path}: {error}") from error

    async def headers(self) -> dict[str, str]:
        """What goes with every request, with credentials that are current.

        Raises NotReadyError when the kubeconfig's program gives none.
        """
        if self.connection.plugin is None:
            bearer = self.connection.bearer()
        else:
            found = await asyncio.to_thread(self.connection.credentials)
            if found.certificate != self._credentials.certificate:
                self._tls = self.connection.ssl_context() or True
            self._credentials, bearer = found, found.token
        headers = {"User-Agent": self._user_agent}
        return headers | ({"Authorization": f"Bearer {bearer}"} if bearer else {})

    @property
    def tls(self) -> ssl.SSLContext | bool:
        """How connections are made now: it shows the certificate of the last `headers`."""
        return self._tls

    async def renew(self) -> bool:
        """Whether there are other credentials than those that were used last and not accepted."""
        if self.connection.plugin is None:
            return False
        return await asyncio.to_thread(self.connection.renew, self._credentials)

    async def watch(
        self,
        resource: Resource | str,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
    ) -> AsyncIterator[dict[str, Any]]:
        """Events `{type, object}` until the server ends the stream. Without `resource_version` every
        present object comes first as ADDED. An ERROR event is raised as StatusError (410: list again)."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version or None,
            "labelSelector": label_selector or None,
            "fieldSelector": self.renaming.selector(field_selector) or None,
            "timeoutSeconds": timeout_seconds or None,
        }
        url = self.connection.server + self.renaming.path(self._path(resource, namespace))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        headers = _JSON | await self.headers()
        try:
            async with self._pool().get(
                url, params=_query(query), headers=headers, timeout=timeout, ssl=self._tls
            ) as answer:
                if answer.status == 401:
                    await self.renew()  # for the watch that comes after this one
                if answer.status >= 400:
                    raise _status_error(answer.status, await answer.read(), answer.headers)
                async for line in _lines(answer.content):
                    yield _event(self.renaming.answer(line))
        except aiohttp.ClientError as error:
            raise ConnectionError(f"watch {url}: {error}") from error

    async def logs(self, pod: str, namespace: str | None = None, **query: str | int | bool) -> str:
        """A pod's log as text; `query` as in the API: container, tailLines, previous, sinceSeconds."""
        return str(await self.request("GET", self._path("pods", namespace, pod, "log"), query=query))

    async def _object(self, method: str, path: str, **more: Any) -> KubeObject:
        answer: KubeObject = await self.request(method, path, **more)
        return answer

    def _path(
        self, resource: Resource | str, namespace: str | None, name: str = "", subresource: str = ""
    ) -> str:
        known = builtin(resource) if isinstance(resource, str) else resource
        return known.path(self.namespace if namespace is None else namespace, name, subresource)

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = Connector(self.connection)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                proxy=connector.proxy_url,
                trust_env=False,
                auto_decompress=True,
            )
        return self._session


def _query(query: Query | None) -> dict[str, str]:
    return {
        key: ("true" if value else "false") if isinstance(value, bool) else str(value)
        for key, value in (query or {}).items()
        if value is not None
    }


def _status_error(code: int, content: bytes, headers: Mapping[str, str]) -> StatusError:
    kept = {name: value for name, value in headers.items() if name.lower() in ("retry-after", "warning")}
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict) or body.get("kind") != "Status":
        text = content[:300].decode(errors="replace").strip() or f"HTTP {code}"
        return StatusError(code, "Unknown", text, headers=kept)
    return StatusError(
        int(body.get("code") or code),
        str(body.get("reason") or "Unknown"),
        str(body.get("message") or f"HTTP {code}"),
        details=body.get("details"),
        headers=kept,
    )


def _event(line: bytes) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(line)
    if event["type"] == "ERROR":
        status = event["object"]
        raise _status_error(int(status.get("code") or 500), orjson.dumps(status), {})
    return event


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to the limit; aiohttp's own iterator stops at 64 KiB."""
    pending = bytearray()
    async for chunk in stream.iter_any():
        pending += chunk
        while (end := pending.find(b"\n")) >= 0:
            line = bytes(pending[:end])
            del pending[: end + 1]
            if line.strip():
                yield line
        if len(pending) > _LINE_LIMIT:
            raise ConnectionError("a watch event is larger than 8 MiB")
