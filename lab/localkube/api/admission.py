"""What admission policies are asked about requests that store nothing: streams and tokens."""

from __future__ import annotations

from multidict import MultiMapping

from lab.kube.objects import KubeObject
from lab.kube.request import RequestInfo, truthy
from lab.kube.resources import Resource
from lab.localkube.api.discovery import subresource_kind
from lab.localkube.api.identity import User
from lab.localkube.protocols import AdmissionRequest, WriteOptions

_STREAMS = ("stdin", "stdout", "stderr", "tty")


def connect_request(
    resource: Resource, info: RequestInfo, query: MultiMapping[str], user: User
) -> AdmissionRequest:
    """A stream into a pod, service or node. Its options are the object."""
    kind = subresource_kind(resource, info.subresource)
    options = {"kind": kind[2], "apiVersion": kind[1]} | _connect_options(info, query)
    write, namespace = WriteOptions(user=user.info()), info.namespace if resource.namespaced else ""
    return AdmissionRequest(
        "CONNECT", resource, namespace, info.name, info.subresource, kind, options, write=write
    )


def token_request(
    resource: Resource, namespace: str, name: str, obj: KubeObject, options: WriteOptions
) -> AdmissionRequest:
    """A new token for a ServiceAccount."""
    kind = subresource_kind(resource, "token")
    return AdmissionRequest("CREATE", resource, namespace, name, "token", kind, obj, write=options)


def _connect_options(info: RequestInfo, query: MultiMapping[str]) -> KubeObject:
    """The options of a stream as an object: what a policy may read of it. Absent ones are left out."""
    if info.subresource == "portforward":
        ports = [int(port) for port in query.getall("ports", []) if port.isdecimal()]
        return {"ports": ports} if ports else {}
    if info.subresource == "proxy":
        return {"path": query["path"]} if query.get("path") else {}
    out: KubeObject = {name: True for name in _STREAMS if truthy(query.get(name))}
    if query.get("container"):
        out["container"] = query["container"]
    if info.subresource == "exec" and "command" in query:
        out["command"] = query.getall("command")
    return out
