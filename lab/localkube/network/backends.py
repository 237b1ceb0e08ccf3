"""Which addresses stand behind the ports of a Service, and where the Service is reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.kube.objects import KubeObject

Address = tuple[str, int]
AFFINITY_SECONDS = 10800
"""Upstream's default: three hours."""


@dataclass(frozen=True, slots=True)
class Route:
    """Connections to `front` go to one of `backends`.

    affinity: seconds since its last connection for which a client address keeps its backend; 0 is never.
    """

    front: Address
    backends: tuple[Address, ...]
    service: str
    affinity: float = 0.0


def routes(
    service: KubeObject,
    slices: Sequence[KubeObject],
    endpoints: KubeObject | None,
    node_addresses: Iterable[str] = (),
) -> list[Route]:
    """A Service's TCP routes: its cluster IP on each port, and each node address on each node port.

    Addresses come from EndpointSlices; from the Endpoints object when there are none. Headless and
    ExternalName services have no routes.
    """
    spec = service["spec"]
    cluster_ip = spec.get("clusterIP") or "None"
    if cluster_ip == "None" or spec.get("type") == "ExternalName":
        return []
    name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
    affinity = _affinity(spec)
    found = []
    for port in spec.get("ports") or ():
        if (port.get("protocol") or "TCP") != "TCP":
            continue
        port_name = port.get("name") or ""
        backends = _of_slices(slices, port_name) if slices else _of_endpoints(endpoints, port_name)
        fronts: list[Address] = [(cluster_ip, int(port["port"]))]
        if port.get("nodePort"):
            fronts += [(address, int(port["nodePort"])) for address in node_addresses]
        found += [Route(front, backends, f"{name}:{port['port']}", affinity) for front in fronts]
    return found


def _affinity(spec: KubeObject) -> float:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0.0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return float(config.get("timeoutSeconds") or AFFINITY_SECONDS)


def _of_slices(slices: Sequence[KubeObject], port_name: str) -> tuple[Address, ...]:
    """Ready endpoints; without any, those that still serve while they terminate."""
    ready: dict[Address, None] = {}
    leaving: dict[Address, None] = {}
    for each in slices:
        for port in each.get("ports") or ():
            if (port.get("name") or "") != port_name or (port.get("protocol") or "TCP") != "TCP":
                continue
            for endpoint in each.get("endpoints") or ():
                conditions = endpoint.get("conditions") or {}
                for ip in endpoint["addresses"][:1]:
                    if conditions.get("ready") is not False:
                        ready[(ip, int(port["port"]))] = None
                    elif conditions.get("serving") and conditions.get("terminating"):
                        leaving[(ip, int(port["port"]))] = None
    return tuple(ready or leaving)


def _of_endpoints(endpoints: KubeObject | None, port_name: str) -> tuple[Address, ...]:
    found: dict[Address, None] = {}
    for subset in (endpoints or {}).get("subsets") or ():
        for port in subset.get("ports") or ():
            if (port.get("name") or "") == port_name and (port.get("protocol") or "TCP") == "TCP":
                for address in subset.get("addresses") or ():
                    found[(address["ip"], int(port["port"]))] = None
    return tuple(found)
