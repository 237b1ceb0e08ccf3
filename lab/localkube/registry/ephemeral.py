"""The ephemeralcontainers subresource: containers that join a running pod to look at it.

Source: k8s.io/kubernetes/pkg/registry/core/pod and ValidatePodEphemeralContainersUpdate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.kube.objects import KubeObject, name_of
from lab.kube.status import invalid
from lab.localkube.registry.decoding import thaw
from lab.localkube.registry.defaults.pods import default_pod
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.pods import check_ephemeral_container

_PATH = "spec.ephemeralContainers"


def take_ephemeral_containers(old: KubeObject, new: KubeObject) -> KubeObject:
    """The old pod with the new one's ephemeral containers: some are added or none. Raises StatusError 422."""
    result: dict[str, Any] = {**thaw(old), "metadata": {**old["metadata"]}}
    if new["metadata"].get("managedFields"):
        result["metadata"]["managedFields"] = new["metadata"]["managedFields"]
    given: list[KubeObject] = [
        thaw(each) for each in (new.get("spec") or {}).get("ephemeralContainers") or ()
    ]
    if given:
        result["spec"]["ephemeralContainers"] = given
    else:
        result["spec"].pop("ephemeralContainers", None)
    default_pod(result)
    causes = Causes()
    _check_kept((old.get("spec") or {}).get("ephemeralContainers") or (), given, causes)
    spec: KubeObject = result["spec"]
    names: set[str] = set()
    others = {each["name"] for each in (*spec["containers"], *(spec.get("initContainers") or ()))}
    volumes = {volume["name"] for volume in spec.get("volumes") or ()}
    for index, container in enumerate(given):
        at, name = f"{_PATH}[{index}]", container.get("name", "")
        check_ephemeral_container(container, at, volumes, causes)
        if name in others | names:
            causes.duplicate(f"{at}.name", name)
        names.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            causes.not_found(f"{at}.targetContainerName", target)
    if causes.found:
        raise invalid("Pod", "", name_of(old), causes.found)
    return result


def _check_kept(before: Sequence[KubeObject], after: Sequence[KubeObject], causes: Causes) -> None:
    present = {container.get("name"): container for container in after}
    for container in before:
        kept = present.get(container["name"])
        what = "removed" if kept is None else "changed"
        if kept is None or thaw(kept) != thaw(container):
            causes.forbidden(
                _PATH, f'existing ephemeral containers "{container["name"]}" may not be {what}\n'
            )
