"""Network policies.

Source: k8s.io/kubernetes/pkg/apis/networking/validation/validation.go.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.selectors import SelectorError, label_selector_from
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.numbers import PROTOCOLS, check_port, check_port_or_name

_PEERS = ("podSelector", "namespaceSelector", "ipBlock")
_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def check_network_policy(obj: KubeObject, causes: Causes) -> None:
    """A NetworkPolicy."""
    spec = obj.get("spec") or {}
    _check_selector(spec.get("podSelector"), "spec.podSelector", causes)
    for direction, end in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                _check_policy_port(port, f"{path}.ports[{number}]", causes)
            for number, peer in enumerate(rule.get(end) or ()):
                _check_peer(peer, f"{path}.{end}[{number}]", causes)
    kinds = spec.get("policyTypes") or ()
    if len(kinds) > 2:
        causes.invalid("spec.policyTypes", kinds, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(kinds):
        if kind not in ("Ingress", "Egress"):
            causes.unsupported(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"))


def _check_selector(selector: Any, path: str, causes: Causes) -> None:
    try:
        label_selector_from(selector or {})
    except (SelectorError, KeyError) as error:
        causes.invalid(path, selector, f"invalid label selector: {error}")


def _check_policy_port(port: KubeObject, path: str, causes: Causes) -> None:
    protocol, number, last = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in PROTOCOLS:
        causes.unsupported(f"{path}.protocol", protocol, PROTOCOLS)
    if number is not None:
        check_port_or_name(number, f"{path}.port", causes)
    if last is None:
        return
    if number is None:
        causes.invalid(f"{path}.endPort", last, "may not be specified when `port` is not specified")
    elif isinstance(number, str):
        causes.invalid(f"{path}.endPort", last, "may not be specified when `port` is non-numeric")
    else:
        if last < number:
            causes.invalid(f"{path}.endPort", number, "must be greater than or equal to `port`")
        check_port(last, f"{path}.endPort", causes)


def _check_peer(peer: KubeObject, path: str, causes: Causes) -> None:
    given = [field for field in _PEERS if peer.get(field) is not None]
    for field in given:
        if field == "ipBlock":
            _check_block(peer[field], f"{path}.{field}", causes)
        else:
            _check_selector(peer[field], f"{path}.{field}", causes)
    if not given:
        causes.required(path, "must specify a peer")
    elif len(given) > 1 and "ipBlock" in given:
        causes.forbidden(path, "may not specify both ipBlock and another peer")


def _check_block(block: KubeObject, path: str, causes: Causes) -> None:
    if not block.get("cidr"):
        causes.required(f"{path}.cidr")
        return
    whole = _network(block["cidr"], f"{path}.cidr", causes)
    for index, text in enumerate(block.get("except") or ()):
        part = _network(text, f"{path}.except[{index}]", causes)
        if whole is None or part is None:
            continue
        inside = part.version == whole.version and part.network_address in whole
        if not inside or whole.prefixlen >= part.prefixlen:
            causes.invalid(f"{path}.except[{index}]", text, "must be a strict subset of `cidr`")


def _network(text: str, path: str, causes: Causes) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        if "/" in text:
            return ipaddress.ip_network(text, strict=False)
    except ValueError:
        pass
    causes.invalid(path, text, _CIDR)
    return None
