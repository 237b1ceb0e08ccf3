"""Namespaces that an administrator made for a lab: whether all is there, and what of the lab lies in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby, product

import yaml

from lab.core.fault import MARK
from lab.core.namespaces import SHOP, Namespaces
from lab.core.places import data_root
from lab.errors import ProviderError, UsageError
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject, labels_of, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.providers.access import Right, missing_inside, missing_rights, summed
from lab.providers.asking import GONE_SECONDS
from lab.providers.base import KEPT_LABEL, LAB_LABEL

OF_CLUSTER = (
    ("ClusterRoleBinding", "toil-lab-gateway"),
    ("ClusterRoleBinding", "toil-lab-faults"),
    ("ClusterRole", "toil-lab-gateway"),
    ("ClusterRole", "toil-lab-faults"),
    ("ValidatingAdmissionPolicyBinding", "toil-lab-shadow-wall"),
    ("ValidatingAdmissionPolicy", "toil-lab-shadow-wall"),
)
"""What of the lab belongs to no namespace, by its plain name, in the order in which it goes."""
TENANT = "toil-lab-tenant"
"""The ClusterRole with what is needed in the namespaces."""

_OPERATOR = "monitoring.coreos.com"
_KINDS = (
    *(builtin(kind) for kind in ("Deployment", "PodDisruptionBudget", "Service", "ConfigMap", "Secret")),
    *(builtin(kind) for kind in ("NetworkPolicy", "ResourceQuota", "LimitRange", "RoleBinding", "Role")),
    Resource(_OPERATOR, "v1", "podmonitors", "PodMonitor"),
    Resource(_OPERATOR, "v1", "prometheusrules", "PrometheusRule"),
    Resource(_OPERATOR, "v1alpha1", "alertmanagerconfigs", "AlertmanagerConfig"),
    builtin("ServiceAccount"),
)
"""What a lab puts into its namespaces, in the order in which it goes. The first that it makes goes last."""
_APPLY = "an administrator applies what lab manifests namespaces prints for this lab: docs/providers.md"
Labelled = tuple[Resource, KubeObject]


def is_kept(found: KubeObject, lab: str) -> bool:
    """Whether an administrator made it for this lab."""
    labels = labels_of(found)
    return labels.get(LAB_LABEL) == lab and labels.get(KEPT_LABEL) == "true"


async def the_namespaces(kube: KubeClient, namespaces: Namespaces) -> dict[str, KubeObject]:
    """Those of the lab's namespaces that are there and may be looked at, by name."""
    found = await asyncio.gather(*(_look_at(kube, "Namespace", name) for name in namespaces.all))
    return {name_of(each): each for each in found if isinstance(each, dict)}


async def look_at_kept(
    kube: KubeClient, namespaces: Namespaces, lab: str, there: Mapping[str, KubeObject]
) -> tuple[str, ...]:
    """What there is for the lab, `Kind/name`. there: its namespaces, all of which are kept.

    Raises ProviderError with all that is missing, UsageError when a lab is in them already.
    """
    if unseen := [name for name in namespaces.all if name not in there]:
        raise ProviderError(
            f"the cluster has {', '.join(there)} for the lab {lab!r}, and {', '.join(unseen)} is not there,"
            " or may not be looked at",
            hint=_APPLY,
        )
    names = [(kind, namespaces.of_cluster(name)) for kind, name in OF_CLUSTER]
    found = dict(
        zip(names, await asyncio.gather(*(_look_at(kube, kind, name) for kind, name in names)), strict=True)
    )
    for (kind, name), each in found.items():
        if isinstance(each, dict) and not is_kept(each, lab):
            raise UsageError(
                f"the cluster has the {kind} {name} already, and it was not made for the lab {lab!r}",
                hint="--name gives this lab another name; or " + _APPLY,
            )
    missing = await _missing(kube, namespaces, found)
    if missing:
        listed = "".join(f"\n  - {line}" for line in summed(missing))
        raise ProviderError(f"the kubeconfig may not do what the lab needs:{listed}", hint=_APPLY)
    if left := await belongings(kube, namespaces, lab):
        raise UsageError(
            f"a lab {lab!r} is in its namespaces already: {left[0]}",
            hint=f"lab down --name {lab} where it was brought up; if that is nowhere any more: what it left"
            f" carries the label {LAB_LABEL}={lab}",
        )
    kept = [f"{kind}/{name}" for (kind, name), each in found.items() if each is not None]
    return (*(f"Namespace/{name}" for name in namespaces.all), *kept)


async def _missing(
    kube: KubeClient, namespaces: Namespaces, found: Mapping[tuple[str, str], KubeObject | StatusError | None]
) -> list[Right]:
    """The rights that are lacking: in the namespaces, and for what is not there and has to be made."""
    unseen, asked = [], []
    for (kind, name), each in found.items():
        resource = builtin(kind)
        right = Right("get", resource.plural, resource.group, name=name)
        if isinstance(each, StatusError):
            unseen.append(right)
        elif each is None:
            asked += [replace(right, verb="create", name=""), replace(right, verb="delete")]
            if kind == "ClusterRole":
                asked += [replace(right, verb="bind"), replace(right, verb="escalate")]
    inside = [await missing_inside(kube, namespace, tenant_rights()) for namespace in namespaces.all]
    return [*unseen, *await missing_rights(kube, asked), *chain.from_iterable(inside)]


def tenant_rights() -> list[Right]:
    """What the ClusterRole for the namespaces gives, in single rights."""
    role = yaml.safe_load((data_root() / "clusters" / "guests" / "tenant.yaml").read_text())
    return [
        Right(verb, resource, group)
        for rule in role["rules"]
        for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"])
    ]


async def _look_at(kube: KubeClient, kind: str, name: str) -> KubeObject | StatusError | None:
    """The object, None when there is none, or the error when it may not be looked at."""
    try:
        return await kube.get(kind, name, "")
    except StatusError as error:
        if error.code == 404:
            return None
        if error.code == 403:
            return error
        raise


async def belongings(kube: KubeClient, namespaces: Namespaces, lab: str) -> list[str]:
    """A line for each kind of object in each namespace that `empty` would remove."""
    found = [*await _of_no_namespace(kube, namespaces, lab), *await _inside_of(kube, namespaces, lab, _KINDS)]
    grouped = groupby(found, lambda each: (each[0].plural, namespace_of(each[1])))
    return [
        f"{plural} {f'of {namespace}: ' if namespace else ''}{', '.join(name_of(each) for _, each in group)}"
        for (plural, namespace), group in grouped
    ]


async def empty(kube: KubeClient, namespaces: Namespaces, lab: str) -> None:
    """Remove exactly what carries the lab's label and is not kept, and wait until it is gone. What runs goes
    first, with its pods."""
    deadline = time.monotonic() + GONE_SECONDS
    for resource, found in await _of_no_namespace(kube, namespaces, lab):
        await _delete(kube, resource, found)
    for kinds in (_KINDS[:1], _KINDS):
        while left := await _inside_of(kube, namespaces, lab, kinds):
            for resource, found in left:
                if "deletionTimestamp" not in found["metadata"]:
                    await _delete(kube, resource, found)
            if time.monotonic() > deadline:
                resource, found = left[0]
                named = f"{resource.singular} {name_of(found)} of {namespace_of(found)}"
                raise ProviderError(
                    f"the {named} is still there after {GONE_SECONDS:.0f} s",
                    hint="kubectl describe says what holds it; then lab down again",
                )
            await asyncio.sleep(0.2)


async def _delete(kube: KubeClient, resource: Resource, found: KubeObject) -> None:
    try:
        await kube.delete(resource, name_of(found), namespace_of(found), propagation_policy="Foreground")
    except StatusError as error:
        if error.code != 404:
            raise


async def _of_no_namespace(kube: KubeClient, namespaces: Namespaces, lab: str) -> list[Labelled]:
    """What the lab made there because no administrator had. What may not be looked at is not its own."""
    found = []
    for kind, name in OF_CLUSTER:
        each = await _look_at(kube, kind, namespaces.of_cluster(name))
        if isinstance(each, dict) and labels_of(each).get(LAB_LABEL) == lab and not is_kept(each, lab):
            found.append((builtin(kind), each))
    return found


async def _inside_of(
    kube: KubeClient, namespaces: Namespaces, lab: str, kinds: Sequence[Resource]
) -> list[Labelled]:
    """What of these kinds carries the lab's label in its namespaces and is not kept; and pods that faults
    have made."""
    own = f"{LAB_LABEL}={lab},!{KEPT_LABEL}"
    asked = [(resource, namespace, own) for resource in kinds for namespace in namespaces.all]
    asked.append((builtin("pods", ""), namespaces.real(SHOP), MARK))  # of noisy neighbours
    pages = await asyncio.gather(*(_list(kube, *question) for question in asked))
    return [(resource, found) for (resource, *_), page in zip(asked, pages, strict=True) for found in page]


async def _list(kube: KubeClient, resource: Resource, namespace: str, selector: str) -> list[KubeObject]:
    try:
        return list((await kube.list(resource, namespace, label_selector=selector))["items"])
    except StatusError as error:
        if resource.group == _OPERATOR and error.code in (403, 404):
            return []  # without the operator there are none; who may not list them has made none
        raise
