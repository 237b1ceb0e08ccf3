"""CustomResourceDefinitions: accepts their names, serves them, and clears away what a deleted one leaves.

Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,finalizer}.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.kube.objects import KubeObject, name_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers.base import Controller, deleting, find_condition, with_condition
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent

DEFINITIONS = builtin("CustomResourceDefinition")
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
RECHECK = 5.0
"""Seconds between looks at instances that finalizers of their own keep."""

_SINGLE = ("plural", "singular", "kind", "listKind")
_NOTHING: KubeObject = {"plural": "", "kind": ""}


class CustomResourceController(Controller):
    """CustomResourceDefinition → its names, conditions and, when it is deleted, the end of its instances."""

    name = "customresourcedefinition-controller"
    listens = frozenset({"*"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.key == DEFINITIONS.key:
            if event.type != "DELETED" and event.previous is None:
                return [("", name_of(event.object))]
            group = event.object["spec"].get("group")  # others may wait for a name that is free now
            siblings = [
                each for each in self.cache.all(DEFINITIONS.key) if each["spec"].get("group") == group
            ]
            return [("", name_of(each)) for each in siblings]
        if event.type != "DELETED":
            return ()
        definition = self.cache.get(DEFINITIONS.key, "", resource.key)
        return [("", resource.key)] if definition is not None and deleting(definition) else ()

    def reconcile(self, key: Key) -> float | None:
        definition = self.cache.get(DEFINITIONS.key, *key)
        if definition is None:
            return None
        if deleting(definition):
            return self._clear(definition)
        self._accept(definition)
        return None

    def _accept(self, definition: KubeObject) -> None:
        """Accept the names that no other definition of the group holds, and establish what has all of its."""
        status = dict(definition.get("status") or {})
        wanted, others = definition["spec"]["names"], self._others(definition)
        before = status.get("acceptedNames") or {}
        accepted, problem = _accepted(wanted, before, others)
        status["acceptedNames"] = accepted
        if problem:
            names = self._condition("NamesAccepted", "False", *problem)
        else:
            names = self._condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")
        conditions = with_condition(status.get("conditions") or (), names)
        established = find_condition(definition, "Established")
        if established is None or established["status"] != "True":
            condition = (
                self._condition("Established", "False", "NotAccepted", "not all names are accepted")
                if problem
                else self._condition(
                    "Established", "True", "InitialNamesAccepted", "the initial names have been accepted"
                )
            )
            conditions = with_condition(conditions, condition)
        status["conditions"] = conditions
        self.write_status(DEFINITIONS, definition, status)

    def _condition(self, type: str, status: str, reason: str, message: str) -> KubeObject:
        return {
            "type": type,
            "status": status,
            "lastTransitionTime": self.timestamp(),
            "reason": reason,
            "message": message,
        }

    def _others(self, definition: KubeObject) -> list[KubeObject]:
        """The accepted names of the other definitions of the group."""
        group = definition["spec"]["group"]
        return [
            (each.get("status") or {}).get("acceptedNames") or {}
            for each in self.cache.all(DEFINITIONS.key)
            if each["spec"].get("group") == group and name_of(each) != name_of(definition)
        ]

    def _clear(self, definition: KubeObject) -> float | None:
        """Delete every instance; when none is left, let the definition go."""
        finalizers = definition["metadata"].get("finalizers") or []
        if FINALIZER not in finalizers:
            return None
        key = name_of(definition)
        resource = self.cache.resources.get(key)
        for obj in self.cache.all(key):
            if resource is not None and not deleting(obj):
                self.delete(resource, obj)
        left = self.cache.count(key)
        if left:
            self._report(definition, "True", "InstanceDeletionInProgress", f"{left} instances are left")
            return RECHECK
        self._report(definition, "False", "InstanceDeletionCompleted", "removed all instances")
        present = self.cache.get(DEFINITIONS.key, "", key)
        if present is not None:
            rest = [each for each in finalizers if each != FINALIZER]
            self.patch(DEFINITIONS, present, {"metadata": {"finalizers": rest or None}})
        return None

    def _report(self, definition: KubeObject, status: str, reason: str, message: str) -> None:
        condition = self._condition("Terminating", status, reason, message)
        new = dict(definition.get("status") or {})
        new["conditions"] = with_condition(new.get("conditions") or (), condition)
        self.write_status(DEFINITIONS, definition, new)


def _accepted(
    wanted: KubeObject, before: KubeObject, others: list[KubeObject]
) -> tuple[KubeObject, tuple[str, str] | None]:
    """The names to serve under, and (reason, message) of the last conflict."""
    resources = {name for each in others for name in _resource_names(each)}
    kinds = {each[field] for each in others for field in ("kind", "listKind") if each.get(field)}
    accepted, problem = {**_NOTHING, **before}, None
    for field in _SINGLE:
        name = wanted.get(field, "")
        if name in (kinds if field.lower().endswith("kind") else resources):
            problem = (f"{field[0].upper()}{field[1:]}Conflict", f'"{name}" is already in use')
        else:
            accepted[field] = name
    short = wanted.get("shortNames") or []
    taken = [name for name in short if name in resources]
    if taken:
        problem = ("ShortNamesConflict", ", ".join(f'"{name}" is already in use' for name in taken))
    else:
        accepted = _with(accepted, "shortNames", short)
    return _with(accepted, "categories", wanted.get("categories") or []), problem


def _resource_names(names: KubeObject) -> list[str]:
    return [
        name
        for name in (names.get("plural"), names.get("singular"), *(names.get("shortNames") or ()))
        if name
    ]


def _with(names: KubeObject, field: str, values: list[str]) -> KubeObject:
    rest = {key: value for key, value in names.items() if key != field}
    return rest | ({field: list(values)} if values else {})
