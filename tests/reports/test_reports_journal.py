"""The run journal on disk: whole or not at all, and read again."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from lab.errors import ConfigError, LabError
from lab.reports.journal import RunJournal, read, runs, write


def test_a_run_comes_back_as_it_was_written(tmp_path: Path, journal: RunJournal) -> None:
    file = write(journal, tmp_path / "results" / "run")
    assert file.name == "run.json"
    assert read(file) == read(file.parent) == journal


def test_the_file_spells_the_totals_out(tmp_path: Path, journal: RunJournal) -> None:
    values = json.loads(write(journal, tmp_path).read_text())
    assert (values["schema_version"], values["grade"]["earned"], values["grade"]["possible"]) == (1, 25, 45)
    assert values["grade"]["verdict"] == "error"


def test_a_run_that_is_made_again_replaces_the_file_whole(tmp_path: Path, journal: RunJournal) -> None:
    write(journal, tmp_path)
    write(dataclasses.replace(journal, notes=("other",)), tmp_path)
    assert read(tmp_path).notes == ("other",)
    assert os.listdir(tmp_path) == ["run.json"]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, journal: RunJournal) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="cannot be written") as failure:
        write(journal, tmp_path / "file")
    assert failure.value.hint
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "not a run"),
        ("[]", "not a run"),
        ('{"schema_version": 99}', "schema version 99"),
        ('{"schema_version": 1}', "not a run"),
        (
            '{"schema_version": 1, "id": "a", "created_at": "", "kind": "grade", "grade": {"checks": [{}]}}',
            "not a run",
        ),
    ],
)
def test_a_damaged_run_is_said_plainly(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ConfigError, match=why):
        read(tmp_path)


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run"):
        read(tmp_path / "none")
    assert runs(tmp_path / "none") == []


def test_runs_are_listed_newest_first(tmp_path: Path, journal: RunJournal) -> None:
    for day in ("20260102", "20260104", "20260103"):
        write(dataclasses.replace(journal, id=f"{day}-x"), tmp_path / f"{day}-x")
    (tmp_path / ".writing-x").mkdir()
    (tmp_path / ".writing-x" / "run.json").write_text("{}")
    assert [folder.name for folder in runs(tmp_path)] == ["20260104-x", "20260103-x", "20260102-x"]
