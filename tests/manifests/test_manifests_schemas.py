"""Every manifest against upstream's schemas of three minor versions, in which no unknown field passes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import lru_cache

import kubernetes_validate
import pytest
from kubernetes_validate import utils
from manifest_files import Manifest, documented, made, stored

from lab.providers.guest import OLDEST_MINOR

MINORS = (f"1.{OLDEST_MINOR}", "1.33", "1.37")
"""The oldest that the lab runs on, and two that clusters have today."""


@pytest.fixture(scope="module", autouse=True)
def _each_schema_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", lru_cache(utils.schema_contents))
        yield


def problems(manifests: list[Manifest], minor: str) -> list[str]:
    """A line for each object that the version's schema refuses: file, object, field, why."""
    found = []
    for manifest in manifests:
        try:
            kubernetes_validate.validate(manifest.obj, minor, strict=True)
        except kubernetes_validate.ValidationError as error:
            field = ".".join(str(step) for step in error.absolute_path) or "the object"
            found.append(f"{manifest}: {field}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            found.append(f"{manifest}: {error.message}")
    return found


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    """Everything, from each of the three places."""
    places = (stored(), made(), documented())
    assert all(places)
    return [manifest for place in places for manifest in place]


@pytest.mark.parametrize("minor", MINORS)
def test_every_manifest_keeps_to_the_schema(manifests: list[Manifest], minor: str) -> None:
    assert problems(manifests, minor) == []


@pytest.mark.parametrize("minor", MINORS)
def test_the_schemas_are_those_of_that_version(manifests: list[Manifest], minor: str) -> None:
    assert kubernetes_validate.validate(manifests[0].obj, minor, strict=True) == minor


def test_what_is_wrong_is_named_by_file_object_and_field(manifests: list[Manifest]) -> None:
    deployment = next(m for m in manifests if (m.kind, m.name) == ("Deployment", "worker"))
    wrong = copy.deepcopy(deployment.obj)
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Never"
    (said,) = problems([Manifest(deployment.file, wrong)], MINORS[0])
    assert said.startswith(
        "clusters/base/shop/worker.yaml: Deployment worker: spec.template.spec.containers.0:"
    )
    assert "imagePullPolice" in said

    del wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"]
    wrong["spec"]["replicas"] = "eight"
    (said,) = problems([Manifest(deployment.file, wrong)], MINORS[0])
    assert "spec.replicas: 'eight' is not of type" in said

    wrong["apiVersion"] = "apps/v1beta2"  # upstream removed it in 1.16
    (said,) = problems([Manifest(deployment.file, wrong)], MINORS[0])
    assert "apps/v1beta2" in said
