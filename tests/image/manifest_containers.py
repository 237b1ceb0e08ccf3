"""Containers of a Docker engine, each as a Deployment of the lab's manifests says: image, command,
environment, mounted files, user, limits. What a kubelet would do is done here by testcontainers.

A container that listens on loopback is reached by those that share its network.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID
from testcontainers.core.network import Network

from lab.core.places import data_root
from lab.engine.bringup import load_manifests
from lab.kube.objects import KubeObject, name_of, namespace_of

LISTEN = "0.0.0.0"
OWN_IMAGE = "toil-lab"
SESSION = f"{LABEL_SESSION_ID}={SESSION_ID}"
_UNITS = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


class Stage:
    """A network and the containers on it; all of it is gone when it is closed.

    image: what stands for `toil-lab`. folder: where mounted files lie. objects: what `lab up` adds to the
    manifests, of which containers mount and read.
    """

    def __init__(self, image: str, folder: Path, objects: list[KubeObject]) -> None:
        self._image, self._folder = image, folder
        self._objects = {(o["kind"], namespace_of(o), name_of(o)): o for o in objects}
        self._deployments = {
            (namespace_of(m), name_of(m)): m
            for m in load_manifests(data_root() / "clusters" / "base")
            if m["kind"] == "Deployment"
        }
        self._exit = ExitStack()
        testcontainers_config.ryuk_disabled = True  # whoever closes the stage removes everything
        self.network = self._exit.enter_context(Network())
        self._exit.callback(self.network._docker.client.close)

    def close(self) -> None:
        """Remove every container and the network."""
        self._exit.close()

    def left(self) -> list[str]:
        """What is still there of this test run, running or not."""
        client, chosen = self.network._docker.client, {"label": SESSION}
        return [
            *(found.name for found in client.containers.list(all=True, filters=chosen)),
            *(found.name for found in client.networks.list(filters=chosen)),
            *(found.name for found in client.volumes.list(filters=chosen)),
        ]

    def run(self, container: DockerContainer) -> DockerContainer:
        """Start a container; it is removed when the stage is closed."""
        self._exit.callback(container.stop)
        return container.start()

    def of(
        self,
        namespace: str,
        name: str,
        *,
        command: list[str] | None = None,
        network_of: DockerContainer | None = None,
        mounts: dict[str, Path] | None = None,
        env: dict[str, str] | None = None,
    ) -> DockerContainer:
        """The first container of that Deployment, not yet started.

        command: instead of its own. network_of: whose network it shares, instead of one of its own under the
        Service's name. mounts, env: what a cluster would add.
        """
        pod = self._deployments[namespace, name]["spec"]["template"]["spec"]
        spec = pod["containers"][0]
        image = self._image if spec["image"] == OWN_IMAGE else spec["image"]
        made = DockerContainer(image).with_command(
            command or [*spec.get("command", ()), *spec.get("args", ())]
        )
        made.with_envs(**dict(self._variables(namespace, name, spec)), **(env or {}))
        security = pod["securityContext"] | spec.get("securityContext", {})
        memory = bytes_of(spec["resources"]["limits"]["memory"])
        made.with_kwargs(
            user=f"{security['runAsUser']}:{security['runAsGroup']}",
            read_only=security["readOnlyRootFilesystem"],
            cap_drop=security["capabilities"]["drop"],
            security_opt=["no-new-privileges:true"],
            mem_limit=memory,
            memswap_limit=memory,
            pids_limit=200,
            **({"network_mode": f"container:{network_of.get_container_id()}"} if network_of else {}),
        )
        for mount in spec.get("volumeMounts", ()):
            self._mount(made, namespace, pod, mount, security)
        for path, source in (mounts or {}).items():
            made.with_volume_mapping(source, path)
        if network_of is None:
            made.with_network(self.network).with_network_aliases(name, f"{name}.{namespace}.svc")
        return made

    def bare(self, image: str, command: list[str], *, alias: str, mounts: dict[str, Path]) -> DockerContainer:
        """A container that no manifest has, as confined as the others; it may write below /data."""
        made = DockerContainer(image).with_command(command).with_network(self.network)
        made.with_network_aliases(alias).with_tmpfs_mount("/data", "size=64m,uid=65532,gid=65532,mode=0770")
        made.with_kwargs(
            user="65532:65532",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            mem_limit="512m",
            memswap_limit="512m",
        )
        for path, source in mounts.items():
            made.with_volume_mapping(source, path)
        return made

    def added(self, kind: str, name: str) -> list[KubeObject]:
        """The objects of that name among those that `lab up` adds."""
        return [obj for (of, _, called), obj in self._objects.items() if (of, called) == (kind, name)]

    def replace(self, namespace: str, name: str, data: dict[str, str]) -> None:
        """Give a ConfigMap or a Secret of theirs other contents."""
        for kind in ("ConfigMap", "Secret"):
            found = self._objects.get((kind, namespace, name))
            if found is not None:
                encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
                found["data"] = encoded if kind == "Secret" else data

    def _variables(self, namespace: str, name: str, spec: KubeObject) -> Iterator[tuple[str, str]]:
        for source in spec.get("envFrom", ()):
            if "configMapRef" in source:
                yield from self._objects["ConfigMap", namespace, source["configMapRef"]["name"]][
                    "data"
                ].items()
        facts = {"metadata.name": f"{name}-0", "metadata.namespace": namespace, "status.podIP": LISTEN}
        for variable in spec.get("env", ()):
            origin = variable.get("valueFrom", {})
            if "fieldRef" in origin:
                yield variable["name"], facts[origin["fieldRef"]["fieldPath"]]
            elif "secretKeyRef" in origin:
                found = self.secret(namespace, origin["secretKeyRef"]["name"])
                if origin["secretKeyRef"]["key"] in found:
                    yield variable["name"], found[origin["secretKeyRef"]["key"]]
            else:
                yield variable["name"], variable["value"]

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """A Secret's values; none when there is no such Secret."""
        found = self._objects.get(("Secret", namespace, name), {})
        return {key: base64.b64decode(value).decode() for key, value in found.get("data", {}).items()}

    def _mount(
        self, made: DockerContainer, namespace: str, pod: KubeObject, mount: KubeObject, security: KubeObject
    ) -> None:
        volume = next(v for v in pod["volumes"] if v["name"] == mount["name"])
        if "emptyDir" in volume:
            owner = f"uid={security['runAsUser']},gid={security['runAsGroup']},mode=0770"
            made.with_tmpfs_mount(mount["mountPath"], f"size=64m,{owner}")
            return
        if "secret" in volume:
            files = self.secret(namespace, volume["secret"]["secretName"])
        else:
            files = self._objects["ConfigMap", namespace, volume["configMap"]["name"]].get("data", {})
        made.with_volume_mapping(self.files(f"{namespace}-{mount['name']}", files), mount["mountPath"])

    def files(self, name: str, files: dict[str, str]) -> Path:
        """A folder of files that every user of a container may read."""
        folder = self._folder / name
        folder.mkdir()
        for key, text in files.items():
            (folder / key).write_text(text)
            (folder / key).chmod(0o444)
        folder.chmod(0o755)
        return folder


def bytes_of(quantity: str) -> int:
    """`192Mi` in bytes."""
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


def state(container: DockerContainer) -> dict[str, Any]:
    """The engine's `State` of a container."""
    wrapped = container.get_wrapped_container()
    wrapped.reload()
    return dict(wrapped.attrs["State"])


def said(container: DockerContainer) -> str:
    """All that a container has said so far."""
    return "".join(part.decode(errors="replace") for part in container.get_logs())
