"""Cluster IPs and node ports: given to services, kept with them, free again when they go.

What is in use is read from the stored services at start, so nothing else has to be persisted.
Source: k8s.io/kubernetes/pkg/registry/core/service (the messages).
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.kube.objects import KubeObject
from lab.kube.status import internal_error, invalid

HEADLESS = "None"
_NODE_PORTS = range(30_000, 32_768)
_NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


class AddressBook:
    """The service addresses of a cluster. Freed addresses are given out again only after all others."""

    def __init__(self, service_range: Iterable[str], services: Iterable[KubeObject]) -> None:
        self._range = tuple(service_range)
        self._known = frozenset(self._range)
        self._used: set[str] = set()
        self._ports: set[int] = set()
        self._next = 0
        for service in services:
            self.claim(service)

    def claim(self, service: KubeObject) -> None:
        """Take note that a stored service holds its addresses and node ports."""
        spec = service.get("spec") or {}
        address = spec.get("clusterIP") or HEADLESS
        if address != HEADLESS:
            self._used.add(address)
            if address in self._known:
                self._next = max(self._next, self._range.index(address) + 1)
        self._ports.update(port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort"))

    def release(self, service: KubeObject) -> None:
        """The service is gone or has changed: what it held is free."""
        spec = service.get("spec") or {}
        self._used.discard(spec.get("clusterIP", ""))
        self._ports.difference_update(port.get("nodePort", 0) for port in spec.get("ports") or ())

    def assign(self, service: KubeObject, old: KubeObject | None = None) -> None:
        """Write addresses and node ports into a service's spec, in place, without claiming them.

        An update keeps what the old service has. Raises StatusError 422 for an address or a node port
        that is out of range or taken, 500 when no address is left.
        """
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(field, None)
            return
        before = (old or {}).get("spec") or {}
        address = spec.get("clusterIP") or before.get("clusterIP") or ""
        if address and address != HEADLESS and not before.get("clusterIP"):
            self._check(service, address)  # a change of one that is set is for validation to refuse
        address = address or self._free()
        spec["clusterIP"] = address
        spec["clusterIPs"] = [address]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if spec.get("type") in _NODE_PORT_TYPES:
            self._assign_ports(service, before)
            return
        for field in ("externalTrafficPolicy", "allocateLoadBalancerNodePorts", "healthCheckNodePort"):
            spec.pop(field, None)
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)

    def _free(self) -> str:
        size = len(self._range)
        for step in range(size):
            candidate = self._range[(self._next + step) % size]
            if candidate not in self._used:
                return candidate
        raise internal_error("failed to allocate a serviceIP: range is full")

    def _check(self, service: KubeObject, address: str) -> None:
        if address in self._known and address not in self._used:
            return
        if address in self._used:
            why = "provided IP is already allocated"
        else:
            ends = f"{self._range[0]}-{self._range[-1]}" if self._range else "empty"
            why = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {ends}"
        message = f'Invalid value: ["{address}"]: failed to allocate IP {address}: {why}'
        name = service["metadata"].get("name", "")
        raise invalid("Service", "", name, [("spec.clusterIPs", "FieldValueInvalid", message)])

    def _assign_ports(self, service: KubeObject, before: KubeObject) -> None:
        spec = service["spec"]
        self._check_ports(service, {port.get("nodePort") for port in before.get("ports") or ()})
        kept = {
            (port.get("port"), port.get("protocol")): port.get("nodePort")
            for port in before.get("ports") or ()
        }
        taken = set(self._ports) | {port.get("nodePort") for port in spec.get("ports") or ()}
        for port in spec.get("ports") or ():
            if not port.get("nodePort"):
                mine = kept.get((port.get("port"), port.get("protocol")))
                port["nodePort"] = mine or next((p for p in _NODE_PORTS if p not in taken), 0)
                taken.add(port["nodePort"])

    def _check_ports(self, service: KubeObject, mine: set[int | None]) -> None:
        """Refuse node ports that are asked for and not to be had."""
        for index, port in enumerate(service["spec"].get("ports") or ()):
            wanted = port.get("nodePort")
            if not wanted or wanted in mine:
                continue
            why = "provided port is already allocated"
            if wanted not in _NODE_PORTS:
                ends = f"{_NODE_PORTS[0]}-{_NODE_PORTS[-1]}"
                why = f"provided port is not in the valid range. The range of valid ports is {ends}"
            elif wanted not in self._ports:
                continue
            message, name = f"Invalid value: {wanted}: {why}", service["metadata"].get("name", "")
            field = f"spec.ports[{index}].nodePort"
            raise invalid("Service", "", name, [(field, "FieldValueInvalid", message)])
