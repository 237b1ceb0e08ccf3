"""Where things stand in a Deployment."""

from __future__ import annotations

from lab.faults.fields import ABSENT, Path, read
from lab.faults.medium import NoVictimError
from lab.kube.objects import KubeObject

TEMPLATE: Path = ("spec", "template")


def container_path(obj: KubeObject, name: str) -> Path:
    """The path of the container of that name. Raises NoVictimError when there is none."""
    path = (*TEMPLATE, "spec", "containers", f"name={name}")
    if read(obj, path) is ABSENT:
        raise NoVictimError(f"Deployment {obj['metadata']['name']} has no container {name}")
    return path
