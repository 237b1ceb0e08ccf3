"""Optional parts of a lab that have a file of their own, and what a part needs of the provider."""

from __future__ import annotations

from pathlib import Path

from lab.errors import UsageError
from lab.kube.objects import KubeObject, labels_of, name_of
from lab.providers.base import Provider

OPTIONAL = "toil-lab/optional"
"""Label of the Deployment of an optional part; its value is the name by which `lab up --with` asks for it."""

NEEDS = "toil-lab/needs"
"""Label of a Deployment that not every provider can run; its value is what that takes."""

ANY_IMAGE = "any-image"


def part_names(folder: Path) -> frozenset[str]:
    """The optional parts that have a file."""
    return frozenset(path.stem for path in folder.glob("*.yaml"))


def files_of(parts: frozenset[str], folder: Path) -> list[Path]:
    """The files of those that are wanted. Nothing is loaded of the others: a lab does not pay for them."""
    return [folder / f"{name}.yaml" for name in sorted(parts & part_names(folder))]


def refuse_lacking(deployments: list[KubeObject], provider: Provider) -> None:
    """Raise UsageError for a Deployment that this provider cannot run."""
    for deployment in deployments:
        needs = labels_of(deployment).get(NEEDS)
        if needs == ANY_IMAGE and not provider.capabilities.any_image:
            raise UsageError(
                f"the part {name_of(deployment)} needs a cluster that runs any image; the provider"
                f" {provider.name} runs programs of this machine, and has none for it",
                hint="docs/monitoring.md: run it in a cluster, or beside the lab with the files of clusters/",
            )
