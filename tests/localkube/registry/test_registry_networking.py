"""Ingresses, their classes and network policies: stored, judged in upstream's words, acted on by nobody."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.registry.registry import LocalRegistry

INGRESSES = builtin("Ingress")
CLASSES = builtin("IngressClass")
POLICIES = builtin("NetworkPolicy")
DEFAULT = {"ingressclass.kubernetes.io/is-default-class": "true"}
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}


def ingress(name: str = "i", annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": spec or {"defaultBackend": BACKEND},
    }


def rule(host: str = "a.example", path: str = "/", kind: str = "Prefix", **backend: Any) -> dict[str, Any]:
    entry = {"path": path, "backend": backend or BACKEND} | ({"pathType": kind} if kind else {})
    return {"host": host, "http": {"paths": [entry]}}


def ingress_class(name: str = "c", controller: str = "example.com/it", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name} | more, "spec": {"controller": controller}}


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"podSelector": {}} | spec}


def why(registry: LocalRegistry, resource: Any, obj: dict[str, Any]) -> list[tuple[str, str]]:
    """The field and the words of each cause of a refusal."""
    with pytest.raises(StatusError) as error:
        registry.create(resource, "default" if resource.namespaced else "", obj)
    assert (error.value.code, error.value.reason) == (422, "Invalid")
    return [(cause["field"], cause["message"]) for cause in (error.value.details or {})["causes"]]


PATH = "spec.rules[0].http.paths[0]"


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"tls": []}, "spec", "either `defaultBackend` or `rules` must be specified"),
        ({"defaultBackend": {}}, "spec.defaultBackend", "resource or service backend is required"),
        ({"rules": [rule(host="1.2.3.4")]}, "spec.rules[0].host", "must be a DNS name, not an IP address"),
        ({"rules": [rule(host="a.*.b")]}, "spec.rules[0].host", "a wildcard DNS-1123 subdomain must start"),
        ({"rules": [rule(host="A")]}, "spec.rules[0].host", "a lowercase RFC 1123 subdomain must consist"),
        ({"rules": [{"http": {"paths": []}}]}, "spec.rules[0].http.paths", "Required value"),
        ({"rules": [rule(kind="")]}, f"{PATH}.pathType", "pathType must be specified"),
        ({"rules": [rule(kind="Glob")]}, f"{PATH}.pathType", '"Exact", "ImplementationSpecific", "Prefix"'),
        ({"rules": [rule(path="x")]}, f"{PATH}.path", "must be an absolute path"),
        ({"rules": [rule(path="/a//b")]}, f"{PATH}.path", "must not contain '//'"),
        ({"rules": [rule(path="/a/..")]}, f"{PATH}.path", "cannot end with '/..'"),
        ({"rules": [rule(service={"port": {"number": 1}})]}, f"{PATH}.backend.service.name", "Required"),
        ({"rules": [rule(service={"name": "a"})]}, f"{PATH}.backend", "port name or number is required"),
        (
            {"rules": [rule(service={"name": "a", "port": {"name": "b", "number": 1}})]},
            f"{PATH}.backend",
            "cannot set both port name & port number",
        ),
        (
            {"rules": [rule(resource={"kind": "A/B", "name": "c"})]},
            f"{PATH}.backend.resource.kind",
            "may not contain '/'",
        ),
        ({"defaultBackend": BACKEND, "tls": [{"hosts": ["_"]}]}, "spec.tls[0].hosts[0]", "a lowercase RFC"),
        ({"defaultBackend": BACKEND, "ingressClassName": "A"}, "spec.ingressClassName", "a lowercase RFC"),
    ],
)
def test_an_ingress_is_judged(registry, spec: dict[str, Any], field: str, words: str) -> None:
    [(seen, message)] = why(registry, INGRESSES, ingress(**spec))
    assert seen == field
    assert words in message


def test_what_an_ingress_may_be(registry) -> None:
    rules = [rule(host="*.example"), rule(path="", kind="ImplementationSpecific"), {"host": "b.example"}]
    made = registry.create(INGRESSES, "default", ingress(rules=rules))
    assert (made["metadata"]["generation"], made["status"]) == (1, {"loadBalancer": {}})


def test_the_class_of_an_ingress(registry) -> None:
    old = {"kubernetes.io/ingress.class": "old"}
    assert "ingressClassName" not in registry.create(INGRESSES, "default", ingress("none"))["spec"]
    registry.create(CLASSES, "", ingress_class("first", annotations=DEFAULT))
    registry.create(CLASSES, "", ingress_class("other"))
    assert registry.create(INGRESSES, "default", ingress())["spec"]["ingressClassName"] == "first"
    named = registry.create(
        INGRESSES, "default", ingress("named", defaultBackend=BACKEND, ingressClassName="x")
    )
    assert named["spec"]["ingressClassName"] == "x"
    assert "ingressClassName" not in registry.create(INGRESSES, "default", ingress("old", old))["spec"]
    both = ingress("both", old, defaultBackend=BACKEND, ingressClassName="x")
    assert why(registry, INGRESSES, both) == [
        (
            "annotations.kubernetes.io/ingress.class",
            'Invalid value: "old": must match `ingressClassName` when both are specified',
        )
    ]


def test_a_class_is_judged_and_keeps_its_controller(registry) -> None:
    assert why(registry, CLASSES, ingress_class(controller="")) == [("spec.controller", "Required value")]
    [(_, message)] = why(registry, CLASSES, ingress_class(controller="x"))
    assert message == 'Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")'
    scoped = ingress_class()
    scoped["spec"]["parameters"] = {"kind": "K", "name": "n", "scope": "Namespace"}
    assert why(registry, CLASSES, scoped) == [
        ("spec.parameters.namespace", "Required value: `parameters.scope` is set to 'Namespace'")
    ]
    scoped["spec"]["parameters"]["namespace"] = "default"
    made = registry.create(CLASSES, "", scoped)
    assert made["metadata"]["generation"] == 1
    with pytest.raises(StatusError, match=r"spec.controller: Invalid value: .*: field is immutable"):
        registry.update(CLASSES, "", "c", ingress_class(controller="example.com/another"))


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"ingress": [{"from": [{}]}]}, "spec.ingress[0].from[0]", "must specify a peer"),
        (
            {"egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
            "spec.egress[0].to[0]",
            "may not specify both ipBlock and another peer",
        ),
        (
            {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1"}}]}]},
            "spec.ingress[0].from[0].ipBlock.cidr",
            "must be a valid CIDR value",
        ),
        (
            {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]},
            "spec.ingress[0].from[0].ipBlock.except[0]",
            "must be a strict subset of `cidr`",
        ),
        (
            {"ingress": [{"ports": [{"port": 80, "endPort": 79}]}]},
            "spec.ingress[0].ports[0].endPort",
            "must be greater than or equal to `port`",
        ),
        (
            {"ingress": [{"ports": [{"port": "web", "endPort": 80}]}]},
            "spec.ingress[0].ports[0].endPort",
            "may not be specified when `port` is non-numeric",
        ),
        ({"policyTypes": ["Sideways"]}, "spec.policyTypes[0]", 'supported values: "Egress", "Ingress"'),
    ],
)
def test_a_network_policy_is_judged(registry, spec: dict[str, Any], field: str, words: str) -> None:
    [(seen, message)] = why(registry, POLICIES, policy(**spec))
    assert seen == field
    assert words in message


def test_a_network_policy_is_kept(registry) -> None:
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    made = registry.create(POLICIES, "default", policy(egress=[{"to": [block], "ports": [{"port": 53}]}]))
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert made["spec"]["egress"][0]["ports"][0]["protocol"] == "TCP"
