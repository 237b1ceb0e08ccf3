"""Publishes, for each Service with a selector, the addresses of its pods.

Writes the Endpoints object and one EndpointSlice for each set of resolved ports. Source:
pkg/controller/endpoint, pkg/controller/endpointslice.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable

from lab.kube.objects import KubeObject, labels_of, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import Controller, deleting, key_of, owner_reference
from lab.localkube.controllers.queue import Key
from lab.localkube.controllers.selectors import map_matches
from lab.localkube.protocols import WatchEvent

SERVICES = builtin("Service")
ENDPOINTS = builtin("Endpoints")
SLICES = builtin("EndpointSlice")
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
MAX_PER_SLICE = 100


class EndpointsController(Controller):
    """Service + Pods → Endpoints, EndpointSlices."""

    name = "endpoint-controller"
    listens = frozenset({"services", "pods", "endpoints", "endpointslices.discovery.k8s.io"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "services":
            return [key_of(event.object)]
        if resource.plural == "endpoints":
            return [key_of(event.object)] if event.type == "DELETED" else ()
        if resource.plural == "endpointslices":
            labels = labels_of(event.object)
            lost = event.type == "DELETED" and labels.get(MANAGED_BY) == MANAGER
            return [(namespace_of(event.object), labels.get(SERVICE_NAME, ""))] if lost else ()
        before = event.previous
        if event.type == "MODIFIED" and before is not None and _seen(before) == _seen(event.object):
            return ()
        return [
            key_of(service)
            for service in self.cache.all("services", namespace_of(event.object))
            if any(
                pod is not None and map_matches(service["spec"].get("selector") or {}, labels_of(pod))
                for pod in (before, event.object)
            )
        ]

    def reconcile(self, key: Key) -> float | None:
        service = self.cache.get("services", *key)
        if service is None:
            self._remove(key)
            return None
        selector = service["spec"].get("selector") or {}
        if not selector or service["spec"].get("type") == "ExternalName" or deleting(service):
            return None
        pods = [
            pod
            for pod in self.cache.all("pods", key[0])
            if map_matches(selector, labels_of(pod))
            and not podfacts.terminal(pod)
            and (pod.get("status") or {}).get("podIP")
        ]
        pods.sort(key=name_of)
        groups: dict[str, tuple[list[KubeObject], list[KubeObject]]] = {}
        for pod in pods:
            ports = resolve_ports(service, pod)
            groups.setdefault(json.dumps(ports), (ports, []))[1].append(pod)
        self._write_endpoints(service, groups.values())
        self._write_slices(service, groups.values())
        return None

    def _remove(self, key: Key) -> None:
        """Drop what a Service left behind."""
        endpoints = self.cache.get("endpoints", *key)
        if endpoints is not None:
            self.delete(ENDPOINTS, endpoints)
        for each in self._slices(key):
            self.delete(SLICES, each)

    def _slices(self, key: Key) -> list[KubeObject]:
        return [
            each
            for each in self.cache.all("endpointslices.discovery.k8s.io", key[0])
            if labels_of(each).get(SERVICE_NAME) == key[1] and labels_of(each).get(MANAGED_BY) == MANAGER
        ]

    # Endpoints

    def _write_endpoints(
        self, service: KubeObject, groups: Iterable[tuple[list[KubeObject], list[KubeObject]]]
    ) -> None:
        all_ready = bool(service["spec"].get("publishNotReadyAddresses"))
        subsets: list[KubeObject] = []
        for ports, pods in groups:
            subset: KubeObject = defaultdict(list)
            for pod in pods:
                if deleting(pod) and not all_ready:
                    continue
                kind = "addresses" if all_ready or podfacts.ready(pod) else "notReadyAddresses"
                subset[kind].append(_address(service, pod))
            if subset:
                subsets.append(dict(subset) | ({"ports": ports} if ports else {}))
        self._put_endpoints(service, subsets)

    def _put_endpoints(self, service: KubeObject, subsets: list[KubeObject]) -> None:
        namespace, name = key_of(service)
        labels = dict(labels_of(service))
        labels.pop(HEADLESS, None)
        if service["spec"].get("clusterIP") == "None":
            labels[HEADLESS] = ""
        wanted: KubeObject = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "subsets": subsets,
        }
        present = self.cache.get("endpoints", namespace, name)
        if present is None:
            self.registry.create(ENDPOINTS, namespace, wanted)
        elif (present.get("subsets") or []) != subsets or labels_of(present) != labels:
            wanted["metadata"] = dict(present["metadata"]) | {"labels": labels}
            self.registry.update(ENDPOINTS, namespace, name, wanted)

    # EndpointSlices

    def _write_slices(
        self, service: KubeObject, groups: Iterable[tuple[list[KubeObject], list[KubeObject]]]
    ) -> None:
        wanted = []
        for ports, pods in groups:
            for start in range(0, len(pods), MAX_PER_SLICE):
                chunk = pods[start : start + MAX_PER_SLICE]
                wanted.append(self._slice(service, ports, chunk, start // MAX_PER_SLICE))
        if not wanted:
            wanted = [self._slice(service, [], [], 0)]
        present = {name_of(each): each for each in self._slices(key_of(service))}
        for each in wanted:
            old = present.pop(name_of(each), None)
            namespace = namespace_of(service)
            if old is None:
                self.registry.create(SLICES, namespace, each)
            elif any((old.get(f) or []) != each[f] for f in ("endpoints", "ports")) or (
                labels_of(old) != labels_of(each)
            ):
                each["metadata"] = dict(old["metadata"]) | {"labels": labels_of(each)}
                self.registry.update(SLICES, namespace, name_of(each), each)
        for stale in present.values():
            self.delete(SLICES, stale)

    def _slice(
        self, service: KubeObject, ports: list[KubeObject], pods: list[KubeObject], part: int
    ) -> KubeObject:
        all_ready = bool(service["spec"].get("publishNotReadyAddresses"))
        labels = dict(labels_of(service)) | {SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}
        if service["spec"].get("clusterIP") == "None":
            labels[HEADLESS] = ""
        digest = hashlib.sha256(f"{json.dumps(ports)}#{part}".encode()).hexdigest()[:5]
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name_of(service)}-{digest}",
                "generateName": f"{name_of(service)}-",
                "namespace": namespace_of(service),
                "labels": labels,
                "ownerReferences": [owner_reference(SERVICES, service)],
            },
            "addressType": "IPv4",
            "endpoints": [_endpoint(service, pod, all_ready) for pod in pods],
            "ports": [{"name": "", **port} for port in ports],
        }


def resolve_ports(service: KubeObject, pod: KubeObject) -> list[KubeObject]:
    """The service's ports on this pod. A named target port is that container port; one the pod lacks is
    left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        number = _target(port.get("targetPort") or port["port"], protocol, pod)
        if number:
            name = {"name": port["name"]} if port.get("name") else {}
            found.append({**name, "port": number, "protocol": protocol})
    return found


def _target(target: object, protocol: str, pod: KubeObject) -> int:
    if isinstance(target, int):
        return target
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == target and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return int(str(target)) if str(target).isdigit() else 0


def _pod_reference(pod: KubeObject) -> KubeObject:
    metadata = pod["metadata"]
    return {"kind": "Pod", "name": name_of(pod), "namespace": namespace_of(pod), "uid": metadata["uid"]}


def _hostname(service: KubeObject, pod: KubeObject) -> KubeObject:
    """The name that a pod has below its Service: there when its subdomain is that Service."""
    spec = pod["spec"]
    named = spec.get("hostname") and spec.get("subdomain") == name_of(service)
    return {"hostname": spec["hostname"]} if named else {}


def _address(service: KubeObject, pod: KubeObject) -> KubeObject:
    node = {"nodeName": pod["spec"]["nodeName"]} if pod["spec"].get("nodeName") else {}
    name = _hostname(service, pod)
    return {"ip": pod["status"]["podIP"], **name, **node, "targetRef": _pod_reference(pod)}


def _endpoint(service: KubeObject, pod: KubeObject, all_ready: bool) -> KubeObject:
    serving = all_ready or podfacts.ready(pod)
    ready = serving and (all_ready or not deleting(pod))
    endpoint: KubeObject = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": serving, "terminating": deleting(pod)},
        **_hostname(service, pod),
        "targetRef": _pod_reference(pod),
    }
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    return endpoint


def _seen(pod: KubeObject) -> tuple[object, ...]:
    """What of a pod shows in endpoints."""
    status = pod.get("status") or {}
    return (
        labels_of(pod),
        status.get("podIP"),
        podfacts.terminal(pod),
        podfacts.ready(pod),
        deleting(pod),
        pod["spec"].get("nodeName"),
    )
