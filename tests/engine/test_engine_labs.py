"""Labs on disk: names, records, the lock, orphans; manifests that cannot be used."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.places import data_root
from lab.engine import bringup
from lab.engine import lab as labs
from lab.engine.settings import LabSettings
from lab.errors import ConfigError, NotReadyError, UsageError
from lab.process import is_running, process_started, start_daemon


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    return tmp_path


def record(name: str, owner: tuple[int, float] | None = None) -> labs.LabRecord:
    made = labs.LabRecord(
        LabSettings(name, seed=7), "2026-01-01T00:00:00.000000Z", {"shop/api": "127.9.200.1"}, owner
    )
    labs.lab_directory(name).mkdir(parents=True)
    labs.write_record(labs.lab_directory(name), made)
    return made


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ü", "x" * 81, "a\n"])
def test_names_that_cannot_be_folders_are_refused(name):
    with pytest.raises(UsageError):
        labs.lab_directory(name)


def test_a_record_survives_the_disk():
    made = record("one")
    assert labs.read_record(labs.lab_directory("one")) == made


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"settings": {"nonsense": 1}}'])
def test_a_broken_record_is_no_record_and_no_traceback(text):
    record("one")
    (labs.lab_directory("one") / "lab.json").write_text(text)
    assert labs.read_record(labs.lab_directory("one")) is None
    with pytest.raises(NotReadyError, match="no lab named 'one'"):
        labs.open_lab("one")


def test_a_lab_whose_process_is_gone_says_so_and_how_to_go_on():
    record("one")
    with pytest.raises(NotReadyError) as caught:
        labs.open_lab("one")
    assert "process is gone" in caught.value.message
    assert "lab up" in caught.value.hint
    assert "lab down" in caught.value.hint


def test_a_lab_whose_up_was_killed_says_so_and_how_to_go_on():
    made = record("one")
    directory, me = labs.lab_directory("one"), os.getpid()
    facts = {"pid": me, "started": process_started(me), "kubeconfig": "x", "server": ""}
    (directory / "provider.json").write_text(json.dumps(facts))
    labs.write_record(directory, replace(made, addresses={}))
    with pytest.raises(NotReadyError, match="unfinished") as caught:
        labs.open_lab("one")
    assert "lab up" in caught.value.hint
    assert "lab down" in caught.value.hint


def test_a_cluster_that_is_not_on_record_yet_is_removed_with_its_lab(tmp_path):
    directory = labs.lab_directory("one")
    (directory / "cluster").mkdir(parents=True)
    program = tmp_path / "lab"
    program.mkdir()
    (program / "localkube.py").write_text("import signal; signal.pause()")
    words = ["-m", "lab.localkube", "--data-dir", str(directory / "cluster")]
    pid = start_daemon([sys.executable, *words], log=tmp_path / "log", cwd=tmp_path)
    started = process_started(pid)
    labs.remove(directory)
    assert not is_running(pid, started)
    assert not directory.exists()


def test_two_commands_cannot_bring_the_same_lab_up_at_once():
    directory = labs.lab_directory("one")
    with labs.exclusive(directory):
        with pytest.raises(NotReadyError, match="another command"), labs.exclusive(directory):
            pass
        with labs.exclusive(labs.lab_directory("two")):
            pass


def test_only_throw_away_labs_of_dead_owners_are_removed():
    me = os.getpid()
    record("stays")
    record("mine", (me, process_started(me)))
    record("orphan", (me, process_started(me) - 1000.0))
    assert labs.remove_orphans() == ["orphan"]
    assert [name for name, _ in labs.all_labs()] == ["mine", "stays"]


def test_removing_is_idempotent():
    record("one")
    labs.remove(labs.lab_directory("one"))
    labs.remove(labs.lab_directory("one"))
    assert labs.all_labs() == []


def test_the_labs_own_manifests_come_in_an_order_in_which_they_can_be_created():
    kinds = [m["kind"] for m in bringup.load_manifests(data_root() / "clusters" / "base")]
    last_namespace = max(i for i, kind in enumerate(kinds) if kind == "Namespace")
    assert last_namespace < min(i for i, kind in enumerate(kinds) if kind != "Namespace")
    assert kinds.index("Deployment") > max(i for i, kind in enumerate(kinds) if kind == "ServiceAccount")


def test_every_problem_of_the_manifests_is_named(tmp_path: Path):
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "a.yaml").write_text("kind: Namespace\nmetadata: {name: x}\n")
    (folder / "b.yaml").write_text("kind: Namespace\nmetadata: {name: x}\n")
    (folder / "c.yaml").write_text("a: [")
    with pytest.raises(ConfigError) as caught:
        bringup.load_manifests(folder)
    assert len(caught.value.problems) == 2
    assert "occurs twice" in caught.value.problems[0]
    assert "c.yaml" in caught.value.problems[1]


def test_a_failed_start_leaves_nothing(monkeypatch, home):
    monkeypatch.setenv("LAB_DATA", str(home / "nowhere"))
    with pytest.raises(ConfigError, match="cannot be used"):
        bringup.bring_up(LabSettings("one"))
    assert labs.all_labs() == []
