"""Volumes as directories: emptyDir, configMap, secret, projected, downwardAPI, hostPath and claims.

There is no mount namespace: a container reaches its volumes by rewritten paths (see `rewriting`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lab.kube.objects import KubeObject
from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.kubelet.atomic import write_directory
from lab.localkube.kubelet.places import mounted, prepare_host_path
from lab.localkube.kubelet.podfields import MissingReference, PodPlace
from lab.localkube.kubelet.volume_files import ApiAccess, VolumeFiles
from lab.localkube.protocols import Registry

CLAIMS = builtin("PersistentVolumeClaim")
VOLUMES = builtin("PersistentVolume")
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME = "kube-api-access"


class PodVolumes:
    """The volumes of one pod below `directory`."""

    def __init__(
        self, registry: Registry, pod: KubeObject, directory: Path, place: PodPlace, access: ApiAccess
    ) -> None:
        self._registry = registry
        self.pod = pod
        self._directory = directory
        self._access = access
        self._files = VolumeFiles(registry, place, access)

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
        """Create the volumes, or bring their files up to date. Raises MissingReference that names one."""
        if renew_token:
            self._files.forget_tokens()
        self._directory.mkdir(parents=True, exist_ok=True)
        for volume in self.pod["spec"].get("volumes") or ():
            try:
                self._sync_volume(volume)
            except (MissingReference, OSError, StatusError) as error:
                name = volume["name"]
                raise MissingReference(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
        if self._implied_token():
            write_directory(self._directory / TOKEN_VOLUME, self._files.account(self.pod), 0o700)
        if self.token_mounted():
            self._write_kubeconfig()

    def _sync_volume(self, volume: KubeObject) -> None:
        target, files, pod = self.directory_of(volume), self._files, self.pod
        if "hostPath" in volume:
            prepare_host_path(volume["hostPath"])
        elif "persistentVolumeClaim" in volume:
            target.mkdir(parents=True, exist_ok=True)
        elif "configMap" in volume:
            write_directory(target, files.config_map(pod, volume["configMap"]))
        elif "secret" in volume:
            write_directory(target, files.secret(pod, volume["secret"]), 0o700)
        elif "downwardAPI" in volume:
            write_directory(target, files.downward(pod, volume["downwardAPI"]))
        elif "projected" in volume:
            write_directory(target, files.projected(pod, volume["projected"]), 0o700)
        elif "emptyDir" in volume or not (volume.keys() - {"name"}):
            target.mkdir(parents=True, exist_ok=True)
            target.chmod(0o777)
        else:
            kind = next(iter(volume.keys() - {"name"}))
            raise MissingReference(f"{kind} is not supported on this node")

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
        _private(token_file, self._files.token(self.pod))
        _private(ca_file, self._access.ca)
        _private(self.kubeconfig, kubeconfig(self._access.server, ca_file, token_file, self._namespace))

    def mounts(self, container: KubeObject, env: Mapping[str, str]) -> dict[str, Path]:
        """mountPath to real directory or file; `env` is for subPathExpr. Raises MissingReference."""
        volumes = {volume["name"]: volume for volume in self.pod["spec"].get("volumes") or ()}
        found = {}
        for mount in container.get("volumeMounts") or ():
            name = container["name"]
            if mount["name"] not in volumes:
                raise MissingReference(
                    f'cannot find volume "{mount["name"]}" to mount into container "{name}"'
                )
            real = self.directory_of(volumes[mount["name"]])
            found[mount["mountPath"]] = mounted(real, mount, name, env)
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
