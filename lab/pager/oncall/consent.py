"""What the human consents to: a small policy, and a pure function of the request.

1. A protected target is refused: the lab's and the cluster's own namespaces, cluster-wide objects, secrets,
   the database, and whatever names no single object.
2. A reason that says nothing is refused: fewer than three words.
3. An open incident is grounds enough.
4. Without one, a restore point must say how to get back: more than `none`, `n/a` and the like.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.approval import Approval, Deed

PROTECTED_NAMESPACES = frozenset({"lab-system", "kube-system", "kube-public", "kube-node-lease"})
DATABASE = "db"
LEAST_WORDS = 3
LEAST_CHARACTERS = 6
NO_RESTORE_POINT = frozenset(
    {"", "-", "none", "no", "n/a", "na", "nothing", "unknown", "todo", "tbd", "test", "not needed"}
)


@dataclass(frozen=True, slots=True)
class Consent:
    """Yes or no, and why."""

    given: bool
    why: str


def consider(request: Approval, incident_is_open: bool) -> Consent:
    """Decide. incident_is_open: whether the incident that the request names is; False when it names none."""
    protected = _protected(request.deed)
    if protected:
        return Consent(False, protected)
    if len(request.reason.split()) < LEAST_WORDS:
        return Consent(False, f"the reason {request.reason[:40]!r} does not say why; write a sentence")
    if request.incident and incident_is_open:
        return Consent(True, f"incident {request.incident} is open")
    restore_point = request.restore_point.strip()
    if restore_point.casefold() not in NO_RESTORE_POINT and len(restore_point) >= LEAST_CHARACTERS:
        return Consent(True, f"it can be taken back: {restore_point[:80]}")
    if request.incident:
        return Consent(False, f"incident {request.incident} is over and there is no restore point")
    return Consent(False, "it names neither an open incident nor a restore point")


def _protected(deed: Deed) -> str:
    """Why the target is protected; empty when it is not."""
    if deed.namespace in PROTECTED_NAMESPACES:
        return f"namespace {deed.namespace} is not the automation's"
    if not deed.namespace:
        return "a cluster-wide object is not touched on call"
    if not deed.name:
        return "it names no single object"
    if deed.resource == "secrets":
        return "secrets are their owner's"
    if deed.name == DATABASE or deed.name.startswith(f"{DATABASE}-"):
        return "the database is its owner's"
    return ""
