"""Workload controllers: apps, batch and policy.

Source: k8s.io/kubernetes/pkg/apis/{apps,batch,policy}/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Collection

from lab.kube.objects import KubeObject, labels_of
from lab.kube.selectors import SelectorError, label_selector_from
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.metadata import check_expressions, check_labels
from lab.localkube.registry.validation.numbers import check_count_or_percent, check_not_negative, is_zero
from lab.localkube.registry.validation.pods import check_pod_spec

_IMMUTABLE = "field is immutable"
_STATEFULSET_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFULSET_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def _check_template_spec(spec: KubeObject, path: str, causes: Causes) -> None:
    check_pod_spec(spec, path, causes)
    if spec.get("ephemeralContainers"):
        causes.forbidden(f"{path}.ephemeralContainers", "ephemeral containers not allowed in pod template")


def _check_template(obj: KubeObject, kind: str, policies: Collection[str], causes: Causes) -> None:
    """Selector, template and that they fit; a controller's pods have one of the restart policies."""
    spec = obj.get("spec") or {}
    template = spec.get("template") or {}
    labels = labels_of(template)
    selector = spec.get("selector")
    for field in ("replicas", "minReadySeconds"):
        check_not_negative(spec.get(field), f"spec.{field}", causes)
    if selector is None:
        causes.required("spec.selector")
        matches = False
    else:
        matches = _check_selector(selector, kind, labels, causes)
    if not matches:
        why = "`selector` does not match template `labels`"
        causes.invalid("spec.template.metadata.labels", labels or None, why)
    check_labels(labels, "spec.template.labels", causes)
    _check_template_spec(template.get("spec") or {}, "spec.template.spec", causes)
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy not in policies:
        causes.unsupported("spec.template.spec.restartPolicy", policy, policies)
    if kind in ("deployment", "replicaset"):
        _refuse_deadline(obj, "ReplicaSet", causes)
    check_not_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit", causes)


def _check_selector(selector: KubeObject, kind: str, labels: dict[str, str], causes: Causes) -> bool:
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
    check_expressions(selector, "spec.selector", causes)
    try:
        return label_selector_from(selector).matches(labels)
    except (SelectorError, KeyError):
        causes.invalid("spec.selector", selector, "invalid label selector")
        return True  # nobody can say


def check_pod_template(obj: KubeObject, causes: Causes) -> None:
    """A PodTemplate."""
    template = obj.get("template") or {}
    check_labels(labels_of(template), "template.labels", causes)
    _check_template_spec(template.get("spec") or {}, "template.spec", causes)


def check_replication_controller(obj: KubeObject, causes: Causes) -> None:
    """A ReplicationController, whose selector is a plain map."""
    spec = obj.get("spec") or {}
    selector, template = spec.get("selector"), spec.get("template")
    for field in ("minReadySeconds", "replicas"):
        check_not_negative(spec.get(field), f"spec.{field}", causes)
    if not selector:
        causes.required("spec.selector")
    if template is None:
        causes.required("spec.template")
        return
    labels, pod = labels_of(template), template.get("spec") or {}
    if selector and not selector.items() <= labels.items():
        why = "`selector` does not match template `labels`"
        causes.invalid("spec.template.metadata.labels", labels or None, why)
    check_labels(labels, "spec.template.labels", causes)
    _check_template_spec(pod, "spec.template.spec", causes)
    if pod.get("restartPolicy") != "Always":
        causes.unsupported("spec.template.spec.restartPolicy", pod.get("restartPolicy"), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        path = "spec.template.spec.activeDeadlineSeconds"
        causes.forbidden(path, "activeDeadlineSeconds in ReplicationController is not Supported")


def check_deployment(obj: KubeObject, causes: Causes) -> None:
    """A Deployment."""
    _check_template(obj, "deployment", ("Always",), causes)
    spec = obj["spec"]
    strategy = spec.get("strategy") or {}
    rolling = strategy.get("rollingUpdate")
    path = "spec.strategy.rollingUpdate"
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        causes.unsupported("spec.strategy.type", strategy.get("type"), ("Recreate", "RollingUpdate"))
    elif strategy["type"] == "Recreate" and rolling is not None:
        causes.forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif rolling is not None:
        for field in ("maxUnavailable", "maxSurge"):
            check_count_or_percent(rolling.get(field), f"{path}.{field}", causes)
        if is_zero(rolling.get("maxUnavailable")) and is_zero(rolling.get("maxSurge")):
            causes.invalid(
                f"{path}.maxUnavailable", rolling.get("maxUnavailable"), "may not be 0 when `maxSurge` is 0"
            )
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= int(spec.get("minReadySeconds") or 0):
        causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def check_replicaset(obj: KubeObject, causes: Causes) -> None:
    """A ReplicaSet."""
    _check_template(obj, "replicaset", ("Always",), causes)


def check_statefulset(obj: KubeObject, causes: Causes) -> None:
    """A StatefulSet."""
    policy = obj["spec"].get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        causes.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    _check_template(_with_claims(obj), "statefulset", ("Always",), causes)
    strategy = obj["spec"].get("updateStrategy") or {}
    rolling, path = strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if strategy.get("type") not in ("RollingUpdate", "OnDelete"):
        causes.invalid("spec.updateStrategy", strategy.get("type"), "must be 'RollingUpdate' or 'OnDelete'")
    elif strategy["type"] == "OnDelete" and rolling is not None:
        causes.invalid(path, rolling, "only allowed for updateStrategy 'RollingUpdate'")
    elif rolling is not None:
        check_not_negative(rolling.get("partition"), f"{path}.partition", causes)
    check_not_negative((obj["spec"].get("ordinals") or {}).get("start"), "spec.ordinals.start", causes)
    retention = obj["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    for field, policy in retention.items():
        if policy not in ("Retain", "Delete"):
            causes.unsupported(
                f"spec.persistentVolumeClaimRetentionPolicy.{field}", policy, ("Retain", "Delete")
            )
    _refuse_deadline(obj, "StatefulSet", causes)


def _with_claims(obj: KubeObject) -> KubeObject:
    """A StatefulSet whose template has the volumes that its claims will be."""
    spec = obj.get("spec") or {}
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    volumes = list(pod.get("volumes") or ())
    names = {volume.get("name") for volume in volumes}
    claims = [(each.get("metadata") or {}).get("name") for each in spec.get("volumeClaimTemplates") or ()]
    volumes += [{"name": name, "emptyDir": {}} for name in claims if name not in names]
    if not claims:
        return obj
    return {**obj, "spec": {**spec, "template": {**template, "spec": {**pod, "volumes": volumes}}}}


def check_daemonset(obj: KubeObject, causes: Causes) -> None:
    """A DaemonSet."""
    _check_template(obj, "daemonset", ("Always",), causes)
    _refuse_deadline(obj, "DaemonSet", causes)
    strategy = obj["spec"].get("updateStrategy") or {}
    rolling, path = strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if strategy.get("type") not in ("RollingUpdate", "OnDelete"):
        causes.unsupported("spec.updateStrategy.type", strategy.get("type"), ("RollingUpdate", "OnDelete"))
    elif rolling is None:
        if strategy["type"] == "RollingUpdate":
            causes.required(path)
    elif strategy["type"] == "RollingUpdate":
        for field in ("maxUnavailable", "maxSurge"):
            check_count_or_percent(rolling.get(field), f"{path}.{field}", causes)
        unavailable, surge = (not is_zero(rolling.get(field)) for field in ("maxUnavailable", "maxSurge"))
        if unavailable and surge:
            why = "may not be set when maxUnavailable is non-zero"
            causes.invalid(f"{path}.maxSurge", rolling["maxSurge"], why)
        elif not unavailable and not surge:
            causes.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _refuse_deadline(obj: KubeObject, kind: str, causes: Causes) -> None:
    """Pods that are to run for ever have no deadline."""
    if obj["spec"]["template"]["spec"].get("activeDeadlineSeconds") is not None:
        path = "spec.template.spec.activeDeadlineSeconds"
        causes.forbidden(path, f"activeDeadlineSeconds in {kind} is not Supported")


def _check_job_spec(spec: KubeObject, path: str, causes: Causes) -> None:
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    for field in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ):
        check_not_negative(spec.get(field), f"{path}.{field}", causes)
    check_labels(labels_of(template), f"{path}.template.labels", causes)
    _check_template_spec(pod, f"{path}.template.spec", causes)
    if pod.get("restartPolicy", "Always") == "Always":
        causes.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


def check_job(obj: KubeObject, causes: Causes) -> None:
    """A Job."""
    _check_job_spec(obj.get("spec") or {}, "spec", causes)


def check_cronjob(obj: KubeObject, causes: Causes) -> None:
    """A CronJob."""
    spec = obj.get("spec") or {}
    schedule = spec.get("schedule", "")
    if not schedule:
        causes.required("spec.schedule")
    elif not schedule.startswith("@") and len(schedule.split()) != 5:
        found = schedule.split()
        causes.invalid(
            "spec.schedule",
            schedule,
            f"expected exactly 5 fields, found {len(found)}: [{' '.join(found)}]",
        )
    policy = spec.get("concurrencyPolicy")
    if policy not in ("Allow", "Forbid", "Replace"):
        causes.unsupported("spec.concurrencyPolicy", policy, ("Allow", "Forbid", "Replace"))
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        check_not_negative(spec.get(field), f"spec.{field}", causes)
    _check_job_spec((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec", causes)


def check_budget(obj: KubeObject, causes: Causes) -> None:
    """A PodDisruptionBudget."""
    spec = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        causes.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for field in ("minAvailable", "maxUnavailable"):
        if spec.get(field) is not None:
            check_count_or_percent(spec[field], f"spec.{field}", causes)
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy not in (None, "IfHealthyBudget", "AlwaysAllow"):
        causes.unsupported("spec.unhealthyPodEvictionPolicy", policy, ("IfHealthyBudget", "AlwaysAllow"))


def check_selector_kept(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """The selector of a workload cannot change."""
    if (old["spec"].get("selector")) != new["spec"].get("selector"):
        causes.invalid("spec.selector", new["spec"].get("selector"), _IMMUTABLE)


def check_statefulset_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """Most of a StatefulSet's spec cannot change."""
    before, after = (
        {key: value for key, value in obj["spec"].items() if key not in _STATEFULSET_MUTABLE}
        for obj in (old, new)
    )
    if before != after:
        causes.forbidden("spec", _STATEFULSET_FORBIDDEN)


def check_job_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """A Job's template, selector and completions cannot change, unless it is suspended and not started."""
    before, after = old["spec"], new["spec"]
    resting = before.get("suspend") and not (old.get("status") or {}).get("startTime")
    fields = ("selector", "completionMode", "completions") + (() if resting else ("template",))
    for field in fields:
        if before.get(field) != after.get(field):
            causes.invalid(f"spec.{field}", after.get(field), _IMMUTABLE)
