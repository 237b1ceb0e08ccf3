"""The columns of services, of what stands behind them, and of what lets traffic in.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from lab.kube.objects import KubeObject
from lab.localkube.api.columns import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Column,
    at,
    field,
    joined,
    labels_text,
    selector_text,
)

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


def _service_ports(obj: KubeObject, _: datetime) -> str:
    texts: list[str] = []
    for port in at(obj, "spec", "ports", default=()) or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        texts.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return joined(texts)


def _external_ip(obj: KubeObject, _: datetime) -> str:
    spec = at(obj, "spec", default={})
    external = list(spec.get("externalIPs") or ())
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or NONE)
    if spec.get("type") == "LoadBalancer":
        ingress = at(obj, "status", "loadBalancer", "ingress", default=()) or ()
        external = [i.get("ip") or i.get("hostname") for i in ingress] + external
        return joined(external) if external else "<pending>"
    return joined(external)


def _endpoints(obj: KubeObject, _: datetime) -> str:
    texts: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [a.get("ip", "") for a in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        texts += [f"{a}:{p.get('port')}" for p in ports for a in addresses] if ports else addresses
    return joined(texts, 3)


def _slice_ports(obj: KubeObject, _: datetime) -> str:
    ports = obj.get("ports")
    if not ports:
        return UNSET
    return joined([port.get("port") or port.get("name") or "*" for port in ports], 3)


def _slice_addresses(obj: KubeObject, _: datetime) -> str:
    endpoints = obj.get("endpoints") or ()
    addresses = [address for endpoint in endpoints for address in endpoint.get("addresses") or ()]
    return joined(addresses, 3) if addresses else UNSET


def _ingress_hosts(obj: KubeObject, _: datetime) -> str:
    hosts = [rule.get("host") for rule in at(obj, "spec", "rules", default=()) or () if rule.get("host")]
    return joined(hosts, 3) if hosts else "*"


def _ingress_address(obj: KubeObject, _: datetime) -> str:
    ingress = at(obj, "status", "loadBalancer", "ingress", default=()) or ()
    return ",".join(sorted({str(i.get("ip") or i.get("hostname")) for i in ingress}))


def _ingress_class_name(obj: KubeObject, _: datetime) -> str:
    chosen = at(obj, "metadata", "annotations", default={}).get(DEFAULT_CLASS) == "true"
    return f"{at(obj, 'metadata', 'name')} (default)" if chosen else str(at(obj, "metadata", "name"))


def _ingress_class_parameters(obj: KubeObject, _: datetime) -> str:
    parameters = at(obj, "spec", "parameters")
    if not parameters:
        return NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"


NETWORK_COLUMNS: Mapping[str, Sequence[Column]] = {
    "services": (
        NAME,
        field("Type", "spec", "type"),
        field("Cluster-IP", "spec", "clusterIP"),
        Column("External-IP", _external_ip),
        Column("Port(s)", _service_ports),
        AGE,
        Column("Selector", lambda obj, _: labels_text(at(obj, "spec", "selector")), priority=1),
    ),
    "endpoints": (NAME, Column("Endpoints", _endpoints), AGE),
    "endpointslices.discovery.k8s.io": (
        NAME,
        field("AddressType", "addressType"),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_addresses),
        AGE,
    ),
    "ingresses.networking.k8s.io": (
        NAME,
        field("Class", "spec", "ingressClassName"),
        Column("Hosts", _ingress_hosts),
        Column("Address", _ingress_address),
        Column("Ports", lambda obj, _: "80, 443" if at(obj, "spec", "tls") else "80"),
        AGE,
    ),
    "ingressclasses.networking.k8s.io": (
        Column("Name", _ingress_class_name, format="name"),
        field("Controller", "spec", "controller", default=""),
        Column("Parameters", _ingress_class_parameters),
        AGE,
    ),
    "networkpolicies.networking.k8s.io": (
        NAME,
        Column("Pod-Selector", lambda obj, _: selector_text(at(obj, "spec", "podSelector"))),
        AGE,
    ),
}
"""By `Resource.key`."""
