"""Columns that are computed: held against what an upstream API server answered for the same objects."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.localkube.api.columns import human_duration, joined
from lab.localkube.api.pod_columns import pod_status, row_conditions
from lab.localkube.api.printers import COLUMNS, GENERIC

PRINTED = [json.loads(line) for line in (Path(__file__).parent / "printed.jsonl").read_text().splitlines()]
"""Objects of every kind, in all of their states, with the columns and cells of upstream's tables."""
NOW = datetime(2026, 11, 26, 7, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    "row", PRINTED, ids=lambda row: f"{row['resource']}/{row['object']['metadata']['name']}"
)
def test_cells_are_upstreams(row: dict[str, Any]) -> None:
    columns = COLUMNS.get(row["resource"], GENERIC)
    assert [[column.name, column.type, column.priority] for column in columns] == row["columns"]
    assert [column.cell(row["object"], NOW) for column in columns] == row["cells"]


def test_a_pod_that_is_over_says_so() -> None:
    assert row_conditions({"status": {"phase": "Running"}}) == []
    (failed,) = row_conditions({"status": {"phase": "Failed"}})
    assert (failed["type"], failed["reason"]) == ("Completed", "Failed")


def test_deletion_shows_on_a_job_that_is_not_over() -> None:
    (status,) = [column for column in COLUMNS["jobs.batch"] if column.name == "Status"]
    deleted = {"metadata": {"deletionTimestamp": "2026-11-26T07:00:00Z"}, "status": {"conditions": []}}
    assert status.cell(deleted, NOW) == "Terminating"
    deleted["status"]["conditions"] = [{"type": "Complete", "status": "True"}]
    assert status.cell(deleted, NOW) == "Complete"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (123, "2m3s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (11100, "3h5m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (180000, "2d2h"),
        (691200, "8d"),
        (63071999, "729d"),
        (63072000, "2y"),
        (64800000, "2y20d"),
        (252288000, "8y"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_long_lists_are_cut() -> None:
    assert joined(["a", "b", "c", "d"], 3) == "a,b,c + 1 more..."
    assert joined([]) == "<none>"


def _pod(*states: dict[str, Any], phase: str = "Running", init: Any = (), **more: Any) -> dict[str, Any]:
    statuses = [{"name": f"c{i}", "ready": "running" in s, "state": s} for i, s in enumerate(states)]
    spec = {"containers": [{"name": s["name"]} for s in statuses]}
    spec["initContainers"] = [{"name": f"i{i}"} for i in range(len(init))]
    initial = [{"name": f"i{i}", "state": state} for i, state in enumerate(init)]
    status = {"phase": phase, "containerStatuses": statuses, "initContainerStatuses": initial}
    return {"metadata": more, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("pod", "text"),
    [
        (_pod({"running": {}}), "Running"),
        (_pod({"waiting": {"reason": "CrashLoopBackOff"}}), "CrashLoopBackOff"),
        (_pod({"waiting": {"reason": "ContainerCreating"}}, phase="Pending"), "ContainerCreating"),
        (_pod({"terminated": {"exitCode": 0, "reason": "Completed"}}, phase="Succeeded"), "Completed"),
        (_pod({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), "OOMKilled"),
        (_pod({"terminated": {"exitCode": 3}}), "ExitCode:3"),
        (_pod({"terminated": {"exitCode": 0, "signal": 9}}), "Signal:9"),
        (_pod({"terminated": {"reason": "Completed"}}, {"running": {}}), "NotReady"),
        (_pod({"running": {}}, deletionTimestamp="2026-01-01T00:00:00Z"), "Terminating"),
        (
            _pod({"terminated": {"reason": "Completed"}}, phase="Succeeded", deletionTimestamp="x"),
            "Completed",
        ),
        (_pod({"waiting": {}}, phase="Pending", init=[{"running": {}}, {"waiting": {}}]), "Init:0/2"),
        (
            _pod({"waiting": {}}, phase="Pending", init=[{"terminated": {"exitCode": 0}}, {"waiting": {}}]),
            "Init:1/2",
        ),
        (_pod({"waiting": {}}, init=[{"terminated": {"exitCode": 1, "reason": "Error"}}]), "Init:Error"),
        (_pod({"waiting": {}}, init=[{"waiting": {"reason": "CrashLoopBackOff"}}]), "Init:CrashLoopBackOff"),
    ],
)
def test_pod_status(pod: dict[str, Any], text: str) -> None:
    assert pod_status(pod) == text
