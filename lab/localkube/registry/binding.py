"""The binding subresource: a pod gets its node.

Source: k8s.io/kubernetes/pkg/registry/core/pod/storage/storage.go (assignPod).
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.kube.status import conflict
from lab.localkube.protocols import AdmissionRequest, WriteOptions
from lab.localkube.registry.core import Core
from lab.localkube.registry.decoding import thaw
from lab.localkube.registry.served import PODS


def bind_pod(
    core: Core, namespace: str, name: str, node: str, options: WriteOptions, metadata: KubeObject
) -> None:
    """Assign a pod to a node and say so in its conditions; labels and annotations come along.

    Raises StatusError 404 or 409, and what an admission policy refuses with.
    """
    core.policies.admit(_request(namespace, name, node, options))
    pod = thaw(core.need(PODS, namespace, name))
    if pod["metadata"].get("deletionTimestamp"):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
        raise conflict("pods/binding", "", name, why)
    if pod["spec"].get("nodeName"):
        why = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        raise conflict("pods/binding", "", name, why)
    pod["spec"]["nodeName"] = node
    for field in ("labels", "annotations"):
        if metadata.get(field):
            pod["metadata"][field] = (pod["metadata"].get(field) or {}) | metadata[field]
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    conditions[:] = [c for c in conditions if c.get("type") != "PodScheduled"]
    conditions.append(
        {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": core.timestamp(),
        }
    )
    core.save(PODS, pod, dry_run=options.dry_run)


def _request(namespace: str, name: str, node: str, options: WriteOptions) -> AdmissionRequest:
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "namespace": namespace},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    kind = ("", "v1", "Binding")
    return AdmissionRequest("CREATE", PODS, namespace, name, "binding", kind, binding, write=options)
