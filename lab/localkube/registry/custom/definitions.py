"""CustomResourceDefinitions as objects: their defaults, and the status that writes give them.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/defaults.go and
pkg/registry/customresourcedefinition/{strategy,etcd}.go.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def set_definition_defaults(definition: KubeObject) -> None:
    """Fill in what the definition leaves open, in place."""
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if not names.get("singular") and names.get("kind"):
        names["singular"] = names["kind"].lower()
    if not names.get("listKind") and names.get("kind"):
        names["listKind"] = f"{names['kind']}List"
    spec.setdefault("conversion", {"strategy": "None"})
    for version in spec.get("versions") or ():
        version.setdefault("served", False)
        version.setdefault("storage", False)
        for column in version.get("additionalPrinterColumns") or ():
            if not column.get("priority"):
                column.pop("priority", None)


def begin_status(definition: KubeObject) -> None:
    """The status of a new definition, in place."""
    definition["status"] = {
        "acceptedNames": {"plural": "", "kind": ""},
        "conditions": [],
        "storedVersions": _storage(definition),
    }


def carry_status(old: KubeObject, new: KubeObject) -> None:
    """Remember a new storage version in the status of an updated definition, in place."""
    status = dict(old.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    status["storedVersions"] = stored + [each for each in _storage(new) if each not in stored]
    new["status"] = status


def _storage(definition: KubeObject) -> list[str]:
    versions = (definition.get("spec") or {}).get("versions") or ()
    return [version.get("name", "") for version in versions if version.get("storage")][:1]


def begin_cleanup(definition: KubeObject, now: str) -> None:
    """What the first request to delete does, in place: instances must go before their definition does."""
    finalizers = definition["metadata"].setdefault("finalizers", [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    condition = {
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; "
        "CustomResource deletion will occur as soon as possible",
    }
    status = definition.setdefault("status", {})
    others = [each for each in status.get("conditions") or () if each.get("type") != "Terminating"]
    status["conditions"] = [*others, condition]
