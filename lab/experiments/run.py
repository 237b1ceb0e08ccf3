"""Running a Chaos Toolkit experiment: checked first, rolled back always, its journal always written.

The toolkit skips rollbacks by default when a run failed or was interrupted. Here they always run, and faults
that the experiment started and did not undo are undone after them.
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.engine.lab import Lab
from lab.errors import ConfigError, LabError, UsageError

ACTIVITIES = "lab.experiments.activities"
SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an experiment.

    status: completed, failed, aborted or interrupted, as the toolkit says. deviated: the steady state was not
    met after the method. healed: faults that had to be undone after the rollbacks. unhealed: why some could
    not be; empty when none is left.
    """

    status: str
    deviated: bool
    journal: Json
    healed: tuple[str, ...]
    unhealed: str = ""

    @property
    def ok(self) -> bool:
        """Completed, in steady state, and nothing left behind."""
        return self.status == "completed" and not (self.gated or self.deviated or self.unhealed)

    @property
    def gated(self) -> bool:
        """Whether the steady state was not met to begin with: then the method did not run, and the toolkit
        calls the run completed all the same when every probe could be asked."""
        before = (self.journal.get("steady_states") or {}).get("before")
        return before is not None and not before["steady_state_met"]


def read_experiment(path: Path) -> Json:
    """An experiment from a JSON or YAML file, checked by the toolkit's own rules.

    Raises UsageError when it cannot be read, ConfigError when it is not a valid experiment.
    """
    from chaoslib.exceptions import ChaosException
    from chaoslib.experiment import ensure_experiment_is_valid

    try:
        experiment = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is neither JSON nor YAML: {' '.join(str(error).split())}") from error
    if not isinstance(experiment, dict):
        raise ConfigError(f"{path} is not an experiment", ["it is no mapping"])
    try:
        ensure_experiment_is_valid(experiment)
    except (ChaosException, KeyError, TypeError, AttributeError, ValueError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path} is not a valid experiment", [why]) from error
    return experiment


def run_experiment(lab: Lab, experiment: Mapping[str, Any]) -> Outcome:
    """Run an experiment that was read. An interrupt ends it, after its rollbacks, with status interrupted."""
    from chaoslib.experiment import run_experiment as run
    from chaoslib.types import Strategy

    logging.getLogger("chaostoolkit").setLevel(logging.ERROR)
    prepared = copy.deepcopy(dict(experiment))
    prepared["configuration"] = {**(prepared.get("configuration") or {}), "lab_name": lab.name}
    journal: Json = run(prepared, settings=SETTINGS, strategy=Strategy.DEFAULT)
    healed, unhealed = _undo_rest(lab, journal)
    return Outcome(str(journal["status"]), bool(journal["deviated"]), journal, healed, unhealed)


def write_journal(path: Path, journal: Mapping[str, Any]) -> None:
    """Write the journal in the toolkit's format. Raises UsageError when the file exists already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(journal, indent=2, default=str) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise UsageError(f"{path} exists already", hint="choose another file with --journal") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def activities_of(journal: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    """Every activity that ran, with its part of the experiment: before, method, after or rollback."""
    states = journal.get("steady_states") or {}
    for part, runs in (
        ("before", (states.get("before") or {}).get("probes")),
        ("method", journal.get("run")),
        ("after", (states.get("after") or {}).get("probes")),
        ("rollback", journal.get("rollbacks")),
    ):
        yield from ((part, run) for run in runs or ())


def _undo_rest(lab: Lab, journal: Json) -> tuple[tuple[str, ...], str]:
    started = {identity for _, run in activities_of(journal) for identity in _started(run)}
    healed = []
    try:
        for entry in lab.faults.active():
            if entry["id"] in started:
                healed += [str(done["id"]) for done in lab.faults.heal_one(str(entry["id"]))]
    except LabError as error:
        return tuple(healed), error.message
    return tuple(healed), ""


def _started(run: Json) -> list[str]:
    provider = (run.get("activity") or {}).get("provider") or {}
    is_ours = provider.get("module") == ACTIVITIES and provider.get("func") == "inject"
    return list(run.get("output") or ()) if is_ours else []
