"""Is an object valid? Every problem at once, as one 422 with a cause per field."""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.kube.status import invalid
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.metadata import check_metadata, check_metadata_update


def validate(resource: Resource, obj: KubeObject) -> None:
    """Refuse an invalid object. Raises StatusError 422."""
    causes = Causes()
    check_metadata(resource, obj["metadata"], causes)
    _report(resource, obj, causes)


def validate_update(resource: Resource, old: KubeObject, new: KubeObject) -> None:
    """Refuse a change of what cannot change. Raises StatusError 422 or 403."""
    causes = Causes()
    check_metadata_update(old["metadata"], new["metadata"], causes)
    _report(resource, new, causes)


def _report(resource: Resource, obj: KubeObject, causes: Causes) -> None:
    if causes.found:
        raise invalid(resource.kind, resource.group, obj["metadata"].get("name", ""), causes.found)
