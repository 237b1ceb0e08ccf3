"""Which images a cluster runs instead of those that the manifests name."""

from __future__ import annotations

import re

import yaml

from lab.core.places import data_root
from lab.errors import UsageError

OWN_IMAGE = "toil-lab"
"""All of the lab's own parts run it, and the candidate's pod."""

_REGISTRY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def pinned_images() -> dict[str, str]:
    """Image of a manifest → the same by tag and digest, of a public registry."""
    return dict(yaml.safe_load((data_root() / "clusters" / "images.yaml").read_text()))


def tagged_images(registry: str = "") -> dict[str, str]:
    """Image of a manifest → the same by tag: of its public registry, or as `REGISTRY/library/postgres:TAG`;
    there the lab's own is too. registry: HOST[:PORT][/PATH].

    Raises UsageError when that is not a registry.
    """
    tagged = {name: pinned.partition("@")[0] for name, pinned in pinned_images().items()}
    if not registry:
        return tagged
    place = registry.rstrip("/")
    if not _REGISTRY.fullmatch(place):
        raise UsageError(
            f"{registry!r} is not a registry",
            hint="name it without a scheme, as in registry.example.com:5000/team",
        )
    moved = {name: f"{place}/{image.partition('/')[2]}" for name, image in tagged.items()}
    return moved | {OWN_IMAGE: f"{place}/{OWN_IMAGE}"}
