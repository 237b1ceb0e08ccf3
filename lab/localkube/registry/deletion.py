"""What DELETE means: preconditions, grace, finalizers, propagation, namespaces.

Source: k8s.io/apiserver/pkg/registry/rest/delete.go, pkg/registry/generic/registry/store.go,
k8s.io/kubernetes/pkg/registry/core/{pod,namespace}.
"""

from __future__ import annotations

from datetime import timedelta

from lab.core.clock import parse_rfc3339
from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.kube.status import StatusError, conflict, forbidden, invalid
from lab.localkube.protocols import AdmissionRequest, DeleteOptions, WriteOptions
from lab.localkube.registry.core import TIME_FORMAT, Core
from lab.localkube.registry.custom.definitions import begin_cleanup
from lab.localkube.registry.decoding import thaw
from lab.localkube.registry.served import CUSTOM_DEFINITIONS, NAMESPACES, PODS

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_POLICIES = ("Foreground", "Background", "Orphan")


def check_preconditions(resource: Resource, obj: KubeObject, preconditions: dict[str, str]) -> None:
    """Compare uid and resourceVersion. Raises StatusError 409, which names the kind and not the plural."""
    metadata = obj["metadata"]
    for field, text, change in (
        ("uid", "UID", "deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "modified"),
    ):
        wanted, there = preconditions.get(field), metadata[field]
        if wanted and wanted != there:
            why = (
                f"the {text} in the precondition ({wanted}) does not match the {text} in record ({there}). "
                f"The object might have been {change}"
            )
            raise conflict(resource.kind, resource.group, metadata["name"], why)


def is_finished(pod: KubeObject) -> bool:
    """Has a pod reached a terminal phase?"""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def finalized(resource: Resource, obj: KubeObject) -> bool:
    """Is an object being deleted with nothing left to wait for?"""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if resource.key == NAMESPACES.key:
        return not (obj.get("spec") or {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")


class Deleter:
    """Deletes objects, or marks them so that others may finish."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        delete: DeleteOptions,
        options: WriteOptions,
        *,
        admit_as: str | None = None,
    ) -> tuple[KubeObject, bool]:
        """Delete an object; True when it is gone now. Raises StatusError 403, 404, 409 or 422.

        admit_as: the name in the request when it is another one: empty for a whole collection.
        """
        admitted = name if admit_as is None else admit_as
        return self._delete(resource, namespace, name, delete, options, admitted)

    def remove_admitted(
        self, resource: Resource, namespace: str, name: str, delete: DeleteOptions, options: WriteOptions
    ) -> None:
        """Delete an object on behalf of a request that admission has seen already."""
        self._delete(resource, namespace, name, delete, options, None)

    def _delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        delete: DeleteOptions,
        options: WriteOptions,
        admitted: str | None,
    ) -> tuple[KubeObject, bool]:
        old = self._core.need(resource, namespace, name)
        dry_run = delete.dry_run or options.dry_run
        self._check(resource, name, delete)
        check_preconditions(resource, old, dict(delete.preconditions))
        obj = thaw(old)
        graceful, already = self._set_grace(resource, obj, delete)
        if already:
            return old, False
        if admitted is not None:
            self._core.policies.admit(
                AdmissionRequest(
                    "DELETE", resource, namespace, admitted, old=old, write=options, delete=delete
                )
            )
        if resource.key == CUSTOM_DEFINITIONS.key and not obj["metadata"].get("deletionTimestamp"):
            begin_cleanup(obj, self._core.timestamp())
        finalizers = self._finalizers(obj, delete.propagation_policy)
        if finalizers:
            obj["metadata"]["finalizers"] = finalizers
        else:
            obj["metadata"].pop("finalizers", None)
        waits = bool(finalizers) or (
            resource.key == NAMESPACES.key and bool((obj.get("spec") or {}).get("finalizers"))
        )
        if waits and not graceful:
            self._mark(obj)
        if resource.key == NAMESPACES.key and waits:
            obj.setdefault("status", {})["phase"] = "Terminating"
        if waits or (graceful and obj["metadata"]["deletionGracePeriodSeconds"] > 0):
            if obj == old:
                return old, False
            return self._core.save(resource, obj, dry_run=dry_run), False
        return self._core.erase(resource, obj, dry_run=dry_run), True

    @staticmethod
    def _check(resource: Resource, name: str, delete: DeleteOptions) -> None:
        if resource.key == NAMESPACES.key and name in _IMMORTAL:
            raise forbidden(resource.plural, "", name, "this namespace may not be deleted")
        policy = delete.propagation_policy
        if policy is not None and policy not in _POLICIES:
            supported = ", ".join(f'"{known}"' for known in (*_POLICIES, "nil"))
            message = f'Unsupported value: "{policy}": supported values: {supported}'
            raise invalid(
                "DeleteOptions", "meta.k8s.io", "", [("propagationPolicy", "FieldValueNotSupported", message)]
            )

    def _set_grace(self, resource: Resource, obj: KubeObject, delete: DeleteOptions) -> tuple[bool, bool]:
        """Mark a pod for graceful deletion: (is it graceful, was it under way already)."""
        if resource.key != PODS.key:
            return False, False
        metadata, asked = obj["metadata"], delete.grace_period_seconds
        if metadata.get("deletionTimestamp"):
            left = metadata.get("deletionGracePeriodSeconds") or 0
            if left == 0:
                return False, False
            if asked is None or asked >= left:
                return False, True
            until = parse_rfc3339(metadata["deletionTimestamp"]) + timedelta(seconds=max(asked, 0) - left)
            metadata["deletionTimestamp"] = until.strftime(TIME_FORMAT)
            metadata["deletionGracePeriodSeconds"] = max(asked, 0)
            return True, False
        spec = obj.get("spec") or {}
        period = asked if asked is not None else int(spec.get("terminationGracePeriodSeconds") or 0)
        if period < 0:
            period = 1
        if not spec.get("nodeName") or is_finished(obj):
            period = 0
        until = self._core.now() + timedelta(seconds=period)
        metadata["deletionTimestamp"] = until.strftime(TIME_FORMAT)
        metadata["deletionGracePeriodSeconds"] = period
        return True, False

    def _mark(self, obj: KubeObject) -> None:
        metadata = obj["metadata"]
        if not metadata.get("deletionTimestamp"):
            metadata["deletionTimestamp"] = self._core.timestamp()
            if metadata.get("generation"):
                metadata["generation"] += 1
        metadata["deletionGracePeriodSeconds"] = 0

    @staticmethod
    def _finalizers(obj: KubeObject, policy: str | None) -> list[str]:
        """The finalizers with the garbage collector's two set as the policy, or the object, says."""
        present = list(obj["metadata"].get("finalizers") or ())
        others = [finalizer for finalizer in present if finalizer not in (ORPHAN, FOREGROUND)]
        if policy == "Orphan" or (policy is None and ORPHAN in present):
            return [*others, ORPHAN]
        if policy == "Foreground" or (policy is None and FOREGROUND in present):
            return [*others, FOREGROUND]
        return others


def require_live_namespace(core: Core, resource: Resource, namespace: str, name: str) -> None:
    """Refuse creation in a namespace that is missing or going. Raises StatusError 404 or 403."""
    if not resource.namespaced:
        return
    found = core.namespace(namespace)
    if found is None:
        raise StatusError(
            404,
            "NotFound",
            f'namespaces "{namespace}" not found',
            details={"name": namespace, "kind": "namespaces"},
        )
    if found["metadata"].get("deletionTimestamp"):
        error = forbidden(
            resource.plural,
            resource.group,
            name,
            f"unable to create new content in namespace {namespace} because it is being terminated",
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        error.details = {**(error.details or {}), "causes": [cause]}
        raise error
