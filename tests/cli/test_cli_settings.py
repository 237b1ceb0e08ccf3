"""The settings file: below a flag and a variable, above the defaults; nothing in it is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lab.cli import lifecycle
from lab.cli.app import app
from lab.cli.placement import by_environment
from lab.cli.preferences import read_settings
from lab.engine.settings import LabSettings
from lab.errors import ConfigError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file that says kind."""
    for name in ("LAB_PROVIDER", "LAB_KUBECONFIG", "LAB_CONTEXT", "LAB_IMAGE", "LAB_NODE_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "settings.toml"
    path.write_text('provider = "kind"\nnode-image = "kindest/node:v1.35.8"\n')
    monkeypatch.setenv("LAB_SETTINGS", str(path))
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    return path


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> list[LabSettings]:
    """What `lab up` would bring up."""
    seen: list[LabSettings] = []

    def bring_up(settings: LabSettings, **_: object) -> None:
        seen.append(settings)
        raise typer.Exit

    monkeypatch.setattr(lifecycle.bringup, "bring_up", bring_up)
    return seen


def test_a_flag_goes_above_a_variable_and_that_above_the_file(
    settings: Path, wanted: list[LabSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    CliRunner().invoke(app, ["up"])
    monkeypatch.setenv("LAB_PROVIDER", "kubeconfig")
    CliRunner().invoke(app, ["up"])
    CliRunner().invoke(app, ["up", "--provider", "local"])
    assert [(s.provider, s.node_image) for s in wanted] == [
        ("kind", "kindest/node:v1.35.8"),
        ("kubeconfig", "kindest/node:v1.35.8"),
        ("local", "kindest/node:v1.35.8"),
    ]


def test_every_command_that_makes_labs_follows_it(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_environment(LabSettings()).provider == "kind"
    monkeypatch.setenv("LAB_PROVIDER", "local")
    assert by_environment(LabSettings()).provider == "local"


def test_without_a_file_nothing_is_said(settings: Path) -> None:
    settings.unlink()
    assert read_settings() == {}
    assert by_environment(LabSettings()) == LabSettings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('providr = "kind"\nnodes = 3\n', "there is no setting 'nodes'\n  - there is no setting 'providr'"),
        ("provider = 3\n", "provider is not a text in quotes"),
        ("provider = kind\n", "cannot be read"),
        ('context-again = "prod"\n', "there is no setting 'context-again'"),
    ],
)
def test_what_is_wrong_in_it_is_named(settings: Path, text: str, says: str) -> None:
    settings.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_settings()
    assert says in refused.value.message
    assert str(settings) in refused.value.message
