"""Places on this host that a pod names: host paths of a type, and paths below a volume.

Source: pkg/volume/hostpath and pkg/kubelet (makeMounts) of Kubernetes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab.kube.objects import KubeObject
from lab.localkube.kubelet.podfields import MissingReference
from lab.localkube.kubelet.rewriting import expand, references

_TYPES: Mapping[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def prepare_host_path(source: dict[str, Any]) -> None:
    """Make a host path if its type says so, and see that it is what the type says.

    Raises MissingReference in upstream's words, OSError.
    """
    text, kind = str(source["path"]), str(source.get("type") or "")
    path = Path(text)
    if ".." in path.parts:
        raise MissingReference(f"invalid HostPath `{text}`: must not contain '..'")
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(mode=0o755, parents=True)
    if kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    if not kind:
        return
    if kind not in _TYPES:
        raise MissingReference(f"{kind} is an invalid volume type")
    is_it, name = _TYPES[kind]
    try:
        found = is_it(os.stat(path).st_mode)
    except OSError:
        found = False
    if not found:
        raise MissingReference(f"hostPath type check failed: {text} is not {name}")


def mounted(volume: Path, mount: KubeObject, container: str, env: Mapping[str, str]) -> Path:
    """The place that a container mounts: the volume, or what is below it at subPath, made when it is missing.

    A link that leads out of the volume is refused; what a program links there later cannot be. Raises
    MissingReference.
    """
    sub = str(mount.get("subPath") or "")
    if mount.get("subPathExpr"):
        sub = _expanded(str(mount["subPathExpr"]), env)
    if not sub:
        return volume
    if sub.startswith("/"):
        raise MissingReference(f"error SubPath `{sub}` must not be an absolute path")
    if ".." in Path(sub).parts:
        raise MissingReference(f"unable to provision SubPath `{sub}`: must not contain '..'")
    place = volume / sub
    of = f'for volumeMount "{mount["name"]}" of container "{container}"'
    if not place.resolve().is_relative_to(volume.resolve()):
        raise MissingReference(f"failed to prepare subPath {of}")
    try:
        if not place.exists():
            place.mkdir(mode=volume.stat().st_mode & 0o777, parents=True)
    except OSError as error:
        raise MissingReference(f"failed to create subPath directory {of}") from error
    return place


def _expanded(expression: str, env: Mapping[str, str]) -> str:
    missing = sorted({name for name in references(expression) if not env.get(name)})
    if missing:
        raise MissingReference(f"missing value for {', '.join(missing)}")
    return expand(expression, env)
