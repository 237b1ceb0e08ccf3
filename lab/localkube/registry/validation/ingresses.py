"""Ingresses and their classes.

Source: k8s.io/kubernetes/pkg/apis/networking/validation/validation.go.
"""

from __future__ import annotations

import ipaddress
import re

from lab.kube.objects import KubeObject
from lab.localkube.registry.names import (
    label_problem,
    path_segment_problem,
    port_name_problem,
    service_name_problem,
    subdomain_problem,
    wildcard_problem,
)
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.numbers import check_port

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDINGS = ("/..", "/.")
_LONGEST_CONTROLLER = 250
_CONTROLLER_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_NOT_AN_ADDRESS = "must be a DNS name, not an IP address"


def _check(value: str, problem: str, path: str, causes: Causes) -> None:
    if problem:
        causes.invalid(path, value, problem)


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _check_host(host: str, path: str, causes: Causes) -> None:
    _check(host, wildcard_problem(host) if "*" in host else subdomain_problem(host), path, causes)


def check_ingress(obj: KubeObject, causes: Causes) -> None:
    """An Ingress."""
    spec = obj.get("spec") or {}
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and backend is None:
        causes.invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        _check_backend(backend, "spec.defaultBackend", causes)
    for index, rule in enumerate(rules):
        _check_rule(rule, f"spec.rules[{index}]", causes)
    for index, tls in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(tls.get("hosts") or ()):
            _check_host(host, f"spec.tls[{index}].hosts[{number}]", causes)
        secret = tls.get("secretName")
        if secret:
            _check(secret, subdomain_problem(secret), f"spec.tls[{index}].secretName", causes)
    name = spec.get("ingressClassName")
    if name is not None:
        _check(name, subdomain_problem(name), "spec.ingressClassName", causes)


def check_new_ingress(obj: KubeObject, causes: Causes) -> None:
    """The older annotation and the field do not contradict each other."""
    annotation = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    name = (obj.get("spec") or {}).get("ingressClassName")
    if annotation is not None and name is not None and annotation != name:
        why = "must match `ingressClassName` when both are specified"
        causes.invalid(f"annotations.{CLASS_ANNOTATION}", annotation, why)


def _check_rule(rule: KubeObject, path: str, causes: Causes) -> None:
    host, http = rule.get("host"), rule.get("http")
    if host:
        if _is_address(host):
            causes.invalid(f"{path}.host", host, _NOT_AN_ADDRESS)
        _check_host(host, f"{path}.host", causes)
    if http is None:
        return
    if not http.get("paths"):
        causes.required(f"{path}.http.paths")
    for index, each in enumerate(http.get("paths") or ()):
        _check_path(each, f"{path}.http.paths[{index}]", causes)


def _check_path(entry: KubeObject, path: str, causes: Causes) -> None:
    kind, text = entry.get("pathType"), entry.get("path") or ""
    if kind is None:
        causes.required(f"{path}.pathType", "pathType must be specified")
        return
    if kind not in _PATH_TYPES:
        causes.unsupported(f"{path}.pathType", kind, _PATH_TYPES)
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        causes.invalid(f"{path}.path", text, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for sequence in _BAD_SEQUENCES:
            if sequence in text:
                causes.invalid(f"{path}.path", text, f"must not contain '{sequence}'")
        for ending in _BAD_ENDINGS:
            if text.endswith(ending):
                causes.invalid(f"{path}.path", text, f"cannot end with '{ending}'")
    _check_backend(entry.get("backend") or {}, f"{path}.backend", causes)


def _check_backend(backend: KubeObject, path: str, causes: Causes) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        causes.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        _check_reference(resource, f"{path}.resource", causes)
    elif service is None:
        causes.invalid(path, "", "resource or service backend is required")
    else:
        name, port = service.get("name"), service.get("port") or {}
        if name:
            _check(name, service_name_problem(name), f"{path}.service.name", causes)
        else:
            causes.required(f"{path}.service.name")
        if port.get("name") and port.get("number"):
            causes.invalid(path, "", "cannot set both port name & port number")
        elif port.get("name"):
            _check(port["name"], port_name_problem(port["name"]), f"{path}.service.port.name", causes)
        elif port.get("number"):
            check_port(port["number"], f"{path}.service.port.number", causes)
        else:
            causes.required(path, "port name or number is required")


def _check_reference(reference: KubeObject, path: str, causes: Causes) -> None:
    group = reference.get("apiGroup")
    if group is not None:
        _check(group, subdomain_problem(group), f"{path}.apiGroup", causes)
    for field in ("kind", "name"):
        value = reference.get(field)
        if not value:
            causes.required(f"{path}.{field}")
        else:
            _check(value, path_segment_problem(value), f"{path}.{field}", causes)


def check_ingress_class(obj: KubeObject, causes: Causes) -> None:
    """An IngressClass."""
    spec = obj.get("spec") or {}
    controller, path = spec.get("controller") or "", "spec.controller"
    if len(controller) > _LONGEST_CONTROLLER:
        why = f"Too long: may not be more than {_LONGEST_CONTROLLER} bytes"
        causes.found.append((path, "FieldValueTooLong", why))
    host, _, rest = controller.partition("/")
    if not controller:
        causes.required(path)
    elif not (host and rest):
        causes.invalid(path, controller, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        _check(host, subdomain_problem(host), path, causes)
        if not re.fullmatch(_CONTROLLER_PATH, rest):
            causes.invalid(path, rest, f"Invalid path (regex used for validation is '{_CONTROLLER_PATH}')")
    if spec.get("parameters") is not None:
        _check_parameters(spec["parameters"], "spec.parameters", causes)


def _check_parameters(parameters: KubeObject, path: str, causes: Causes) -> None:
    _check_reference(parameters, path, causes)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        causes.unsupported(f"{path}.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Cluster" and namespace is not None:
        causes.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    elif scope == "Namespace" and namespace is None:
        causes.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif namespace is not None:
        _check(namespace, label_problem(namespace), f"{path}.namespace", causes)


def check_ingress_class_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """Its controller stays."""
    before, after = ((each.get("spec") or {}).get("controller") for each in (old, new))
    if before != after:
        causes.invalid("spec.controller", after, "field is immutable")
