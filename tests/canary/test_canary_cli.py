"""What the commands say: bad input, the status at each phase, the report of a rollback; and the manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from lab.canary.analysis import Measurement, MetricResult, Phase, record
from lab.canary.report import Item, Outcome
from lab.canary.status import CanaryPhase, Rollback, Status
from lab.cli import canary as commands
from lab.core.canary import CanaryMetric, CanaryPlan
from lab.core.places import data_root

LAB = Path(sys.executable).with_name("lab")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
METRIC = CanaryMetric("error-ratio", "x", success="result < 0.02")
RUNNING = Status(
    phase=CanaryPhase.PROGRESSING,
    plan=CanaryPlan((10, 50, 100), (METRIC,), automation="fixer", run_id="r", actions_to_promote=2),
    step=1,
    message="canary promoted",
    actions=1,
    results={
        "error-ratio": record(MetricResult(), Measurement(NOW, Phase.FAILED, 0.5, "0.5 is not result < 0.02"))
    },
)
ITEMS = (
    Item("deployments.apps shop/worker", (3,), Outcome.RESTORED, "", ("/spec/replicas",)),
    Item("configmaps shop/x", (4,), Outcome.CONFLICT, "/data/a was changed since: by ann"),
)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("canary",), 3, "lab up"),
        (("canary", "widen"), 2, "widen"),
        (("rollback", "--dry-run"), 3, "lab up"),
        (("run", "auto", "--steps", "10"), 2, "--mode canary"),
        (("run", "auto", "--mode", "canary", "--steps", "50,10"), 2, "each is larger"),
        (("run", "auto", "--mode", "canary"), 3, "lab up"),
    ],
)
def test_bad_input_names_the_way_out(tmp_path, arguments, code, says):
    (tmp_path / "auto").mkdir()
    (tmp_path / "auto" / "automation.yaml").write_text("")
    env = os.environ | {"LAB_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [LAB, *arguments], capture_output=True, text=True, cwd=tmp_path, env=env, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_running_canary_shows_its_step_and_why_it_waits(capsys):
    commands._show(RUNNING)
    said = capsys.readouterr().out
    assert "Progressing: fixer, steps 10 %  [50 %]  100 %" in said
    assert "1 of 2 real actions so far" in said
    assert "0.5 is not result < 0.02" in said


def test_a_rollback_shows_every_object_with_its_outcome(capsys):
    done = Rollback("analysis-failed", "canary", "2030-01-01T00:00:00Z", done=True, items=ITEMS)
    commands._show(replace(RUNNING, phase=CanaryPhase.ABORTED, rollback=done))
    said = capsys.readouterr().out
    assert "rollback (analysis-failed, by canary): 1 restored, 1 conflict" in said
    assert "/spec/replicas" in said
    assert "changed since: by ann" in said
    commands._show(Status())
    assert "no canary was started yet" in capsys.readouterr().out


def test_the_status_survives_its_stored_form():
    rollback = Rollback("manual", "ann", "2030-01-01T00:00:00Z", 7, "", True, True, ITEMS, ("a warning",))
    status = replace(RUNNING, rollback=rollback).told(NOW, "aborted", "it is over")
    assert Status.from_dict(json.loads(json.dumps(status.as_dict()))) == status
    assert Status.from_dict(json.loads(json.dumps(Status().as_dict()))) == Status()


@pytest.mark.parametrize("version", ["1.31", "1.33"])
def test_the_manifest_is_strictly_valid_and_its_rights_name_their_kinds(version):
    path = data_root() / "clusters" / "base" / "canary.yaml"
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, version, strict=True)
        for rule in document.get("rules") or ():
            assert "*" not in rule["resources"] + rule["verbs"] + rule["apiGroups"]
            assert "secrets" not in rule["resources"]
