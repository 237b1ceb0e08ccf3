"""The three namespaces of a lab, and what they are called in a cluster that holds several labs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

SHOP, LAB_SYSTEM, AUTOMATION = "shop", "lab-system", "automation"
PLAIN = (SHOP, LAB_SYSTEM, AUTOMATION)
"""Their plain names, by which every part of the lab, every exercise and every candidate speaks of them."""

PREFIX_VARIABLE = "LAB_NAMESPACE_PREFIX"
"""How a pod of the lab learns the prefix; empty or absent where the plain names are the real ones."""

GROUPS = ("toil-lab:shadow", "toil-lab:live")
"""The groups that the gateway impersonates."""

_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")
_LONGEST = 52
_DIGEST = 6


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Plain names to the cluster's and back. prefix: stands before them, with a hyphen; empty: they are the
    same. Names of other namespaces stay what they are."""

    prefix: str = ""

    def real(self, name: str) -> str:
        """What the cluster calls a namespace; a name that is the cluster's already stays."""
        return f"{self.prefix}-{name}" if self.prefix and name in PLAIN else name

    def plain(self, name: str) -> str:
        """What the lab calls a namespace of the cluster."""
        return name.removeprefix(f"{self.prefix}-") if self.prefix and name in self.all else name

    @property
    def all(self) -> tuple[str, ...]:
        """The lab's namespaces, as the cluster calls them."""
        return tuple(self.real(name) for name in PLAIN)

    def of_cluster(self, name: str) -> str:
        """The name of an object of the lab that lies in no namespace."""
        return f"{self.prefix}-{name}" if self.prefix else name

    def group(self, name: str) -> str:
        """A group that the gateway impersonates (`toil-lab:shadow`), as this lab's alone."""
        return name.replace(":", f":{self.prefix}:", 1) if self.prefix else name

    def host(self, service: str, namespace: str) -> str:
        """The host name of a Service."""
        return f"{service}.{self.real(namespace)}.svc"


NO_PREFIX = Namespaces()
"""Of a cluster that holds one lab."""


def prefix_for(lab: str) -> str:
    """The prefix of a lab's namespaces: its name, or what a namespace can be called of it and a digest."""
    if _PREFIX.fullmatch(lab):
        return lab
    digest = hashlib.sha256(lab.encode()).hexdigest()[:_DIGEST]
    cleaned = re.sub(r"[^a-z0-9]+", "-", lab.lower()).strip("-")[: _LONGEST - _DIGEST - 1].strip("-")
    return f"{cleaned}-{digest}" if cleaned else f"lab-{digest}"
