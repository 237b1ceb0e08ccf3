"""Defaults of pods and pod templates.

Source: k8s.io/kubernetes/pkg/apis/core/v1/defaults.go and the always-on admission plugins ServiceAccount,
DefaultTolerationSeconds and Priority.
"""

from __future__ import annotations

from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.quantity import format_quantity, parse_quantity

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECONDS = 3607


def default_pod_spec(spec: KubeObject) -> None:
    """Fill what a pod template's spec leaves out, in place."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            _default_container(container, host_network=bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for constraint in spec.get("topologySpreadConstraints") or ():
        constraint.setdefault("whenUnsatisfiable", "DoNotSchedule")


def default_pod(obj: KubeObject) -> None:
    """Fill what a pod leaves out, in place."""
    spec = obj.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        resources = container.get("resources") or {}
        limits = resources.get("limits")
        if limits:
            resources["requests"] = {**limits, **(resources.get("requests") or {})}


def mount_service_account(obj: KubeObject, suffix: str) -> None:
    """Mount the token of the pod's ServiceAccount in every container that has nothing there, in place."""
    spec = obj["spec"]
    volumes = spec.setdefault("volumes", [])
    name = next(
        (v["name"] for v in volumes if v.get("name", "").startswith("kube-api-access-")),
        f"kube-api-access-{suffix}",
    )
    used = False
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        mounts = container.setdefault("volumeMounts", [])
        if all(mount.get("mountPath") != TOKEN_MOUNT for mount in mounts):
            mounts.append({"mountPath": TOKEN_MOUNT, "name": name, "readOnly": True})
            used = True
    if used and all(volume.get("name") != name for volume in volumes):
        volumes.append({"name": name, "projected": _token_sources()})
    if not volumes:
        del spec["volumes"]


def _token_sources() -> KubeObject:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
            {"downwardAPI": {"items": [{"fieldRef": field, "path": "namespace"}]}},
        ],
    }


def quality_of_service(spec: KubeObject) -> str:
    """Guaranteed, Burstable or BestEffort, from requests and limits of cpu and memory."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    any_set, guaranteed = False, bool(containers)
    for container in containers:
        resources = container.get("resources") or {}
        requests, limits = _compute(resources.get("requests")), _compute(resources.get("limits"))
        any_set = any_set or bool(requests) or bool(limits)
        guaranteed = guaranteed and set(limits) == {"cpu", "memory"} and requests == limits
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _compute(resources: KubeObject | None) -> dict[str, Any]:
    amounts = {name: parse_quantity(amount) for name, amount in (resources or {}).items()}
    return {name: amount for name, amount in amounts.items() if name in ("cpu", "memory") and amount}


def default_by_admission(spec: KubeObject) -> None:
    """Fill what admission fills in and the types do not, in place."""
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"] = "default"
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)


def default_tolerations(spec: KubeObject, seconds: int) -> None:
    """Let a pod stay so many seconds on a node that is lost, unless it says otherwise, in place."""
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(
            have.get("key", "") in ("", key) and have.get("effect", "") in ("", "NoExecute")
            for have in tolerations
        ):
            tolerations.append(
                {
                    "effect": "NoExecute",
                    "key": key,
                    "operator": "Exists",
                    "tolerationSeconds": seconds,
                }
            )


def _pull_policy(image: str) -> str:
    reference = image.rpartition("/")[2]
    untagged = ":" not in reference and "@" not in reference
    return "Always" if untagged or reference.endswith(":latest") else "IfNotPresent"


def _default_container(container: KubeObject, *, host_network: bool) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    resources = container.setdefault("resources", {})
    for field in ("limits", "requests"):
        for name, amount in (resources.get(field) or {}).items():
            resources[field][name] = _canonical(amount)
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if host_network:
            port.setdefault("hostPort", port.get("containerPort"))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if "fieldRef" in source:
            source["fieldRef"].setdefault("apiVersion", "v1")
        if "resourceFieldRef" in source:
            source["resourceFieldRef"].setdefault("divisor", "0")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            _default_probe(container[probe])
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _default_http_get(handler)


def _canonical(amount: Any) -> Any:
    try:
        return format_quantity(amount)
    except ValueError:
        return amount  # validation reports it


def _default_probe(probe: KubeObject) -> None:
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)
    for field, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1)):
        probe[field] = probe[field] or value
    probe["failureThreshold"] = probe["failureThreshold"] or 3
    _default_http_get(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_http_get(handler: KubeObject) -> None:
    if "httpGet" in handler:
        handler["httpGet"].setdefault("path", "/")
        handler["httpGet"].setdefault("scheme", "HTTP")


def _default_volume(volume: KubeObject) -> None:
    if not any(field != "name" for field in volume):
        volume["emptyDir"] = {}
    for field in ("secret", "configMap", "downwardAPI", "projected"):
        if field in volume:
            volume[field].setdefault("defaultMode", 420)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")
