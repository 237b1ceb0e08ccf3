"""Defaults of the workload controllers: apps, batch and policy.

Source: k8s.io/kubernetes/pkg/apis/{apps,batch,policy}/*/defaults.go.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.localkube.registry.defaults.pods import default_pod_spec

_LEGACY_JOB_NAME = "job-name"
_LEGACY_CONTROLLER_UID = "controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"


def _template(spec: KubeObject) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def default_deployment(obj: KubeObject) -> None:
    """Replicas 1, RollingUpdate 25 % / 25 %, ten old revisions, ten minutes of progress deadline."""
    spec = obj.setdefault("spec", {})
    _template(spec)
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def default_replicaset(obj: KubeObject) -> None:
    """Replicas 1."""
    spec = obj.setdefault("spec", {})
    _template(spec)
    spec.setdefault("replicas", 1)


def default_replication_controller(obj: KubeObject) -> None:
    """Replicas 1; selector and labels from the template's labels."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    if spec.get("template") is None:
        return
    _template(spec)
    labels = spec["template"]["metadata"].get("labels")
    if labels:
        obj["spec"].setdefault("selector", dict(labels))
        obj["metadata"].setdefault("labels", dict(labels))


def default_statefulset(obj: KubeObject) -> None:
    """Replicas 1, ordered, RollingUpdate from ordinal 0, claims retained."""
    spec = obj.setdefault("spec", {})
    _template(spec)
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {}).setdefault("phase", "Pending")


def default_daemonset(obj: KubeObject) -> None:
    """RollingUpdate, one unavailable, no surge."""
    spec = obj.setdefault("spec", {})
    _template(spec)
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)


def _default_job_spec(spec: KubeObject) -> None:
    _template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    if spec.get("backoffLimitPerIndex") is None:
        spec.setdefault("backoffLimit", 6)
    spec.setdefault(
        "podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    )
    spec.setdefault("manualSelector", False)


def default_job(obj: KubeObject) -> None:
    """One completion, parallelism 1, six retries."""
    _default_job_spec(obj.setdefault("spec", {}))


def select_own_pods(obj: KubeObject) -> None:
    """Give a new Job the selector and template labels that its uid makes unique; needs name and uid.

    A Job without labels gets its template's, as upstream shows it.
    """
    spec, metadata = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    spec["selector"] = {"matchLabels": {CONTROLLER_UID: metadata["uid"]}}
    labels = spec["template"]["metadata"].setdefault("labels", {})
    labels[_LEGACY_CONTROLLER_UID] = labels[CONTROLLER_UID] = metadata["uid"]
    labels[_LEGACY_JOB_NAME] = labels[JOB_NAME] = metadata["name"]
    if not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def default_cronjob(obj: KubeObject) -> None:
    """Concurrency allowed, three successful and one failed job kept."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    job = template.setdefault("spec", {})
    _template(job)
