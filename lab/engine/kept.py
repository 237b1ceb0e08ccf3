"""What an administrator made for a lab, held to what this version of the lab would make itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lab.engine.renaming import renamed
from lab.errors import ProviderError
from lab.kube.objects import KubeObject, name_of, namespace_of

if TYPE_CHECKING:
    from lab.engine.kube import Kube
    from lab.providers.base import Cluster


def without_kept(manifests: Iterable[KubeObject], kube: Kube, cluster: Cluster) -> list[KubeObject]:
    """The manifests of what is still to be made.

    Raises ProviderError naming each field in which something that is there differs: a wall that an older
    version described might let through what this one promises to hold.
    """
    made, problems = [], []
    for manifest in manifests:
        wanted = renamed(manifest, cluster.namespaces)
        kind, name = wanted["kind"], name_of(wanted)
        if namespace_of(wanted) or f"{kind}/{name}" not in cluster.kept:
            made.append(manifest)
            continue
        found = kube.of_no_namespace(kind, wanted["apiVersion"], name)
        problems += [f"{kind} {name}: {field}" for field in differing(wanted, found)]
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise ProviderError(
            f"what an administrator made for this lab is not as this version needs it:{listed}",
            hint="an administrator applies once more what lab manifests namespaces prints: docs/providers.md",
        )
    return made


def differing(wanted: Any, found: Any, field: str = "") -> Iterator[str]:
    """The paths of the fields that are wanted and not found so. What is found beside them is a server's
    default, or somebody's own label."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from differing(value, found.get(key), f"{field}.{key}".lstrip("."))
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for place, (value, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differing(value, other, f"{field}[{place}]")
    elif wanted != found:
        yield field
