"""What is in the volumes that the kubelet writes itself: configMap, secret, downwardAPI and projected ones.

Source: pkg/volume of Kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.localkube.kubelet.atomic import File
from lab.localkube.kubelet.environment import CONFIG_MAPS, SECRETS, read_data
from lab.localkube.kubelet.podfields import MissingReference, PodPlace, field_value, resource_value
from lab.localkube.protocols import Registry

ROOT_CA = "kube-root-ca.crt"
"""The ConfigMap that a controller puts into every namespace; a pod need not wait for it."""
PRIVATE = 0o600
"""The mode of secrets and tokens when nothing else is asked for."""

EXTENDED_SECONDS = 3607
"""The life that the volume of every pod asks for its token; upstream makes a year of it, the default here."""


class TokenSource(Protocol):
    """Where tokens come from."""

    def __call__(
        self, namespace: str, account: str, pod: str, *, audience: str = "", seconds: int | None = None
    ) -> str:
        """A token of a ServiceAccount, bound to a pod, for an audience (the API's own by default)."""


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How pods reach the API: its address, its certificate, and a source of tokens."""

    server: str
    ca: str
    issue_token: TokenSource


class VolumeFiles:
    """Files of one pod's volumes, as the pod and the API are now. All methods raise MissingReference."""

    def __init__(self, registry: Registry, place: PodPlace, access: ApiAccess) -> None:
        self._registry = registry
        self._place = place
        self._access = access
        self._tokens: dict[tuple[str, int | None], str] = {}

    def forget_tokens(self) -> None:
        """Issue new tokens from now on."""
        self._tokens.clear()

    def token(self, pod: KubeObject, audience: str = "", seconds: int | None = None) -> str:
        """The pod's token for an audience; the same until it is forgotten."""
        if (audience, seconds) not in self._tokens:
            metadata, account = pod["metadata"], pod["spec"].get("serviceAccountName") or "default"
            more: dict[str, Any] = {"audience": audience} if audience else {}
            more |= {"seconds": seconds} if seconds is not None else {}
            issued = self._access.issue_token(metadata["namespace"], account, metadata["name"], **more)
            self._tokens[audience, seconds] = issued
        return self._tokens[audience, seconds]

    def config_map(self, pod: KubeObject, source: dict[str, Any]) -> dict[str, File]:
        """A configMap volume."""
        return self._keys(pod, CONFIG_MAPS, source, _mode(source, 0o644))

    def secret(self, pod: KubeObject, source: dict[str, Any]) -> dict[str, File]:
        """A secret volume. The API's default mode, 0644, is 0600 here: there is one user for all pods."""
        mode = _mode(source, PRIVATE)
        return self._keys(pod, SECRETS, source, PRIVATE if mode == 0o644 else mode)

    def _keys(
        self, pod: KubeObject, resource: Resource, source: dict[str, Any], mode: int
    ) -> dict[str, File]:
        data = read_data(self._registry, resource, pod["metadata"]["namespace"], source)
        if data is None:
            return {}
        if not source.get("items"):
            return {key: File(value, mode) for key, value in data.items()}
        files = {}
        for item in source["items"]:
            if item["key"] in data:
                files[inside(item["path"])] = File(data[item["key"]], _mode(item, mode, "mode"))
            elif not source.get("optional"):
                kind = "secret" if resource is SECRETS else "config"
                start = "" if resource is SECRETS else "configmap "
                raise MissingReference(f"{start}references non-existent {kind} key: {item['key']}")
        return files

    def downward(
        self, pod: KubeObject, source: dict[str, Any], default: int | None = None
    ) -> dict[str, File]:
        """A downwardAPI volume."""
        mode = _mode(source, 0o644) if default is None else default
        files = {}
        for item in source.get("items") or ():
            if "fieldRef" in item:
                text = field_value(pod, item["fieldRef"]["fieldPath"], self._place)
            else:
                ref = item["resourceFieldRef"]
                everyone = (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ()))
                named = [each for each in everyone if each["name"] == ref.get("containerName")]
                if not named:
                    raise MissingReference(f"container {ref.get('containerName')!r} not found")
                text = resource_value(named[0], ref["resource"], str(ref.get("divisor") or ""), self._place)
            files[inside(item["path"])] = File(text.encode(), _mode(item, mode, "mode"))
        return files

    def projected(self, pod: KubeObject, source: dict[str, Any]) -> dict[str, File]:
        """A projected volume: all its sources, later ones over earlier ones."""
        mode = _mode(source, 0o644)
        files: dict[str, File] = {}
        for part in source.get("sources") or ():
            if (part.get("configMap") or {}).get("name") == ROOT_CA:
                files |= self._root_ca(part["configMap"], mode)
            elif "configMap" in part:
                files |= self._keys(pod, CONFIG_MAPS, part["configMap"], mode)
            if "secret" in part:
                files |= self._keys(pod, SECRETS, part["secret"], PRIVATE if mode == 0o644 else mode)
            if "downwardAPI" in part:
                files |= self.downward(pod, part["downwardAPI"], mode)
            if "serviceAccountToken" in part:
                wanted = part["serviceAccountToken"]
                seconds = wanted.get("expirationSeconds")
                life = None if seconds == EXTENDED_SECONDS else seconds
                token = self.token(pod, wanted.get("audience") or "", life)
                files[inside(wanted["path"])] = File(token.encode(), PRIVATE)
        return files

    def _root_ca(self, source: dict[str, Any], mode: int) -> dict[str, File]:
        items = source.get("items") or [{"path": "ca.crt"}]
        ca = self._access.ca.encode()
        return {inside(item["path"]): File(ca, _mode(item, mode, "mode")) for item in items}

    def account(self, pod: KubeObject) -> dict[str, File]:
        """What a pod finds at the ServiceAccount's usual place."""
        return {
            "token": File(self.token(pod).encode(), PRIVATE),
            "ca.crt": File(self._access.ca.encode()),
            "namespace": File(str(pod["metadata"]["namespace"]).encode()),
        }


def _mode(source: dict[str, Any], default: int, key: str = "defaultMode") -> int:
    mode = source.get(key)
    return default if mode is None else int(mode)


def inside(path: str) -> str:
    """A relative path that stays inside. Raises MissingReference."""
    if path.startswith("/"):
        raise MissingReference(f"path {path!r} must be a relative path")
    if not Path(path).parts or ".." in Path(path).parts:
        raise MissingReference(f"path {path!r} must not contain '..'")
    return path
