"""exercise.yaml: the shipped ones are valid, and every problem of a broken one is said."""

import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.catalog import exercise, exercises, load_exercise
from lab.core.audit import Mode
from lab.core.exercise import ControlAction, LabNeeds, plan
from lab.core.places import data_root
from lab.errors import ConfigError, UsageError

STUCK = data_root() / "exercises" / "stuck-workers"
LOADED = exercise("stuck-workers")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the shipped exercise below a data root."""
    target = tmp_path / "exercises" / "stuck-workers"
    shutil.copytree(STUCK, target)
    return target


def change(folder: Path, **values: object) -> None:
    path = folder / "exercise.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))


def test_shipped_exercises_are_valid() -> None:
    found = exercises()
    assert "stuck-workers" in [item.id for item in found]
    for item in found:
        assert item.groups
        assert (item.folder / "README.md").is_file()


def test_stuck_workers_reads_as_written() -> None:
    found = exercise("stuck-workers")
    assert found.modes == (Mode.SHADOW, Mode.LIVE)
    assert found.toil.per_week == 50
    assert found.group("kill-switch").control[0].action is ControlAction.KILL_SWITCH_ON
    assert found.may_change("shop", "pods", "worker-abc-def")
    assert not found.may_change("shop", "pods", "db-abc-def")
    assert not found.may_change("shop", "pods", "")
    assert not found.may_change("lab-system", "pods", "worker-abc-def")


def test_what_its_labs_are_brought_up_with(copy: Path) -> None:
    assert LOADED.lab == LabNeeds(8, "cheap", 1)
    change(copy, lab={"workers": 40, "nodes": 3})
    assert load_exercise(copy).lab == LabNeeds(40, "dear", 3)
    change(copy, lab={"workers": 41, "starts": "free", "nodes": 6})
    with pytest.raises(ConfigError) as caught:
        load_exercise(copy)
    assert len(caught.value.problems) == 3


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        exercise("stuk-worker")
    assert "stuck-workers" in caught.value.hint


def test_every_problem_is_reported(copy: Path) -> None:
    change(copy, level=9, story="", extra=1)
    with pytest.raises(ConfigError) as caught:
        load_exercise(copy)
    assert len(caught.value.problems) == 3
    text = str(caught.value)
    assert "level" in text
    assert "story" in text
    assert "extra" in text


def test_structure_problems_are_reported_together(copy: Path) -> None:
    groups = yaml.safe_load((copy / "exercise.yaml").read_text())["groups"]
    groups[1]["id"] = "shadow"
    groups[1]["faults"][0]["parameters"]["partition"] = "$nobody"
    groups[2]["seedOffset"] = groups[1]["seedOffset"]
    groups[2]["control"][0]["at"] = 999 / 2
    groups[0]["faults"][0]["at"] = [5, 3]
    change(copy, groups=groups, modes=["live"], id="other")
    (copy / "README.md").unlink()
    with pytest.raises(ConfigError) as caught:
        load_exercise(copy)
    text = str(caught.value)
    for part in (
        "id is 'other'",
        "README.md is missing",
        "group shadow occurs 2 times",
        "seedOffset 2 occurs 2 times",
        "goes backwards",
        "after the end",
        "$nobody is not drawn",
        "mode shadow is not one of modes",
    ):
        assert part in text


def test_problems_of_all_exercises_come_together(copy: Path) -> None:
    other = copy.parent / "second"
    shutil.copytree(copy, other)
    change(copy, level=0)
    change(other, minutes=1)
    with pytest.raises(ConfigError) as caught:
        exercises(copy.parents[1])
    assert len(caught.value.problems) >= 2


def test_not_yaml_is_a_config_error(copy: Path) -> None:
    (copy / "exercise.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_exercise(copy)


@given(st.integers(0, 2**31))
def test_plan_is_a_function_of_the_seed(seed: int) -> None:
    for group in LOADED.groups:
        one, other = plan(LOADED, group, seed), plan(LOADED, group, seed)
        assert one == other
        assert len(set(one.drawn.values())) == len(group.draws)
        assert [fault.at for fault in one.faults] == sorted(fault.at for fault in one.faults)
        assert all(0 <= fault.at < group.lab_minutes for fault in one.faults)
        assert not any(str(value).startswith("$") for f in one.faults for value in f.parameters.values())


def test_seeds_change_victims_and_times() -> None:
    group = LOADED.group("live")
    plans = [plan(LOADED, group, seed) for seed in range(20)]
    assert len({tuple(p.drawn.values()) for p in plans}) > 10
    assert len({p.faults[0].at for p in plans}) > 10
    assert len({p.lab_seed for p in plans}) == 20
