"""Service names without DNS: host names in a text become cluster IPs before a program sees them."""

from __future__ import annotations

import re
from collections.abc import Callable

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import Registry

SERVICES = builtin("Service")

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(
    rf"(?<![\w.-])(?:(?P<host>{_LABEL})\.)?(?P<service>{_LABEL})\.(?P<namespace>{_LABEL})\.svc"
    r"(?:\.cluster\.local\.?)?(?![\w-]|\.\w)"
)


def rewrite_hosts(text: str, registry: Registry, address_of: Callable[[str], str]) -> str:
    """Replace names in the text by addresses.

    `<service>.<namespace>.svc[.cluster.local]` becomes the Service's ClusterIP, or its externalName. With a
    hostname in front and a headless Service, it becomes what `address_of` says of
    `<hostname>.<service>.<namespace>`. What names no Service, or a headless one itself, stays as it is.
    """
    if ".svc" not in text:
        return text

    def address(match: re.Match[str]) -> str:
        try:
            service = registry.get(SERVICES, match["namespace"], match["service"])
            spec = service.get("spec", {})
            if spec.get("type") == "ExternalName":
                return match[0] if match["host"] else str(spec.get("externalName") or match[0])
            cluster_ip = str(spec.get("clusterIP") or "None")
            if match["host"] and cluster_ip == "None":
                return address_of(f"{match['host']}.{match['service']}.{match['namespace']}")
        except StatusError:
            return match[0]
        return match[0] if match["host"] or cluster_ip == "None" else cluster_ip

    return _HOST.sub(address, text)
