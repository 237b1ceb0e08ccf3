"""Pods and pod templates.

Source: k8s.io/kubernetes/pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Collection

from lab.kube.objects import KubeObject
from lab.localkube.registry.names import label_problem, port_name_problem, subdomain_problem
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.environment import check_environment
from lab.localkube.registry.validation.numbers import (
    PROTOCOLS,
    check_not_negative,
    check_port,
    check_port_or_name,
    check_quantity,
)
from lab.localkube.registry.validation.placement import check_placement
from lab.localkube.registry.validation.probes import check_action, check_probe_grace, check_role
from lab.localkube.registry.validation.tolerations import check_tolerations
from lab.localkube.registry.validation.volumes import check_mount_paths, check_volume_paths

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_NAMES = {
    "serviceAccountName": subdomain_problem,
    "nodeName": subdomain_problem,
    "hostname": label_problem,
    "subdomain": label_problem,
}
_REFERENCES = {"secret": "secretName", "configMap": "name", "persistentVolumeClaim": "claimName"}
_OF_CONTAINERS = ("cpu", "memory", "ephemeral-storage")
_NOT_EPHEMERAL = (
    *("ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"),
    *("resizePolicy", "restartPolicy", "restartPolicyRules"),
)
_EPHEMERAL = "cannot be set for an Ephemeral Container"
_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
    "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)


def check_pod(obj: KubeObject, causes: Causes) -> None:
    """A Pod."""
    check_pod_spec(obj.get("spec") or {}, "spec", causes)


def check_new_pod(obj: KubeObject, causes: Causes) -> None:
    """A Pod that is created."""
    if (obj.get("spec") or {}).get("ephemeralContainers"):
        causes.forbidden("spec.ephemeralContainers", "cannot be set on create")


def check_pod_spec(spec: KubeObject, path: str, causes: Causes) -> None:
    """The spec of a pod or of a template."""
    volumes = _check_volumes(spec.get("volumes") or (), f"{path}.volumes", causes)
    if not spec.get("containers"):
        causes.required(f"{path}.containers")
    seen: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            at = f"{path}.{field}[{index}]"
            _check_container(container, at, volumes, causes)
            check_role(container, field, spec, at, causes)
            name = container.get("name", "")
            if name and name in seen:
                causes.duplicate(f"{at}.name", name)
            seen.add(name)
    _check_enumeration(spec, "restartPolicy", _RESTART_POLICIES, path, causes)
    _check_enumeration(spec, "dnsPolicy", _DNS_POLICIES, path, causes)
    check_not_negative(
        spec.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds", causes
    )
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        causes.invalid(
            f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive"
        )
    _check_identity(spec.get("securityContext") or {}, f"{path}.securityContext", causes)
    check_placement(spec, path, causes)
    check_tolerations(spec.get("tolerations") or (), f"{path}.tolerations", causes)
    for field, problem_of in _NAMES.items():
        problem = problem_of(spec[field]) if spec.get(field) else ""
        if problem:
            causes.invalid(f"{path}.{field}", spec[field], problem)


def _check_enumeration(
    holder: KubeObject, field: str, supported: Collection[str], path: str, causes: Causes
) -> None:
    value = holder.get(field)
    if value is not None and value not in supported:
        causes.unsupported(f"{path}.{field}", value, supported, ordered=True)


def _check_volumes(volumes: Collection[KubeObject], path: str, causes: Causes) -> set[str]:
    """The names of those that are valid; what mounts another does not find it."""
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        name, at, before = volume.get("name", ""), f"{path}[{index}]", len(causes.found)
        _check_source(volume, at, causes)
        problem = label_problem(name) if name else ""
        if not name:
            causes.required(f"{at}.name")
        elif problem:
            causes.invalid(f"{at}.name", name, problem)
        elif name in names:
            causes.duplicate(f"{at}.name", name)
        if len(causes.found) == before:
            names.add(name)
    return names


def _check_source(volume: KubeObject, path: str, causes: Causes) -> None:
    for source, field in _REFERENCES.items():
        if source in volume and not volume[source].get(field):
            causes.required(f"{path}.{source}.{field}")
    for extra in [field for field in volume if field != "name"][1:]:
        causes.forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")
    check_volume_paths(volume, path, causes)
    size = (volume.get("emptyDir") or {}).get("sizeLimit")
    if size is not None:
        check_quantity(size, f"{path}.emptyDir.sizeLimit", causes)


def _check_container(container: KubeObject, path: str, volumes: set[str], causes: Causes) -> None:
    name = container.get("name", "")
    problem = label_problem(name) if name else ""
    if not name:
        causes.required(f"{path}.name")
    elif problem:
        causes.invalid(f"{path}.name", name, problem)
    image = container.get("image", "")
    if not image:
        causes.required(f"{path}.image")
    elif image != image.strip():
        causes.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    _check_enumeration(container, "terminationMessagePolicy", _MESSAGE_POLICIES, path, causes)
    _check_ports(container.get("ports") or (), f"{path}.ports", causes)
    check_environment(container, path, causes)
    _check_mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", volumes, causes)
    _check_enumeration(container, "imagePullPolicy", _PULL_POLICIES, path, causes)
    _check_identity(container.get("securityContext") or {}, f"{path}.securityContext", causes)
    _check_resources(container.get("resources") or {}, f"{path}.resources", causes)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            _check_probe(container[probe], f"{path}.{probe}", probe != "readinessProbe", causes)
    for hook in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(hook)
        if handler is not None:
            _check_handler(handler, f"{path}.lifecycle.{hook}", (*_HANDLERS, "sleep"), causes)


def check_ephemeral_container(container: KubeObject, path: str, volumes: set[str], causes: Causes) -> None:
    """One of a pod's ephemeral containers: it serves nobody, and nothing is promised to it."""
    _check_container(container, path, volumes, causes)
    for field in _NOT_EPHEMERAL:
        if container.get(field):
            causes.forbidden(f"{path}.{field}", _EPHEMERAL)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                causes.forbidden(f"{path}.volumeMounts[{index}].{field}", _EPHEMERAL)


def _check_identity(context: KubeObject, path: str, causes: Causes) -> None:
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        if context.get(field) is not None and not 0 <= context[field] < 1 << 31:
            causes.invalid(f"{path}.{field}", context[field], "must be between 0 and 2147483647, inclusive")


def _check_ports(ports: Collection[KubeObject], path: str, causes: Causes) -> None:
    names: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"{path}[{index}]", port.get("name")
        problem = port_name_problem(name) if name else ""
        if problem:
            causes.invalid(f"{at}.name", name, problem)
        elif name and name in names:
            causes.duplicate(f"{at}.name", name)
        names.add(name or "")
        if not port.get("containerPort"):
            causes.required(f"{at}.containerPort")
        else:
            check_port(port["containerPort"], f"{at}.containerPort", causes)
        if port.get("hostPort"):
            check_port(port["hostPort"], f"{at}.hostPort", causes)
        _check_enumeration(port, "protocol", PROTOCOLS, at, causes)


def _check_mounts(mounts: Collection[KubeObject], path: str, volumes: set[str], causes: Causes) -> None:
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        at, name, where = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            causes.required(f"{at}.name")
        if name not in volumes:
            causes.not_found(f"{at}.name", name)
        if not where:
            causes.required(f"{at}.mountPath")
        elif where in paths:
            causes.invalid(f"{at}.mountPath", where, "must be unique")
        paths.add(where)
        check_mount_paths(mount, path, index, causes)


def _check_resources(resources: KubeObject, path: str, causes: Causes) -> None:
    for part in ("limits", "requests"):
        for name in resources.get(part) or {}:
            if "/" not in name and name not in _OF_CONTAINERS and not name.startswith("hugepages-"):
                at = f"{path}.{part}[{name}]"
                causes.invalid(at, name, "must be a standard resource type or fully qualified")
                causes.invalid(at, name, "must be a standard resource for containers")
    limits = {
        name: check_quantity(amount, f"{path}.limits[{name}]", causes)
        for name, amount in (resources.get("limits") or {}).items()
    }
    for name, amount in (resources.get("requests") or {}).items():
        wanted = check_quantity(amount, f"{path}.requests[{name}]", causes)
        limit = limits.get(name)
        if wanted is not None and limit is not None and wanted > limit:
            shown = resources["limits"][name]
            causes.invalid(
                f"{path}.requests", str(amount), f"must be less than or equal to {name} limit of {shown}"
            )


def _check_probe(probe: KubeObject, path: str, once: bool, causes: Causes) -> None:
    _check_handler(probe, path, _HANDLERS, causes)
    check_probe_grace(probe, path, once, causes)
    for field in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        check_not_negative(probe.get(field), f"{path}.{field}", causes)
    if once and probe.get("successThreshold", 1) != 1:
        causes.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _check_handler(handler: KubeObject, path: str, kinds: Collection[str], causes: Causes) -> None:
    given = [kind for kind in kinds if kind in handler]
    if not given:
        causes.required(path, "must specify a handler type")
    for extra in given[1:]:
        causes.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    check_action(handler, path, causes)
    if "exec" in given and not handler["exec"].get("command"):
        causes.required(f"{path}.exec.command")
    for kind in ("httpGet", "tcpSocket"):
        if kind in given:
            check_port_or_name(handler[kind].get("port"), f"{path}.{kind}.port", causes)


def check_pod_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """A pod's spec stays as it is but for images, deadline and added tolerations."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if before == after:
        return
    if [c.get("name") for c in before.get("containers") or ()] != [
        c.get("name") for c in after.get("containers") or ()
    ]:
        causes.forbidden("spec.containers", "pod updates may not add or remove containers")
        return
    kept = all(
        toleration in (after.get("tolerations") or ()) for toleration in before.get("tolerations") or ()
    )
    if not kept or _fixed(before) != _fixed(after):
        causes.forbidden("spec", _MUTABLE)


def _fixed(spec: KubeObject) -> KubeObject:
    changeable = ("tolerations", "activeDeadlineSeconds", "containers", "initContainers", "schedulingGates")
    rest = {key: value for key, value in spec.items() if key not in changeable}
    for field in ("containers", "initContainers"):
        rest[field] = [
            {key: value for key, value in container.items() if key != "image"}
            for container in spec.get(field) or ()
        ]
    return rest
