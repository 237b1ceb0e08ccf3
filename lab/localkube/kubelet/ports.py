"""Ports as probes and hooks name them, and what is said when nobody answers there."""

from __future__ import annotations

from typing import Any

from lab.kube.objects import KubeObject


def resolve_port(port: Any, container: KubeObject) -> int:
    """A number, or the container's port of that name. Raises ValueError."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise ValueError(f"couldn't find port: {port!r}")


def dial_error(error: OSError, host: str, port: int) -> str:
    """A failed connection as Go words it."""
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    return f"dial tcp {host}:{port}: {error.strerror or error}"
