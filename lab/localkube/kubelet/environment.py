"""A container's variables: services, envFrom, env, in that order, as upstream's kubelet makes them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from lab.kube.objects import KubeObject, name_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.kubelet.podfields import MissingReference, PodPlace, field_value, resource_value
from lab.localkube.kubelet.rewriting import expand
from lab.localkube.protocols import Registry

CONFIG_MAPS = builtin("ConfigMap")
SECRETS = builtin("Secret")
SERVICES = builtin("Service")


def container_environment(
    registry: Registry, pod: KubeObject, container: KubeObject, place: PodPlace, api: tuple[str, str]
) -> dict[str, str]:
    """All variables that the pod's specification gives a container; `api` is the API server's host and port.

    Raises MissingReference when one refers to what is not there.
    """
    namespace = pod["metadata"]["namespace"]
    env = dict(_api_variables(*api))
    if pod["spec"].get("enableServiceLinks", True):
        for service in registry.list(SERVICES, namespace).items:
            env.update(service_variables(service))
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        for resource, key in ((CONFIG_MAPS, "configMapRef"), (SECRETS, "secretRef")):
            if key in source:
                data = read_data(registry, resource, namespace, source[key], binary=False) or {}
                named = {prefix + name: _text(value, name) for name, value in data.items()}
                env.update({name: value for name, value in named.items() if name and "=" not in name})
    for item in container.get("env") or ():
        value = _value(registry, pod, container, place, item, env)
        if value is not None:
            env[item["name"]] = value
    return env


def _value(
    registry: Registry,
    pod: KubeObject,
    container: KubeObject,
    place: PodPlace,
    item: dict[str, Any],
    known: dict[str, str],
) -> str | None:
    source = item.get("valueFrom")
    if not source:
        return expand(str(item.get("value") or ""), known)
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"], place)
    if "resourceFieldRef" in source:
        ref = source["resourceFieldRef"]
        return resource_value(container, ref["resource"], str(ref.get("divisor") or ""), place)
    for resource, key in ((CONFIG_MAPS, "configMapKeyRef"), (SECRETS, "secretKeyRef")):
        if key in source:
            ref = source[key]
            data = read_data(registry, resource, pod["metadata"]["namespace"], ref, binary=False)
            if data is not None and ref["key"] in data:
                return _text(data[ref["key"]], ref["key"])
            if ref.get("optional"):
                return None
            where = f"{pod['metadata']['namespace']}/{ref.get('name', '')}"
            raise MissingReference(f"couldn't find key {ref['key']} in {resource.kind} {where}")
    raise MissingReference(f"env {item['name']}: unknown valueFrom")


def read_data(
    registry: Registry, resource: Resource, namespace: str, ref: dict[str, Any], *, binary: bool = True
) -> dict[str, bytes] | None:
    """A ConfigMap's or Secret's data as bytes; None when it is absent and `ref` says optional.

    binary: with a ConfigMap's binaryData, which files have and variables have not. Raises MissingReference.
    """
    name = ref.get("name") or ref.get("secretName") or ""
    try:
        obj = registry.get(resource, namespace, name)
    except StatusError as error:
        if error.code == 404 and ref.get("optional"):
            return None
        raise MissingReference(f'{resource.singular} "{name}" not found') from error
    plain = obj.get("data") or {}
    if resource is SECRETS:
        return {key: base64.b64decode(value or "") for key, value in plain.items()}
    data = {key: value.encode() for key, value in plain.items()}
    if not binary:
        return data
    return data | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}


def _text(value: bytes, name: str) -> str:
    text = value.decode(errors="surrogateescape")
    if "\0" in text:
        raise MissingReference(f"{name} holds a NUL byte and cannot be a variable")
    return text


def _api_variables(host: str, port: str) -> Iterator[tuple[str, str]]:
    yield "KUBERNETES_SERVICE_HOST", host
    yield "KUBERNETES_SERVICE_PORT", port
    yield "KUBERNETES_SERVICE_PORT_HTTPS", port


def service_variables(service: KubeObject) -> dict[str, str]:
    """`DB_SERVICE_HOST`, `DB_SERVICE_PORT`, `DB_PORT_5432_TCP_ADDR` ... of a Service with a cluster IP."""
    spec = service.get("spec") or {}
    address = spec.get("clusterIP")
    ports = spec.get("ports") or []
    if not address or address == "None" or not ports or spec.get("type") == "ExternalName":
        return {}
    name = name_of(service).upper().replace("-", "_")
    env = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
    for index, port in enumerate(ports):
        protocol, number = str(port.get("protocol") or "TCP"), str(port["port"])
        if port.get("name"):
            env[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = number
        url = f"{protocol.lower()}://{address}:{number}"
        if index == 0:
            env[f"{name}_PORT"] = url
        prefix = f"{name}_PORT_{number}_{protocol}"
        env |= {prefix: url, f"{prefix}_PROTO": protocol.lower(), f"{prefix}_PORT": number}
        env[f"{prefix}_ADDR"] = address
    return env
