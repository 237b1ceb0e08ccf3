"""Every Kubernetes object that this repository holds, each with the file it stands in.

The lab's own manifests, what `lab up` adds to them, and the blocks of the documentation.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.core.places import data_root
from lab.engine.objects import DATABASE_OPS, made_objects
from lab.engine.settings import LabSettings

OTHERS = ("toil-lab", "kind.x-k8s.io", "monitoring.coreos.com")
"""Groups that are not upstream's: the lab's own files, kind's configuration, the Prometheus Operator."""

_FENCED = re.compile(r"^```ya?ml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4}.*\n|^\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Manifest:
    """An object and the file it stands in."""

    file: str
    obj: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.obj["kind"])

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"].get("namespace", ""))

    def __str__(self) -> str:
        return f"{self.file}: {self.kind} {self.name}"


def stored() -> list[Manifest]:
    """What the files of `clusters` hold."""
    return [
        Manifest(_shown(path), document)
        for path in sorted((data_root() / "clusters").rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if _is_upstream(document)
    ]


def made() -> list[Manifest]:
    """What no file can hold, as `lab up` makes it with all optional parts."""
    settings = LabSettings(extras=f"logstore,{DATABASE_OPS}")
    services = [m for m in stored() if m.kind == "Service"]
    addresses = {f"{m.namespace}/{m.name}": f"10.0.0.{n}" for n, m in enumerate(services, 1)}
    return [Manifest("lab/engine/objects.py", obj) for obj in made_objects(settings, "token", addresses)]


def documented() -> list[Manifest]:
    """Objects that the documentation shows, in fenced or in indented blocks."""
    return [
        Manifest(_shown(page), document)
        for page in sorted((data_root() / "docs").glob("*.md"))
        for block in _blocks(page.read_text())
        for document in yaml.safe_load_all(block)
        if _is_upstream(document)
    ]


def _blocks(text: str) -> Iterator[str]:
    for block in [*_FENCED.findall(text), *(textwrap.dedent(b) for b in _INDENTED.findall(text))]:
        if block.lstrip().startswith(("apiVersion:", "kind:")):
            yield block


def _is_upstream(document: Any) -> bool:
    if not isinstance(document, dict) or not {"apiVersion", "kind"} <= document.keys():
        return False
    return str(document["apiVersion"]).partition("/")[0] not in OTHERS


def _shown(path: Path) -> str:
    return str(path.relative_to(data_root()))
