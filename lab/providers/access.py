"""Whether somebody may do in a cluster what the lab needs: asked before anything is made, and all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource; `*` is any. namespace: where; empty: in the whole cluster. group: of the API.
    name: of the only object that it is asked for."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f" in the namespace {self.namespace}" if self.namespace else ""
        if (self.verb, self.resource, self.group) == ("*", "*", "*"):
            return f"everything{where}"
        kind = f"{self.resource}{f'.{self.group}' if self.group else ''}"
        return f"{self.verb} {kind}{f' {self.name}' if self.name else ''}{where}"


async def missing_rights(kube: KubeClient, rights: Iterable[Right]) -> list[Right]:
    """Those of these rights that the client has not, by SelfSubjectAccessReview, in their order.

    Raises StatusError when the cluster does not answer such questions.
    """
    asked = list(rights)
    answers = await asyncio.gather(*(_allowed(kube, right) for right in asked))
    return [right for right, allowed in zip(asked, answers, strict=True) if not allowed]


async def missing_inside(kube: KubeClient, namespace: str, rights: Iterable[Right]) -> list[Right]:
    """Those of these rights that the client has not in a namespace. The rules that the cluster lists for it
    are asked for first, so that many rights cost few questions; what they do not give is asked for singly, as
    an authorizer may know more than it lists.

    Raises StatusError when the cluster does not answer such questions.
    """
    review = await kube.create("selfsubjectrulesreviews", {"spec": {"namespace": namespace}})
    rules = review["status"].get("resourceRules") or ()
    unlisted = [right for right in rights if not any(_gives(rule, right) for rule in rules)]
    return await missing_rights(kube, [replace(right, namespace=namespace) for right in unlisted])


def _gives(rule: KubeObject, right: Right) -> bool:
    asked = (("verbs", right.verb), ("apiGroups", right.group), ("resources", right.resource))
    listed = all({wanted, "*"} & set(rule.get(field) or ()) for field, wanted in asked)
    return listed and not rule.get("resourceNames")


def summed(rights: Iterable[Right]) -> list[str]:
    """A line for each resource, with all the verbs, and the namespaces that lack the same."""
    verbs: dict[Right, list[str]] = {}
    for right in rights:
        verbs.setdefault(replace(right, verb=""), []).append(right.verb)
    lines: dict[str, list[str]] = {}
    for right, found in verbs.items():
        said = str(replace(right, verb=", ".join(found), namespace=""))
        lines.setdefault(said, []).append(right.namespace)
    return [f"{line} in {', '.join(where)}" if any(where) else line for line, where in lines.items()]


NEEDED = (
    *(("apps/v1", kind) for kind in ("deployments", "replicasets", "statefulsets")),
    ("batch/v1", "cronjobs"),
    ("policy/v1", "poddisruptionbudgets"),
    ("discovery.k8s.io/v1", "endpointslices"),
    ("rbac.authorization.k8s.io/v1", "clusterroles"),
    ("admissionregistration.k8s.io/v1", "validatingadmissionpolicies"),
)
"""What the lab needs that an API server may have switched off, or be too old for."""


async def missing_apis(kube: KubeClient) -> list[str]:
    """Those of NEEDED that the cluster does not serve, by its discovery."""
    versions = list(dict.fromkeys(version for version, _ in NEEDED))
    served = dict(zip(versions, await asyncio.gather(*(_served(kube, v) for v in versions)), strict=True))
    return [f"{plural} of {version}" for version, plural in NEEDED if plural not in served[version]]


async def _served(kube: KubeClient, version: str) -> set[str]:
    try:
        return {found["name"] for found in (await kube.request("GET", f"/apis/{version}"))["resources"]}
    except StatusError as error:
        if error.code == 404:
            return set()
        raise


async def _allowed(kube: KubeClient, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    review = await kube.create("selfsubjectaccessreviews", {"spec": {"resourceAttributes": attributes}})
    return bool(review["status"].get("allowed"))
