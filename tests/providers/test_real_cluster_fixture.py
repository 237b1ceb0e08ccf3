"""The fixture for users' own tests: a real cluster, or the reason why there is none; and nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import NotReadyError
from lab.providers.base import LAB_LABEL
from lab.providers.engine import Engine

NOWHERE = "unix:///nowhere/docker.sock"
TEST = """
import subprocess
from lab.kube.kubeconfig import load_kubeconfig

def test_it_answers(real_cluster):
    assert load_kubeconfig(real_cluster.kubeconfig).server == real_cluster.server
    assert real_cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
"""


def run(folder: Path, **environment: str) -> str:
    """What pytest says of a user's test."""
    (folder / "conftest.py").write_text('pytest_plugins = ["lab.testing"]\n')
    (folder / "test_mine.py").write_text(TEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    return ran.stdout + ran.stderr


def test_without_an_engine_the_test_is_skipped_with_the_reason(tmp_path: Path) -> None:
    said = run(tmp_path, DOCKER_HOST=NOWHERE)
    assert "1 skipped" in said
    assert "no Docker engine answers: [Errno 2] No such file or directory" in said


@pytest.mark.slow
def test_with_an_engine_the_test_runs_or_the_refusal_is_said(tmp_path: Path) -> None:
    try:
        engine = Engine()
    except NotReadyError as error:
        pytest.skip(error.message)
    with engine:
        before = engine.client.containers.list(all=True, filters={"label": LAB_LABEL})
        said = run(tmp_path)
        outcomes = ("1 passed", "privileged container", "cannot be pulled")
        assert any(outcome in said for outcome in outcomes), said
        assert engine.client.containers.list(all=True, filters={"label": LAB_LABEL}) == before
