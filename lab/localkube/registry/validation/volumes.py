"""Paths in volumes and mounts: none leaves its volume.

Source: k8s.io/kubernetes/pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.localkube.registry.validation.causes import Causes

BACKSTEPS = "must not contain '..'"
_HOST_PATHS = (
    *("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket"),
    *("CharDevice", "BlockDevice"),
)
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_SHORTEST, _LONGEST = 600, 1 << 32
"""Seconds that a projected token may live."""


def check_volume_paths(volume: KubeObject, path: str, causes: Causes) -> None:
    """The paths and modes of one volume."""
    if "hostPath" in volume:
        source, at = volume["hostPath"] or {}, f"{path}.hostPath"
        if not source.get("path"):
            causes.required(f"{at}.path")
        else:
            _check_backsteps(str(source["path"]), f"{at}.path", causes)
        if source.get("type") and source["type"] not in _HOST_PATHS:
            causes.unsupported(f"{at}.type", source["type"], _HOST_PATHS)
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            _check_items(volume[kind] or {}, f"{path}.{kind}", kind != "downwardAPI", causes)
    if "projected" in volume:
        _check_projected(volume["projected"] or {}, f"{path}.projected", causes)


def _check_projected(source: KubeObject, path: str, causes: Causes) -> None:
    _check_mode(source, "defaultMode", path, causes)
    for index, part in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        for kind in ("configMap", "secret", "downwardAPI"):
            if kind in part:
                _check_items(part[kind] or {}, f"{at}.{kind}", kind != "downwardAPI", causes)
        if "serviceAccountToken" in part:
            token, at = part["serviceAccountToken"] or {}, f"{at}.serviceAccountToken"
            seconds = token.get("expirationSeconds")
            if seconds is not None and seconds < _SHORTEST:
                why = "may not specify a duration less than 10 minutes"
                causes.invalid(f"{at}.expirationSeconds", seconds, why)
            if seconds is not None and seconds > _LONGEST:
                why = "may not specify a duration larger than 2^32 seconds"
                causes.invalid(f"{at}.expirationSeconds", seconds, why)
            _check_local(token.get("path"), f"{at}.path", causes)


def _check_items(source: KubeObject, path: str, keyed: bool, causes: Causes) -> None:
    _check_mode(source, "defaultMode", path, causes)
    for index, item in enumerate(source.get("items") or ()):
        at = f"{path}.items[{index}]"
        if keyed and not item.get("key"):
            causes.required(f"{at}.key")
        _check_local(item.get("path"), f"{at}.path", causes)
        _check_mode(item, "mode", at, causes)


def _check_mode(holder: KubeObject, field: str, path: str, causes: Causes) -> None:
    mode = holder.get(field)
    if mode is not None and not 0 <= mode <= 0o777:
        causes.invalid(f"{path}.{field}", mode, _MODE)


def _check_local(text: str | None, path: str, causes: Causes) -> None:
    """A file's path inside a volume, whose own names begin with two dots."""
    if not text:
        causes.required(path)
        return
    _check_descending(text, path, causes)
    if text.startswith("..") and ".." not in text.split("/"):
        causes.invalid(path, text, "must not start with '..'")


def _check_descending(text: str, path: str, causes: Causes) -> None:
    if text.startswith("/"):
        causes.invalid(path, text, "must be a relative path")
    _check_backsteps(text, path, causes)


def _check_backsteps(text: str, path: str, causes: Causes) -> None:
    if ".." in text.split("/"):
        causes.invalid(path, text, BACKSTEPS)


def check_mount_paths(mount: KubeObject, path: str, index: int, causes: Causes) -> None:
    """The part of a volume that a container mounts. As upstream, only one of the causes has the index."""
    if mount.get("subPath"):
        _check_descending(str(mount["subPath"]), f"{path}.subPath", causes)
    if mount.get("subPathExpr"):
        if mount.get("subPath"):
            why = "subPathExpr and subPath are mutually exclusive"
            causes.invalid(f"{path}[{index}].subPathExpr", mount["subPathExpr"], why)
        _check_descending(str(mount["subPathExpr"]), f"{path}.subPathExpr", causes)
