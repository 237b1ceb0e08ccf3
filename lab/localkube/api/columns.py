"""The small vocabulary of table columns: what a column is, ages, lists of things.

Source: kubernetes pkg/printers/internalversion/printers.go and apimachinery's duration.HumanDuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.core.clock import parse_rfc3339
from lab.kube.objects import KubeObject

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `cell` makes a value from an object and the present instant; wide ones have priority 1."""

    name: str
    cell: Callable[[KubeObject, datetime], Any]
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    def definition(self) -> dict[str, Any]:
        """metav1.TableColumnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def at(obj: Any, *path: str, default: Any = None) -> Any:
    """A nested value; the default when any step is absent or null."""
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
        if obj is None:
            return default
    return obj


def field(name: str, *path: str, default: Any = NONE, type: str = "string", wide: bool = False) -> Column:
    """A column that shows one field."""
    return Column(name, lambda obj, _: at(obj, *path, default=default), type, int(wide))


def number(name: str, *path: str, default: int = 0) -> Column:
    """A column that shows an integer field."""
    return field(name, *path, default=default, type="integer")


NAME = Column("Name", lambda obj, _: at(obj, "metadata", "name", default=""), format="name")
AGE = Column("Age", lambda obj, now: age(at(obj, "metadata", "creationTimestamp"), now))
CREATED = field("Created At", "metadata", "creationTimestamp", default="", type="date")


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago an instant was, in kubectl's short form."""
    if not timestamp:
        return UNKNOWN
    try:
        return human_duration((now - parse_rfc3339(timestamp)).total_seconds())
    except ValueError:
        return UNKNOWN


def human_duration(seconds: float) -> str:
    """`5s`, `2m3s`, `10m`, `3h5m`, `20h`, `2d3h`, `40d`, `2y10d`: at most two units, one when it is big."""
    if seconds < -1:
        return "<invalid>"
    total = max(0, int(seconds))
    minutes, hours, days, years = total // 60, total // 3600, total // 86400, total // 31536000
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(big: int, unit: str, small: int, small_unit: str) -> str:
    return f"{big}{unit}{small}{small_unit}" if small else f"{big}{unit}"


def joined(values: Sequence[Any], most: int = 0) -> str:
    """Comma separated; beyond `most` it says how many more there are."""
    texts = [str(value) for value in values]
    if not texts:
        return NONE
    if most and len(texts) > most:
        return f"{','.join(texts[:most])} + {len(texts) - most} more..."
    return ",".join(texts)


def labels_text(labels: Mapping[str, str] | None) -> str:
    """`a=b,c=d` in key order."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as upstream writes it: all of its requirements in the order of their keys."""
    if not selector:
        return NONE
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression.get("key", ""), expression.get("operator", "")
        values = ",".join(sorted(expression.get("values") or ()))
        forms = {"Exists": key, "DoesNotExist": f"!{key}"}
        parts.append((key, forms.get(operator, f"{key} {operator.lower()} ({values})")))
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0])) or NONE


def container_columns(*path: str, wide: bool = True) -> tuple[Column, Column]:
    """The columns Containers and Images of a pod template below `path`."""

    def containers(obj: KubeObject) -> Sequence[Mapping[str, Any]]:
        return at(obj, *path, "spec", "containers", default=()) or ()

    return (
        Column("Containers", lambda obj, _: joined([c["name"] for c in containers(obj)]), priority=int(wide)),
        Column(
            "Images", lambda obj, _: joined([c.get("image") for c in containers(obj)]), priority=int(wide)
        ),
    )


def label_selector_column(*path: str) -> Column:
    """The wide column with the LabelSelector `selector` below `path`, by default `spec`."""
    place = (*(path or ("spec",)), "selector")
    return Column("Selector", lambda obj, _: selector_text(at(obj, *place)), priority=1)
