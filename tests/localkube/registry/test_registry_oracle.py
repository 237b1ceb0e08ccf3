"""Random patches, one after another, come to the same here and on a given cluster.

    ORACLE_KUBECONFIG=/path/of/a/real/cluster pytest tests/localkube/registry/test_registry_oracle.py

uses a namespace of its own, and removes it. `ORACLE_SEQUENCES` says how many (20), `ORACLE_SEED` which.
"""

from __future__ import annotations

import copy
import os
import random
import uuid
from pathlib import Path
from typing import Any

import pytest
from registry_manifests import CONFIG_MAPS, DEPLOYMENTS

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.patch import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from lab.kube.resources import Resource
from lab.kube.status import StatusError
from lab.localkube.protocols import WriteOptions
from lab.localkube.registry.registry import LocalRegistry

KUBECONFIG = os.environ.get("ORACLE_KUBECONFIG", "")
SEQUENCES = int(os.environ.get("ORACLE_SEQUENCES", "20"))
SEED = os.environ.get("ORACLE_SEED", "1")
MANAGERS = ("ann", "bob", "cid")

Outcome = tuple[int, Any]
"""The code, and the object without what differs from run to run; of a refusal its message."""


class Patches:
    """Random patches of one kind of object."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)

    def some(self, choices: str) -> list[str]:
        """A few of the letters."""
        return self.chance.sample(choices, self.chance.randint(0, len(choices)))

    def metadata(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if self.chance.random() < 0.5:
            made["labels"] = {key: self.chance.choice("12") for key in self.some("abc")}
        if self.chance.random() < 0.3:
            made["annotations"] = {key: self.chance.choice("12") for key in self.some("abc")}
        if self.chance.random() < 0.3:
            made["finalizers"] = [f"example.com/{each}" for each in self.some("abc")]
        return made

    def config_map(self) -> dict[str, Any]:
        return {
            "metadata": self.metadata(),
            "data": {key: self.chance.choice("12") for key in self.some("abc")},
        }

    def container(self, name: str) -> dict[str, Any]:
        made: dict[str, Any] = {"name": name, "image": self.chance.choice(["x:1", "x:2"])}
        if self.chance.random() < 0.4:
            made["env"] = [
                {"name": key.upper(), "value": self.chance.choice("12")} for key in self.some("ab")
            ]
        if self.chance.random() < 0.4:
            ports = self.chance.sample([80, 81], self.chance.randint(1, 2))
            made["ports"] = [{"containerPort": port, "protocol": "TCP"} for port in ports]
        if self.chance.random() < 0.3:
            made["args"] = self.some("ab")
        if self.chance.random() < 0.3:
            made["resources"] = {"limits": {"cpu": self.chance.choice(["1", "2"])}}
        return made

    def deployment(self) -> dict[str, Any]:
        spec: dict[str, Any] = {}
        if self.chance.random() < 0.5:
            spec["replicas"] = self.chance.randint(0, 3)
        if self.chance.random() < 0.3:
            surge = {"maxSurge": self.chance.choice([1, "50%"])}
            spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": surge}
        names = self.some("abc") or ["a"]
        inner: dict[str, Any] = {"containers": [self.container(name) for name in names]}
        if self.chance.random() < 0.3:
            inner["tolerations"] = [{"key": key, "operator": "Exists"} for key in self.some("ab")]
        if self.chance.random() < 0.3:
            inner["nodeSelector"] = dict.fromkeys(self.some("ab"), "1")
        spec["selector"] = {"matchLabels": {"app": "x"}}
        spec["template"] = {"metadata": {"labels": {"app": "x"}}, "spec": inner}
        metadata = self.metadata()
        metadata.pop("annotations", None)  # its controller has one, too
        return {"metadata": metadata, "spec": spec}

    def operations(self, resource: Resource) -> list[dict[str, Any]]:
        """A JSON patch."""
        root = "/data" if resource is CONFIG_MAPS else "/spec/template/spec/containers/0"
        value: Any = self.chance.choice("12")
        paths = [f"{root}/{key}" for key in ("a", "b", "image")] + ["/metadata/labels/a", "/metadata/labels"]
        made = []
        for _ in range(self.chance.randint(1, 2)):
            path = self.chance.choice(paths)
            chosen: Any = {"b": "2"} if path.endswith("labels") else value
            made.append(
                {
                    "op": self.chance.choice(["add", "replace", "remove", "test"]),
                    "path": path,
                    "value": chosen,
                }
            )
        return made

    def step(self, resource: Resource) -> tuple[str, Any, str, bool]:
        """A patch's type, the patch, its manager, and whether it is forced."""
        wish = self.config_map() if resource is CONFIG_MAPS else self.deployment()
        kind = self.chance.choice([JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH, APPLY_PATCH])
        forced = False
        if kind == APPLY_PATCH:
            wish |= {"apiVersion": resource.api_version, "kind": resource.kind}
            wish = _full(wish)  # a controller's apply names nothing that is empty
            wish.setdefault("metadata", {})["name"] = "x"
            if resource is CONFIG_MAPS:
                wish.setdefault("data", {})["z"] = "1"  # who owns nothing is not tracked
            forced = self.chance.random() < 0.5
        elif kind == JSON_PATCH:
            return kind, self.operations(resource), self.chance.choice(MANAGERS), False
        elif resource is DEPLOYMENTS and kind == STRATEGIC_MERGE_PATCH:
            self._direct(wish["spec"]["template"]["spec"])
        return kind, wish, self.chance.choice(MANAGERS), forced

    def _direct(self, spec: dict[str, Any]) -> None:
        """Put directives in."""
        names = [item["name"] for item in spec["containers"]]
        if self.chance.random() < 0.4:
            order = names + [name for name in "abc" if name not in names and self.chance.random() < 0.5]
            spec["$setElementOrder/containers"] = [{"name": name} for name in order]
        if self.chance.random() < 0.3:
            gone = self.chance.choice("abc")
            spec["containers"] = [item for item in spec["containers"] if item["name"] != gone]
            spec["containers"].append({"name": gone, "$patch": "delete"})


def shown(obj: dict[str, Any]) -> dict[str, Any]:
    """An object without what differs from run to run."""
    kept = copy.deepcopy(obj)
    metadata = kept["metadata"]
    for field in ("uid", "resourceVersion", "creationTimestamp", "namespace"):
        metadata.pop(field, None)
    kept.pop("status", None)
    metadata.get("annotations", {}).pop("deployment.kubernetes.io/revision", None)
    managers = [each for each in metadata.pop("managedFields", ()) if each["manager"] in MANAGERS]
    owned = sorted(((each["manager"], each["operation"], each["fieldsV1"]) for each in managers), key=str)
    return _full(kept) | {"owned": owned}


def _full(value: Any) -> Any:
    if isinstance(value, dict):
        members = {key: _full(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member not in (None, {}, [])}
    return [_full(item) for item in value] if isinstance(value, (list, tuple)) else value


def here(registry: LocalRegistry, resource: Resource, step: tuple[str, Any, str, bool]) -> Outcome:
    kind, patch, manager, forced = step
    options = WriteOptions(field_manager=manager, force=forced, field_validation="Ignore")
    try:
        return 200, shown(registry.patch(resource, "default", "x", patch, kind, options=options)[0])
    except StatusError as error:
        return error.code, None


async def there(
    kube: KubeClient, namespace: str, resource: Resource, step: tuple[str, Any, str, bool]
) -> Outcome:
    kind, patch, manager, forced = step
    query: dict[str, str | int | bool | None] = {"fieldManager": manager, "fieldValidation": "Ignore"}
    if forced:
        query["force"] = True
    path = resource.path(namespace, "x")
    try:
        return 200, shown(await kube.request("PATCH", path, body=patch, content_type=kind, query=query))
    except StatusError as error:
        return error.code, None


@pytest.mark.skipif(not KUBECONFIG, reason="ORACLE_KUBECONFIG names no cluster to compare with")
@pytest.mark.parametrize("resource", [CONFIG_MAPS, DEPLOYMENTS], ids=lambda each: each.plural)
async def test_random_patches(registry: LocalRegistry, resource: Resource) -> None:
    namespace = f"oracle-{uuid.uuid4().hex[:8]}"
    async with KubeClient(load_kubeconfig(Path(KUBECONFIG))) as kube:
        await kube.create("namespaces", {"metadata": {"name": namespace}})
        try:
            for sequence in range(SEQUENCES):
                await _compare(registry, kube, namespace, resource, f"{SEED} {sequence}")
        finally:
            await kube.delete("namespaces", namespace)


async def _compare(
    registry: LocalRegistry, kube: KubeClient, namespace: str, resource: Resource, seed: str
) -> None:
    patches, steps = Patches(seed), []
    for _ in range(6):
        step = patches.step(resource)
        steps.append(step)
        mine, theirs = (
            here(registry, resource, copy.deepcopy(step)),
            await there(kube, namespace, resource, step),
        )
        if theirs[0] == 500 and mine[0] in (400, 422):
            continue  # a strategic merge patch that does not apply: documented
        assert mine == theirs, f"{seed}: {steps}\nhere  {mine}\nthere {theirs}"
    gone = (MERGE_PATCH, {"metadata": {"finalizers": None}}, "end", False)
    here(registry, resource, gone)
    await there(kube, namespace, resource, gone)
    for delete in (
        lambda: registry.delete(resource, "default", "x"),
        lambda: kube.delete(resource, "x", namespace, grace_period_seconds=0),
    ):
        try:
            done = delete()
            if not isinstance(done, tuple):
                await done
        except StatusError as error:
            if error.code != 404:
                raise
