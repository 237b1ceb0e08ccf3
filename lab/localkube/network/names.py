"""Service names without DNS: host names in a text become cluster IPs before a program sees them."""

from __future__ import annotations

import re

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import Registry

PODS = builtin("Pod")
SERVICES = builtin("Service")

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(
    rf"(?<![\w.-])(?:(?P<host>{_LABEL})\.)?(?P<service>{_LABEL})\.(?P<namespace>{_LABEL})\.svc"
    r"(?:\.cluster\.local\.?)?(?![\w-]|\.\w)"
)


def rewrite_hosts(text: str, registry: Registry) -> str:
    """Replace names in the text by addresses.

    `<service>.<namespace>.svc[.cluster.local]` becomes the Service's ClusterIP, and with a hostname in front
    the address of the pod that has it below this headless Service. What names nothing, or a headless Service
    itself, stays as it is.
    """
    if ".svc" not in text:
        return text

    def address(match: re.Match[str]) -> str:
        try:
            service = registry.get(SERVICES, match["namespace"], match["service"])
        except StatusError:
            return match[0]
        cluster_ip = str(service.get("spec", {}).get("clusterIP") or "None")
        if match["host"]:
            return (cluster_ip == "None" and _pod_address(match, registry)) or match[0]
        return match[0] if cluster_ip == "None" else cluster_ip

    return _HOST.sub(address, text)


def _pod_address(match: re.Match[str], registry: Registry) -> str:
    """The address of the pod of that hostname and subdomain; empty when there is none yet."""
    for pod in registry.list(PODS, match["namespace"]).items:
        spec = pod["spec"]
        if (spec.get("hostname"), spec.get("subdomain")) == (match["host"], match["service"]):
            return str((pod.get("status") or {}).get("podIP") or "")
    return ""
