"""Patches have the outcome that Kubernetes gives them, case by case."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.kube.patch import MAX_COPIED_BYTES, PatchError, json_patch, merge_patch
from lab.kube.schema import Schema, definition_for
from lab.kube.strategic import strategic_merge_patch

DATA = Path(__file__).parent / "data"
DOCUMENT = {"a": 1, "l": [1, 2, 3], "m": {"x": None, "y": {"z": "q"}}, "e/f": 1, "g~h": 2}
KINDS = {
    "Pod": definition_for("", "v1", "Pod"),
    "Service": definition_for("", "v1", "Service"),
    "Deployment": definition_for("apps", "v1", "Deployment"),
}


def cases(file: str) -> list[Any]:
    rows = yaml.load((DATA / file).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return [pytest.param(row, id=row["case"].replace(" ", "-")) for row in rows]


@pytest.mark.parametrize("row", cases("strategic_merge_patches.yaml"))
def test_strategic_merge_patch(row: dict[str, Any]) -> None:
    document, patch = copy.deepcopy(row["document"]), copy.deepcopy(row["patch"])
    schema: Schema | None = KINDS[row["kind"]]
    if row.get("refused"):
        with pytest.raises(PatchError):
            strategic_merge_patch(document, patch, schema)
    else:
        assert strategic_merge_patch(document, patch, schema) == row["result"]
    assert (document, patch) == (row["document"], row["patch"])


@pytest.mark.parametrize("row", cases("json_patches.yaml"))
def test_json_patch(row: dict[str, Any]) -> None:
    document, patch = copy.deepcopy(DOCUMENT), copy.deepcopy(row["patch"])
    if row.get("refused"):
        with pytest.raises(PatchError):
            json_patch(document, patch)
    else:
        assert json_patch(document, patch) == row["result"]
    assert (document, patch) == (DOCUMENT, row["patch"])


def test_copies_that_double_are_bounded() -> None:
    grow = [{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(40)]
    with pytest.raises(PatchError, match=f"exceeding the limit {MAX_COPIED_BYTES}"):
        json_patch({"a": {"x": "y" * 100}}, grow)


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({}, {"l": [{"a": None}]}, {"l": [{}]}),
        ({"l": [1]}, {"l": [{"a": None, "b": 1}, None]}, {"l": [{"b": 1}, None]}),
        ({"l": {}}, {"l": [{"a": None}]}, {"l": [{"a": None}]}),
        ({"l": None}, {"l": {"a": None}}, {"l": {}}),
    ],
)
def test_merge_patch_prunes_nulls_as_the_api_server_does(document: Any, patch: Any, result: Any) -> None:
    assert merge_patch(document, patch) == result
