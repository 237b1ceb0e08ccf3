"""Volumes as directories: emptyDir, configMap, secret, projected, downwardAPI, hostPath and claims.

There is no mount namespace: a container reaches its volumes by rewritten paths (see `rewriting`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.kubelet.atomic import File, write_directory
from lab.localkube.kubelet.environment import CONFIG_MAPS, SECRETS, read_data
from lab.localkube.kubelet.podfields import MissingReference, PodPlace, field_value, resource_value
from lab.localkube.protocols import Registry

CLAIMS = builtin("PersistentVolumeClaim")
VOLUMES = builtin("PersistentVolume")
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME = "kube-api-access"
ROOT_CA = "kube-root-ca.crt"
"""The ConfigMap that a controller puts into every namespace; a pod need not wait for it."""


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How pods reach the API: its address, its certificate, and a source of tokens."""

    server: str
    ca: str
    issue_token: Callable[[str, str, str], str]


class PodVolumes:
    """The volumes of one pod below `directory`."""

    def __init__(
        self, registry: Registry, pod: KubeObject, directory: Path, place: PodPlace, access: ApiAccess
    ) -> None:
        self._registry = registry
        self.pod = pod
        self._directory = directory
        self._place = place
        self._access = access
        self._token = ""

    @property
    def _namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def kubeconfig(self) -> Path:
        """The file for the pod's ServiceAccount; there when the pod mounts a token."""
        return self._directory / f"{TOKEN_VOLUME}.kubeconfig"

    def directory_of(self, volume: KubeObject) -> Path:
        """The real directory of a volume. Raises MissingReference for a claim without one."""
        if "hostPath" in volume:
            return Path(str(volume["hostPath"]["path"]))
        if "persistentVolumeClaim" in volume:
            return self._claimed(str(volume["persistentVolumeClaim"]["claimName"]))
        return self._directory / str(volume["name"])

    def _claimed(self, name: str) -> Path:
        """The directory of the volume that a claim is bound to."""
        try:
            claim = self._registry.get(CLAIMS, self._namespace, name)
            bound = (claim.get("status") or {}).get("phase") == "Bound"
            volume = self._registry.get(VOLUMES, "", claim["spec"]["volumeName"]) if bound else {"spec": {}}
        except StatusError as error:
            raise MissingReference(error.message) from error
        if "hostPath" not in volume["spec"]:
            raise MissingReference(f"persistentvolumeclaim {name!r} is not bound to a directory")
        return Path(str(volume["spec"]["hostPath"]["path"]))

    def sync(self, *, renew_token: bool = False) -> None:
        """Create the volumes, or bring their files up to date. Raises MissingReference."""
        if renew_token or not self._token:
            account = self.pod["spec"].get("serviceAccountName") or "default"
            self._token = self._access.issue_token(self._namespace, account, self.pod["metadata"]["name"])
        self._directory.mkdir(parents=True, exist_ok=True)
        for volume in self.pod["spec"].get("volumes") or ():
            self._sync_volume(volume)
        if self._implied_token():
            write_directory(self._directory / TOKEN_VOLUME, self._token_files(), 0o700)
        if self.token_mounted():
            self._write_kubeconfig()

    def _sync_volume(self, volume: KubeObject) -> None:
        target = self.directory_of(volume)
        if "hostPath" in volume:
            if volume["hostPath"].get("type") == "DirectoryOrCreate":
                target.mkdir(parents=True, exist_ok=True)
        elif "persistentVolumeClaim" in volume:
            target.mkdir(parents=True, exist_ok=True)
        elif "configMap" in volume:
            source = volume["configMap"]
            write_directory(target, self._keys(CONFIG_MAPS, source, _mode(source, 0o644)))
        elif "secret" in volume:
            source = volume["secret"]
            write_directory(target, self._keys(SECRETS, source, _mode(source, 0o600)), 0o700)
        elif "downwardAPI" in volume:
            source = volume["downwardAPI"]
            write_directory(target, self._downward(source, _mode(source, 0o644)))
        elif "projected" in volume:
            write_directory(target, self._projected(volume["projected"]), 0o700)
        elif "emptyDir" in volume or not (volume.keys() - {"name"}):
            target.mkdir(parents=True, exist_ok=True)
            target.chmod(0o777)
        else:
            kind = next(iter(volume.keys() - {"name"}))
            raise MissingReference(f"volume {volume['name']!r}: {kind} is not supported on this node")

    def _keys(self, resource: Resource, source: dict[str, Any], mode: int) -> dict[str, File]:
        data = read_data(self._registry, resource, self._namespace, source)
        if data is None:
            return {}
        items = source.get("items")
        if items is None:
            return {key: File(value, mode) for key, value in data.items()}
        files = {}
        for item in items:
            if item["key"] in data:
                files[_inside(item["path"])] = File(data[item["key"]], item.get("mode") or mode)
            elif not source.get("optional"):
                raise MissingReference(f"references non-existent config key: {item['key']}")
        return files

    def _downward(self, source: dict[str, Any], mode: int) -> dict[str, File]:
        files = {}
        for item in source.get("items") or ():
            if "fieldRef" in item:
                text = field_value(self.pod, item["fieldRef"]["fieldPath"], self._place)
            else:
                ref = item["resourceFieldRef"]
                named = [c for c in self.pod["spec"]["containers"] if c["name"] == ref.get("containerName")]
                if not named:
                    raise MissingReference(f"container {ref.get('containerName')!r} not found")
                text = resource_value(named[0], ref["resource"], str(ref.get("divisor") or ""), self._place)
            files[_inside(item["path"])] = File(text.encode(), item.get("mode") or mode)
        return files

    def _projected(self, source: dict[str, Any]) -> dict[str, File]:
        mode = _mode(source, 0o644)
        files: dict[str, File] = {}
        for part in source.get("sources") or ():
            if (part.get("configMap") or {}).get("name") == ROOT_CA:
                files["ca.crt"] = File(self._access.ca.encode(), mode)
            elif "configMap" in part:
                files |= self._keys(CONFIG_MAPS, part["configMap"], mode)
            if "secret" in part:
                files |= self._keys(SECRETS, part["secret"], 0o600)
            if "downwardAPI" in part:
                files |= self._downward(part["downwardAPI"], mode)
            if "serviceAccountToken" in part:
                files[_inside(part["serviceAccountToken"]["path"])] = File(self._token.encode(), 0o600)
        return files

    def _token_files(self) -> dict[str, File]:
        return {
            "token": File(self._token.encode(), 0o600),
            "ca.crt": File(self._access.ca.encode()),
            "namespace": File(self._namespace.encode()),
        }

    def _implied_token(self) -> bool:
        """Whether the token is to be mounted without a volume that says so."""
        if self.pod["spec"].get("automountServiceAccountToken") is False:
            return False
        return not any(
            mount.get("mountPath", "").rstrip("/") == TOKEN_PATH
            for container in self.pod["spec"]["containers"]
            for mount in container.get("volumeMounts") or ()
        )

    def token_mounted(self, container: KubeObject | None = None) -> bool:
        """Whether a container (any, when None) finds a ServiceAccount token at the usual place."""
        if self._implied_token():
            return True
        return any(
            mount.get("mountPath", "").rstrip("/") == TOKEN_PATH
            for each in ([container] if container else self.pod["spec"]["containers"])
            for mount in each.get("volumeMounts") or ()
        )

    def _write_kubeconfig(self) -> None:
        token_file = self._directory / f"{TOKEN_VOLUME}.token"
        ca_file = self._directory / f"{TOKEN_VOLUME}.ca"
        _private(token_file, self._token)
        _private(ca_file, self._access.ca)
        _private(self.kubeconfig, kubeconfig(self._access.server, ca_file, token_file, self._namespace))

    def mounts(self, container: KubeObject) -> dict[str, Path]:
        """mountPath to real directory or file. Raises MissingReference for a volume that does not exist."""
        volumes = {volume["name"]: volume for volume in self.pod["spec"].get("volumes") or ()}
        found = {}
        for mount in container.get("volumeMounts") or ():
            if mount["name"] not in volumes:
                raise MissingReference(f"volume {mount['name']!r} does not exist")
            real = self.directory_of(volumes[mount["name"]])
            if mount.get("subPath"):
                real = real / _inside(mount["subPath"])
                if {"emptyDir", "persistentVolumeClaim"} & volumes[mount["name"]].keys():
                    real.mkdir(parents=True, exist_ok=True)
            found[mount["mountPath"]] = real
        if self._implied_token():
            found[TOKEN_PATH] = self._directory / TOKEN_VOLUME
        return found


def kubeconfig(server: str, ca_file: Path, token_file: Path, namespace: str) -> str:
    """A kubeconfig whose token is read from a file that is renewed."""
    user = {"tokenFile": str(token_file)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "pod",
        "clusters": [
            {"name": "cluster", "cluster": {"server": server, "certificate-authority": str(ca_file)}}
        ],
        "users": [{"name": "serviceaccount", "user": user}],
        "contexts": [
            {
                "name": "pod",
                "context": {"cluster": "cluster", "user": "serviceaccount", "namespace": namespace},
            }
        ],
    }
    return json.dumps(document, indent=2)


def _private(path: Path, text: str) -> None:
    """Replace a file of mode 0600 in one step, if it differs."""
    if path.exists() and path.read_text() == text:
        return
    draft = path.with_name(path.name + ".new")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


def _mode(source: dict[str, Any], default: int) -> int:
    mode = source.get("defaultMode")
    return default if mode is None or (default == 0o600 and mode == 0o644) else int(mode)


def _inside(path: str) -> str:
    """A relative path that stays inside. Raises MissingReference."""
    parts = Path(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise MissingReference(f"path {path!r} must be relative and must not contain '..'")
    return path
