"""mutants.yaml: the shipped ones apply and run, and broken ones are said."""

import compileall
import shutil
from pathlib import Path

import pytest
import yaml

from lab.automation.package import package
from lab.catalog import apply_mutant, exercise, load_exercise, load_mutants
from lab.core.places import data_root
from lab.errors import ConfigError

STUCK = exercise("stuck-workers")
KNOWN_BAD = load_mutants(STUCK)
MUTANTS = KNOWN_BAD.mutants


def test_there_are_enough_mutants() -> None:
    assert len(MUTANTS) >= 7
    assert all(mutant.fails for mutant in MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_mutant_is_a_program_that_differs(mutant, tmp_path: Path) -> None:
    folder = apply_mutant(STUCK, mutant, tmp_path / "mutant")
    automation, _ = package(folder)
    assert automation.entrypoint == "main.py"
    assert compileall.compile_dir(folder, quiet=2, legacy=True)
    base = STUCK.folder / "solutions" / mutant.base
    assert any((folder / p.name).read_text() != p.read_text() for p in base.glob("*.py"))


@pytest.mark.parametrize("name", ["starter", "solutions/python", "solutions/ansible"])
def test_workspaces_are_valid(name: str) -> None:
    automation, config_map = package(STUCK.folder / name)
    assert automation.name
    assert "automation.yaml" in config_map["data"]


def test_checks_of_starter_and_mutants_exist() -> None:
    text = "".join(path.read_text() for path in (STUCK.folder / "checks").glob("test_*.py"))
    for known_bad in (KNOWN_BAD.starter, *MUTANTS):
        for name in known_bad.fails:
            group, _, check = name.partition(".")
            assert f'"{group}"' in text
            assert f"def test_{check.replace('-', '_')}(" in text, name


def test_nothing_may_fail_beside_what_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "stuck-workers"
    shutil.copytree(STUCK.folder, folder)
    path = folder / "mutants" / "mutants.yaml"
    document = yaml.safe_load(path.read_text())
    document["mutants"][0]["mayFail"] = ["live.explained"]
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError) as caught:
        load_mutants(load_exercise(folder))
    assert "mayFail: Extra inputs are not permitted" in str(caught.value)


def test_edit_that_does_not_fit_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "stuck-workers"
    shutil.copytree(data_root() / "exercises" / "stuck-workers", folder)
    path = folder / "mutants" / "mutants.yaml"
    document = yaml.safe_load(path.read_text())
    document["mutants"][0]["edits"][0]["find"] = "no such text"
    document["mutants"][1]["edits"][0]["file"] = "../../../../etc/passwd"
    document["mutants"][2]["base"] = "cobol"
    document["mutants"][3]["id"] = document["mutants"][4]["id"]
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError) as caught:
        load_mutants(load_exercise(folder))
    text = str(caught.value)
    for part in ("occurs 0 times", "is not a file", "no solution 'cobol'", "occurs twice"):
        assert part in text
