"""Where a cluster finds its images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from lab.core.places import data_root
from lab.errors import UsageError
from lab.providers.kubeconfig import KubeconfigProvider
from lab.providers.registry import OWN_IMAGE, pinned_images, tagged_images


def containers() -> Iterator[str]:
    """Every image that the manifests name."""
    folder = data_root() / "clusters"
    for path in (*(folder / "base").rglob("*.yaml"), *(folder / "parts").glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            if manifest and manifest["kind"] == "Deployment":
                yield from (found["image"] for found in manifest["spec"]["template"]["spec"]["containers"])


def test_every_image_of_the_manifests_is_pinned_by_digest() -> None:
    assert set(containers()) == {OWN_IMAGE, *pinned_images()}
    for image, pinned in pinned_images().items():
        name = image.partition(":")[0]
        assert re.fullmatch(rf"docker\.io/(library/)?{name}:[^:@]+@sha256:[0-9a-f]{{64}}", pinned)


def test_a_registry_has_every_image_under_the_same_path() -> None:
    assert tagged_images()["postgres:18"] == "docker.io/library/postgres:18.6"
    assert OWN_IMAGE not in tagged_images()
    moved = tagged_images("registry.example.com:5000/team/")
    assert moved["postgres:18"] == "registry.example.com:5000/team/library/postgres:18.6"
    assert moved[OWN_IMAGE] == "registry.example.com:5000/team/toil-lab"
    assert moved.keys() == {OWN_IMAGE, *pinned_images()}


@pytest.mark.parametrize("text", ["https://registry.example.com", "registry:5000:1", "a b", "x/Team", "x@y"])
def test_what_is_no_registry_is_refused_before_anything_is_made(text: str, tmp_path: Path) -> None:
    given = tmp_path / "config"
    given.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: t}}]\n"
    )
    provider = KubeconfigProvider(str(given), registry=text)
    for begin in (provider.check, partial(provider.create, tmp_path / "lab")):
        with pytest.raises(UsageError, match="is not a registry"):
            begin()
    assert [path.name for path in tmp_path.iterdir()] == ["config"]
