import pytest

from lab.kube.resources import BUILTIN
from lab.kube.schema import definition_for, definition_name, definitions, reference, resolve


@pytest.mark.parametrize("resource", BUILTIN, ids=lambda resource: resource.key)
def test_every_served_kind_has_a_schema(resource) -> None:
    schema = definition_for(resource.group, resource.version, resource.kind)
    assert schema is not None
    assert "metadata" in schema["properties"]


def test_merge_keys_are_kept() -> None:
    spec = definitions()["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert spec["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["containers"]["x-kubernetes-list-map-keys"] == ["name"]


def test_references_lead_to_definitions() -> None:
    names = definitions().keys()

    def check(schema: dict) -> None:
        name = reference(schema)
        assert name is None or name in names
        for prop in schema.get("properties", {}).values():
            check(prop)
        for inner in (schema.get("items"), schema.get("additionalProperties")):
            if isinstance(inner, dict):
                check(inner)

    for schema in names:
        check(definitions()[schema])


def test_resolve_follows_references() -> None:
    deployment = definition_for("apps", "v1", "Deployment")
    assert deployment is not None
    assert "replicas" in resolve(deployment["properties"]["spec"])["properties"]


def test_unknown_kind_has_none() -> None:
    assert definition_for("example.com", "v1", "Thing") is None
    assert definition_name("meta.k8s.io", "v1", "DeleteOptions") is None
