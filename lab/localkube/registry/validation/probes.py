"""Probes and lifecycle hooks: who may have them, and what they may say.

Source: k8s.io/kubernetes/pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

import re

from lab.kube.objects import KubeObject
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.numbers import check_port_or_name

_SCHEMES = ("HTTP", "HTTPS")
_OF_SERVING = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_HEADER_NAME = re.compile(r"[-A-Za-z0-9]+")
_HEADER = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used "
    "for validation is '[-A-Za-z0-9]+')"
)


def check_role(container: KubeObject, field: str, spec: KubeObject, path: str, causes: Causes) -> None:
    """What a container in `field` of a pod's spec may have: what ends before the pod serves is not probed."""
    policy = container.get("restartPolicy")
    if field == "containers":
        if policy:
            causes.forbidden(f"{path}.restartPolicy", "may not be set for non-init containers")
    elif policy and policy != "Always":
        causes.unsupported(f"{path}.restartPolicy", policy, ("Always",))
    elif not policy:
        for part in _OF_SERVING:
            if container.get(part) is not None:
                why = "may not be set for init containers without restartPolicy=Always"
                causes.forbidden(f"{path}.{part}", why)
    grace = spec.get("terminationGracePeriodSeconds")
    for hook, handler in (container.get("lifecycle") or {}).items():
        seconds = ((handler or {}).get("sleep") or {}).get("seconds")
        if seconds is not None and grace is not None and not 0 <= seconds <= grace:
            why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            causes.invalid(f"{path}.lifecycle.{hook}.sleep", seconds, why)


def check_probe_grace(probe: KubeObject, path: str, kills: bool, causes: Causes) -> None:
    """A probe's own grace period; `kills`: its failure ends the container."""
    grace, at = probe.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds"
    if grace is not None and grace <= 0:
        causes.invalid(at, grace, "must be greater than 0")
    if grace is not None and not kills:
        causes.invalid(at, grace, "must not be set for readinessProbes")


def check_action(handler: KubeObject, path: str, causes: Causes) -> None:
    """Where a gRPC or an HTTP request goes, and with which headers."""
    if "grpc" in handler:
        check_port_or_name(handler["grpc"].get("port"), f"{path}.grpc.port", causes)
    if "httpGet" in handler:
        action, at = handler["httpGet"], f"{path}.httpGet"
        if action.get("scheme") and action["scheme"] not in _SCHEMES:
            causes.unsupported(f"{at}.scheme", action["scheme"], _SCHEMES)
        for header in action.get("httpHeaders") or ():
            name = header.get("name") or ""
            if not _HEADER_NAME.fullmatch(name):
                causes.invalid(f"{at}.httpHeaders", name, _HEADER)
