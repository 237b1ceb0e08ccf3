"""Experiments: what is no experiment is refused with the reason, and journals are never overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ConfigError, UsageError
from lab.experiments.run import (
    ACTIVITIES,
    Outcome,
    activities_of,
    read_experiment,
    run_experiment,
    write_journal,
)

PROBE: dict[str, Any] = {
    "type": "probe",
    "name": "always true",
    "tolerance": True,
    "provider": {"type": "python", "module": "os.path", "func": "exists", "arguments": {"path": "/"}},
}
VALID: dict[str, Any] = {
    "title": "Nothing happens",
    "description": "And nothing is expected to.",
    "steady-state-hypothesis": {"title": "the root exists", "probes": [PROBE]},
    "method": [{key: value for key, value in PROBE.items() if key != "tolerance"}],
    "rollbacks": [{key: value for key, value in PROBE.items() if key != "tolerance"}],
}


class Faults:
    """The faults that are active, and those that were undone."""

    def __init__(self, *active: str) -> None:
        self.now = list(active)
        self.undone: list[str] = []

    def active(self) -> list[dict[str, Any]]:
        return [{"id": identity} for identity in self.now]

    def heal_one(self, identity: str) -> list[dict[str, Any]]:
        self.undone.append(identity)
        return [{"id": identity}]


class SomeLab:
    """As much of a lab as a run needs when its activities are not the lab's."""

    name = "lab"

    def __init__(self, *active: str) -> None:
        self.faults = Faults(*active)


def given(folder: Path, **changes: Any) -> Path:
    path = folder / "experiment.json"
    path.write_text(json.dumps(VALID | changes))
    return path


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title: x", "description"),
        ("[]", "no mapping"),
        ('{"title": "x", "description": "y", "method": [{"type": "action"}]}', ""),
    ],
)
def test_what_is_no_experiment_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_experiment(path)
    assert why in " ".join(refused.value.problems)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"a: &a [*a"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        read_experiment(path)


def test_a_run_has_a_journal_of_the_toolkit_and_its_rollbacks(tmp_path: Path) -> None:
    outcome = run_experiment(SomeLab(), read_experiment(given(tmp_path)))  # type: ignore[arg-type]
    assert outcome.ok
    assert [part for part, _ in activities_of(outcome.journal)] == ["before", "method", "after", "rollback"]
    write_journal(tmp_path / "run" / "journal.json", outcome.journal)
    assert json.loads((tmp_path / "run" / "journal.json").read_text())["status"] == "completed"
    with pytest.raises(UsageError, match="exists already"):
        write_journal(tmp_path / "run" / "journal.json", outcome.journal)


def test_rollbacks_run_when_the_steady_state_was_not_met(tmp_path: Path) -> None:
    never = {"title": "never", "probes": [PROBE | {"tolerance": False}]}
    path = given(tmp_path, **{"steady-state-hypothesis": never})
    outcome = run_experiment(SomeLab(), read_experiment(path))  # type: ignore[arg-type]
    assert (outcome.gated, outcome.ok) == (True, False)
    assert [part for part, _ in activities_of(outcome.journal)] == ["before", "rollback"]


def test_a_deviation_is_not_ok() -> None:
    assert not Outcome("completed", True, {}, ()).ok
    assert not Outcome("completed", False, {}, (), "the injector is away").ok


def test_faults_that_the_experiment_left_are_undone_and_only_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{ACTIVITIES}.inject", lambda fault, configuration=None: ["hung-workers-0002"])
    arguments = {"fault": "hung-workers"}
    provider = {"type": "python", "module": ACTIVITIES, "func": "inject", "arguments": arguments}
    path = given(tmp_path, method=[{"type": "action", "name": "hang", "provider": provider}])
    lab = SomeLab("hung-workers-0001", "hung-workers-0002")
    outcome = run_experiment(lab, read_experiment(path))  # type: ignore[arg-type]
    assert outcome.healed == ("hung-workers-0002",)
    assert lab.faults.undone == ["hung-workers-0002"]
