"""What is laid around a lab in a cluster that is not its own: quotas, limits, network policies, Pod Security.

The objects are in `clusters/boundaries`.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.kube.objects import KubeObject, name_of

POD_SECURITY = {"pod-security.kubernetes.io/enforce": "restricted"}
"""Label of a namespace in which only pods run that ask for nothing special."""

_OF_NODES = "toil-lab-faults"
"""The right to look at nodes and to cordon them, for faults of whole nodes."""


def bounded(manifests: Iterable[KubeObject], boundaries: Iterable[KubeObject]) -> list[KubeObject]:
    """The manifests of a lab whose nodes are other people's too: its namespaces refuse pods that could harm
    a node, no fault may touch one, and the boundaries are among them."""
    made = list(manifests)
    for manifest in made:
        if manifest["kind"] == "Namespace":
            manifest["metadata"].setdefault("labels", {}).update(POD_SECURITY)
        elif manifest["kind"] == "ClusterRole" and name_of(manifest) == _OF_NODES:
            for rule in manifest["rules"]:
                rule["verbs"] = [verb for verb in rule["verbs"] if verb in ("get", "list")]
    return [*made, *boundaries]
