"""A cluster that tests were given and that others may use: what they need there, what they leave: nothing.

`make safety KUBECONFIG=/path [CONTEXT=name [AGAIN=name]]` sets the variables below. All that the suite makes
lies in three namespaces or carries the label. Foreign objects of such names make it refuse the cluster.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from lab.errors import LabError, NotReadyError, UsageError
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, kubeconfig_dict, load_kubeconfig
from lab.kube.resources import BUILTIN, Resource, builtin
from lab.kube.status import StatusError
from lab.providers.access import Right, missing_rights
from lab.providers.contexts import Context, read_context, refuse_production

LABEL = {"toil-lab/safety-suite": "yes"}
NAMESPACES = ("shop", "lab-system", "automation")
OUTSIDE = (
    "clusterrolebindings",
    "clusterroles",
    "validatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "nodes",
)
"""The kinds without a namespace of which the suite makes objects, in the order in which they go."""

KEPT = {
    "serviceaccounts": ("default", "builder", "deployer"),
    "configmaps": ("kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert"),
}
"""What a cluster puts into every namespace by itself, and would put there again."""

AT_ONCE = {
    "kind": "DeleteOptions",
    "apiVersion": "v1",
    "gracePeriodSeconds": 0,
    "propagationPolicy": "Background",
}
RIGHTS = (
    *(Right("*", "*", "*", namespace) for namespace in NAMESPACES),
    *(Right(verb, "namespaces") for verb in ("get", "list", "create", "delete")),
    *(
        Right(verb, kind, builtin(kind).group)
        for kind in OUTSIDE
        for verb in ("get", "list", "create", "patch", "update", "delete")
    ),
    *(
        Right(verb, kind, "rbac.authorization.k8s.io")
        for kind, verb in (("clusterroles", "escalate"), ("clusterroles", "bind"))
    ),
)
_SELECTOR = ",".join(f"{key}={value}" for key, value in LABEL.items())
_PATIENCE = 180.0
_T = TypeVar("_T")


@cache
def given_cluster() -> GivenCluster | None:
    """The cluster that `SAFETY_KUBECONFIG` names, or None: then each test has a localkube of its own."""
    path = os.path.expanduser(os.environ.get("SAFETY_KUBECONFIG", ""))
    if not path:
        return None
    context = read_context(Path(path), os.environ.get("SAFETY_CONTEXT", ""))
    refuse_production(context, os.environ.get("SAFETY_CONTEXT_AGAIN", ""))
    return GivenCluster(context, load_kubeconfig(Path(path), context.name))


@dataclass(frozen=True)
class GivenCluster:
    """What is done with a cluster before, between and after the tests."""

    context: Context
    connection: Connection

    def check(self) -> None:
        """Raise UsageError or NotReadyError, with all that is missing or in the way."""
        self._run(self._check)

    def prepare(self) -> None:
        """Make the namespaces, after what an earlier run has left is gone."""
        self._run(self._prepare)

    def wipe(self) -> None:
        """Empty the namespaces and take away all that carries the label; back when it is gone."""
        self._run(self._wipe)

    def remove(self) -> None:
        """Take away everything, the namespaces too; back when it is gone."""
        self._run(self._remove)

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig of this context alone, without references to other files."""
        at = self.connection
        config = kubeconfig_dict(at.server, at.ca_pem, at.bearer())
        user = config["users"][0]["user"]
        if at.client_certificate:
            certificate, key = (base64.b64encode(part).decode() for part in at.client_certificate)
            user |= {"client-certificate-data": certificate, "client-key-data": key}
        if at.insecure:
            config["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        return path

    def _run(self, act: Callable[[KubeClient], Awaitable[_T]]) -> _T:
        """In a thread and a loop of its own: fixtures with a loop and without one call this."""

        async def connected() -> _T:
            async with KubeClient(self.connection, user_agent="toil-lab-safety-suite") as kube:
                return await act(kube)

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, connected()).result()

    async def _check(self, kube: KubeClient) -> None:
        try:
            missing = await missing_rights(kube, RIGHTS)
        except (ConnectionError, TimeoutError, StatusError) as error:
            raise NotReadyError(
                f"the context {self.context.name!r} at {self.context.server} does not answer: {error}",
                hint="try: kubectl --context … get --raw /readyz",
            ) from error
        if missing:
            listed = "".join(f"\n  - {right}" for right in missing)
            said = f"in {self.context.name!r} these rights are missing:{listed}"
            raise UsageError(said, hint="ask an administrator of the cluster for them")
        await self._refuse_foreign(kube)

    async def _prepare(self, kube: KubeClient) -> None:
        await self._remove(kube)
        for name in NAMESPACES:
            await kube.create("namespaces", {"metadata": {"name": name, "labels": LABEL}})
        await self._until(lambda: self._accounts(kube), "every namespace has its default ServiceAccount")

    async def _refuse_foreign(self, kube: KubeClient) -> None:
        found = []
        for kind in ("namespaces", *OUTSIDE):
            for item in await self._all(kube, kind):
                name = item["metadata"]["name"]
                ours = LABEL.items() <= (item["metadata"].get("labels") or {}).items()
                if not ours and (name in NAMESPACES if kind == "namespaces" else name.startswith("toil-lab")):
                    found.append(f"\n  - {kind} {name}")
        if found:
            raise UsageError(
                f"in {self.context.name!r} there is what this suite did not make:{''.join(found)}",
                hint="a lab runs there, or somebody has a use for these names: take another cluster",
            )

    async def _all(self, kube: KubeClient, kind: str) -> list[dict[str, Any]]:
        try:
            return list((await kube.list(kind))["items"])
        except StatusError as error:
            why = f"{self.context.name!r} does not list its {kind}: {error}"
            raise UsageError(why, hint="the suite needs Kubernetes 1.30 or later") from error

    async def _accounts(self, kube: KubeClient) -> bool:
        found = [await kube.list("serviceaccounts", name) for name in NAMESPACES]
        return all(listed["items"] for listed in found)

    async def _remove(self, kube: KubeClient) -> None:
        mine = await self._namespaces(kube)
        for name in mine:
            with contextlib.suppress(StatusError):  # one that is going already
                await kube.delete("namespaces", name)
        await self._wipe(kube)

        async def gone() -> bool:
            return not await self._namespaces(kube)

        await self._until(gone, f"the namespaces {', '.join(mine)} are gone")

    async def _namespaces(self, kube: KubeClient) -> list[str]:
        items = (await kube.list("namespaces", label_selector=_SELECTOR))["items"]
        return [item["metadata"]["name"] for item in items]

    async def _wipe(self, kube: KubeClient) -> None:
        namespaces = await self._namespaces(kube)
        kinds = await _emptied(kube)
        places = [(kind, namespace) for kind in kinds for namespace in namespaces]

        async def empty() -> bool:
            left = await asyncio.gather(*(_clear(kube, kind, namespace) for kind, namespace in places))
            outside = [await _clear_outside(kube, builtin(kind)) for kind in OUTSIDE]
            return not any((*left, *outside))

        await self._until(empty, "everything that the tests have made is gone")

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not await condition():
                    await asyncio.sleep(0.1)
        except TimeoutError as error:
            raise LabError(f"not in {_PATIENCE:g} s in {self.context.name!r}: {what}") from error


async def _emptied(kube: KubeClient) -> list[Resource]:
    """The kinds of which the namespaces are emptied: those that this cluster serves, each once."""
    groups = await kube.request("GET", "/apis")
    served = {version["groupVersion"] for group in groups["groups"] for version in group["versions"]}
    return [
        kind
        for kind in BUILTIN
        if kind.namespaced
        and {"list", "deletecollection"} <= set(kind.verbs)
        and not kind.stored_version
        and kind.plural != "events"
        and (not kind.group or kind.api_version in served)
    ]


async def _clear(kube: KubeClient, kind: Resource, namespace: str) -> bool:
    """One look at a kind in a namespace: delete what is there; whether something was."""
    fields = ",".join(f"metadata.name!={name}" for name in KEPT.get(kind.key, ()))
    try:
        items = (await kube.list(kind, namespace, field_selector=fields))["items"]
        if not items:
            return False
        query = {"fieldSelector": fields or None}
        await kube.request("DELETE", kind.path(namespace), body=AT_ONCE, query=query)
        for metadata in (item["metadata"] for item in items):
            if "deletionTimestamp" in metadata and metadata.get("finalizers"):
                await kube.patch(kind, metadata["name"], {"metadata": {"finalizers": None}}, namespace)
    except StatusError as error:
        if error.code not in (404, 409):  # it went meanwhile, or with its namespace
            raise
    return True


async def _clear_outside(kube: KubeClient, kind: Resource) -> bool:
    items = (await kube.list(kind, label_selector=_SELECTOR))["items"]
    for item in items:
        await kube.delete(kind, item["metadata"]["name"])
    return bool(items)
