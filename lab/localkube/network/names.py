"""Service names without DNS: host names in a text become cluster IPs before a program sees them."""

from __future__ import annotations

import re

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import Registry

SERVICES = builtin("Service")

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(
    rf"(?<![\w.-])(?P<service>{_LABEL})\.(?P<namespace>{_LABEL})\.svc(?:\.cluster\.local\.?)?(?![\w-]|\.\w)"
)


def rewrite_hosts(text: str, registry: Registry) -> str:
    """Replace each `<service>.<namespace>.svc[.cluster.local]` in the text by the Service's ClusterIP.

    A name of no Service, of a headless one, or with more labels in front (a pod's own name) stays as it is.
    """
    if ".svc" not in text:
        return text

    def address(match: re.Match[str]) -> str:
        try:
            service = registry.get(SERVICES, match["namespace"], match["service"])
        except StatusError:
            return match[0]
        cluster_ip = str(service.get("spec", {}).get("clusterIP") or "None")
        return match[0] if cluster_ip == "None" else cluster_ip

    return _HOST.sub(address, text)
