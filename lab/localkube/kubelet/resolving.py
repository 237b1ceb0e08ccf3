"""From a container's specification to what an image's runner needs."""

from __future__ import annotations

from pathlib import Path

from lab.kube.objects import KubeObject
from lab.localkube.images.launch import ContainerInput
from lab.localkube.kubelet.context import PodContext
from lab.localkube.kubelet.environment import container_environment
from lab.localkube.kubelet.podfields import PodPlace
from lab.localkube.kubelet.rewriting import expand, path_rewriter
from lab.localkube.kubelet.volumes import PodVolumes
from lab.localkube.network.names import rewrite_hosts

TERMINATION_LOG = "/dev/termination-log"


def resolve_container(
    context: PodContext, spec: KubeObject, volumes: PodVolumes, place: PodPlace
) -> ContainerInput:
    """Variables expanded, names and paths rewritten, folders made. Raises MissingReference."""
    registry = context.node.registry
    home = context.directory / "containers" / spec["name"]
    home.mkdir(parents=True, exist_ok=True)
    env = container_environment(registry, context.pod, spec, place, context.node.api)
    mounts = volumes.mounts(spec, env)
    message = termination_file(context, spec)
    message.touch()
    paths = path_rewriter(mounts | {spec.get("terminationMessagePath") or TERMINATION_LOG: message})

    def rewrite(text: str) -> str:
        return rewrite_hosts(paths(text), registry, context.node.addresses.keep)

    command = [rewrite(expand(word, env)) for word in spec.get("command") or ()]
    args = [rewrite(expand(word, env)) for word in spec.get("args") or ()]
    env = {name: rewrite(value) for name, value in env.items()}
    env.setdefault("HOSTNAME", context.pod["spec"].get("hostname") or context.pod["metadata"]["name"])
    token = volumes.token_mounted(spec)
    if token:
        env.setdefault("KUBECONFIG", str(volumes.kubeconfig))
    return ContainerInput(
        image=spec["image"],
        command=command,
        args=args,
        env=env,
        cwd=str(_working_directory(spec, home, paths(spec.get("workingDir") or ""))),
        pod_ip=place.pod_ip,
        directory=home,
        mounts=mounts,
        kubeconfig=volumes.kubeconfig if token else None,
        rewrite=rewrite,
    )


def termination_file(context: PodContext, spec: KubeObject) -> Path:
    """Where the container leaves its termination message."""
    return context.directory / "containers" / f"{spec['name']}.termination"


def _working_directory(spec: KubeObject, home: Path, real: str) -> Path:
    """The mounted directory it names; else one inside the container's own folder, as there is no image."""
    wanted = spec.get("workingDir") or ""
    if real != wanted:
        return Path(real)
    directory = home / wanted.lstrip("/")
    if not directory.resolve().is_relative_to(home.resolve()):
        return home
    directory.mkdir(parents=True, exist_ok=True)
    return directory
