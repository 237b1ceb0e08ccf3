"""Applies and updates one after another: what they make of an object, and who owns it then, case by case."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.kube.schema import definition_for
from lab.kube.status import StatusError
from lab.localkube.registry.applying import apply_intent
from lab.localkube.registry.decoding import conform
from lab.localkube.registry.ownership import (
    Manager,
    created_fields,
    fields_of,
    read_managers,
    track_update,
    write_managers,
)

CASES = Path(__file__).parent / "data" / "apply_sequences.yaml"
SCHEMAS = {
    "ConfigMap": definition_for("", "v1", "ConfigMap"),
    "Deployment": definition_for("apps", "v1", "Deployment"),
}


def cases() -> list[Any]:
    rows = yaml.load(CASES.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return [pytest.param(row["steps"], id=row["case"].replace(" ", "-")) for row in rows]


def full(value: Any) -> Any:
    """A value without what is empty."""
    if isinstance(value, dict):
        members = {key: full(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member not in (None, {}, [])}
    return [full(item) for item in value] if isinstance(value, list) else value


def typed(obj: dict[str, Any]) -> dict[str, Any]:
    """An object as its kind holds it."""
    group, _, version = obj["apiVersion"].rpartition("/")
    known = {key: value for key, value in obj.items() if value != {}}
    return conform(known, group, version, obj["kind"])[0]


def take(live: dict[str, Any] | None, step: dict[str, Any]) -> dict[str, Any]:
    """The object after one step."""
    wish, operation = copy.deepcopy(step["object"]), "Apply" if "apply" in step else "Update"
    schema, nothing = SCHEMAS[wish["kind"]], typed({**wish, "metadata": {}, "spec": {}, "data": {}})
    assert schema is not None
    wish = wish if operation == "Apply" else typed(wish)
    author = Manager(step[operation.lower()], operation, wish["apiVersion"])
    if live is None:
        applied = frozenset(fields_of(wish, schema, ""))
        paths = applied if operation == "Apply" else created_fields(wish, schema, "", nothing)
        managers = [replace(author, paths=paths)]
    elif operation == "Apply":
        done = apply_intent(live, wish, schema, author, force=step.get("force", False))
        wish, managers = copy.deepcopy(done.obj), done.managers
    else:
        managers = track_update(live, wish, schema, read_managers(live["metadata"]), author)
    wish = typed(wish)
    write_managers(wish["metadata"], managers)
    return wish


def play(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The outcome of each step."""
    live: dict[str, Any] | None = None
    for step in steps:
        before = copy.deepcopy(live)
        try:
            live = take(live, step)
        except StatusError as refused:
            yield {"conflict": refused.message}
            assert live == before
            continue
        shown = {
            key: value for key, value in copy.deepcopy(live).items() if key not in ("apiVersion", "kind")
        }
        managers = shown["metadata"].pop("managedFields", [])
        del shown["metadata"]["name"]
        owners = {f"{entry['manager']} {entry['operation']}": entry["fieldsV1"] for entry in managers}
        yield {"object": full(shown), "owners": owners}


@pytest.mark.parametrize("steps", cases())
def test_sequence(steps: list[dict[str, Any]]) -> None:
    for step, outcome in zip(steps, play(steps), strict=True):
        if "conflict" in step:
            assert outcome == {"conflict": step["conflict"]}
        else:
            assert outcome == {"object": step["gives"], "owners": step["owners"]}
