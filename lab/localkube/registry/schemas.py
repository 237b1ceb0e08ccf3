"""The schema that says who owns which field of a resource's objects."""

from __future__ import annotations

from lab.kube.resources import Resource
from lab.kube.schema import Schema, definition_for
from lab.localkube.registry.custom.resource import CustomResource


def schema_of(resource: Resource) -> Schema | None:
    """The schema of a resource's kind, or None when nothing is known of it."""
    if isinstance(resource, CustomResource):
        return resource.published
    return definition_for(resource.group, resource.version, resource.kind)
