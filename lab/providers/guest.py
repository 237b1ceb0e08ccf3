"""The lab as a guest in a cluster: what it must be allowed to do, and what of it is there, by its label."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from lab.core.namespaces import Namespaces
from lab.errors import ProviderError, UsageError
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.objects import KubeObject, name_of
from lab.providers import handed_out
from lab.providers.access import Right, missing_apis, missing_rights
from lab.providers.asking import ANSWER_SECONDS, GONE_SECONDS
from lab.providers.base import KEPT_LABEL, LAB_LABEL

CLUSTER_KINDS = (
    ("clusterrolebindings", "rbac.authorization.k8s.io"),
    ("clusterroles", "rbac.authorization.k8s.io"),
    ("validatingadmissionpolicybindings", "admissionregistration.k8s.io"),
    ("validatingadmissionpolicies", "admissionregistration.k8s.io"),
)
"""What of the lab belongs to no namespace, in the order in which it goes."""
CLUSTER_RIGHTS = (
    *(Right(verb, "namespaces") for verb in ("create", "get", "list", "delete")),
    *(Right(verb, kind, group) for kind, group in CLUSTER_KINDS for verb in ("create", "list", "delete")),
    *(Right(verb, "clusterroles", "rbac.authorization.k8s.io") for verb in ("bind", "escalate")),
)
OLDEST_MINOR = 30
"""Kubernetes 1.30 is the first with ValidatingAdmissionPolicy, the lab's second wall."""


async def look(kubeconfig: Path, namespaces: Namespaces, lab: str) -> tuple[str, tuple[str, ...]]:
    """The version of the cluster, and what an administrator made there for this lab. Raises, before anything
    is made, when the lab cannot be a guest here."""
    async with KubeClient(load_kubeconfig(kubeconfig), timeout=ANSWER_SECONDS) as kube:
        version = await kube.request("GET", "/version")
        minor = int("".join(c for c in str(version["minor"]) if c.isdigit()) or 0)
        if (str(version["major"]), minor) < ("1", OLDEST_MINOR):
            runs = f"{version['major']}.{version['minor']}"
            raise ProviderError(
                f"the cluster runs Kubernetes {runs}, and the lab needs 1.{OLDEST_MINOR}",
                hint="take a newer cluster, or the provider local, which needs none",
            )
        if absent := await missing_apis(kube):
            listed = "".join(f"\n  - {api}" for api in absent)
            raise ProviderError(
                f"the cluster does not serve what the lab needs:{listed}",
                hint="they are on by default: ask an administrator about --runtime-config of its API server",
            )
        there = await handed_out.the_namespaces(kube, namespaces)
        _refuse_taken(there, lab)
        if there:
            return str(version["gitVersion"]), await handed_out.look_at_kept(kube, namespaces, lab, there)
        inside = (Right("*", "*", "*", namespace) for namespace in namespaces.all)
        missing = await missing_rights(kube, (*CLUSTER_RIGHTS, *inside))
        if missing:
            listed = "".join(f"\n  - {right}" for right in missing)
            raise ProviderError(
                f"the kubeconfig may not do what the lab needs:{listed}",
                hint="docs/providers.md has a ClusterRole with all of it; an administrator can make the"
                " namespaces instead: lab manifests namespaces",
            )
        return str(version["gitVersion"]), ()


def _refuse_taken(there: Mapping[str, KubeObject], lab: str) -> None:
    """Raise UsageError when one of the lab's namespaces is not meant for it."""
    taken = [found for found in there.values() if not handed_out.is_kept(found, lab)]
    if taken:
        owners = {_owner(found) for found in taken}
        whose = f"of the lab {sorted(owners)[0]!r}" if owners != {""} else "of somebody else"
        raise UsageError(
            f"the cluster has the namespace {name_of(taken[0])!r} already, {whose}",
            hint="--name gives this lab another name; lab down removes one that is no longer needed; one that"
            f" is meant for this lab carries the labels {LAB_LABEL}={lab} and {KEPT_LABEL}=true, as"
            " lab manifests namespaces prints it",
        )


def _owner(found: KubeObject) -> str:
    return str((found["metadata"].get("labels") or {}).get(LAB_LABEL, ""))


def _own(lab: str) -> str:
    return f"{LAB_LABEL}={lab},!{KEPT_LABEL}"


async def _labelled(kube: KubeClient, lab: str) -> list[tuple[str, KubeObject]]:
    """What carries the lab's label and lies in no namespace that does, in the order in which it goes."""
    selector = _own(lab)
    kinds = [kind for kind, _ in CLUSTER_KINDS] + ["namespaces"]
    lists = [await kube.list(kind, "", label_selector=selector) for kind in kinds]
    return [(kind, found) for kind, page in zip(kinds, lists, strict=True) for found in page["items"]]


async def belongings(kubeconfig: Path, lab: str, kept: Namespaces | None = None) -> list[str]:
    """What `remove` would remove, a line for each object, or for those of a kind in a kept namespace."""
    async with KubeClient(load_kubeconfig(kubeconfig)) as kube:
        if kept is not None:
            return await handed_out.belongings(kube, kept, lab)
        return [f"{kind} {name_of(found)}" for kind, found in await _labelled(kube, lab)]


async def remove(kubeconfig: Path, lab: str, kept: Namespaces | None = None) -> None:
    """Remove exactly what carries the lab's label, and wait until it is gone. kept: its namespaces, where an
    administrator made them: they stay."""
    selector = _own(lab)
    async with KubeClient(load_kubeconfig(kubeconfig)) as kube:
        if kept is not None:
            return await handed_out.empty(kube, kept, lab)
        for kind, found in await _labelled(kube, lab):
            if "deletionTimestamp" not in found["metadata"]:
                await kube.delete(kind, name_of(found), "")
        deadline = time.monotonic() + GONE_SECONDS
        while left := (await kube.list("namespaces", "", label_selector=selector))["items"]:
            if time.monotonic() > deadline:
                raise ProviderError(
                    f"the namespace {name_of(left[0])} is still there after {GONE_SECONDS:.0f} s",
                    hint="kubectl describe namespace says what holds it; then lab down again",
                )
            await asyncio.sleep(0.2)
