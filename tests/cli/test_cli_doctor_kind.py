"""What doctor says of kind and its engine: never a reason to fail, and always what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cli import doctor

INFO = '{"ServerVersion":"28.2.2","CgroupVersion":"2","CgroupDriver":"systemd","DockerRootDir":"%s"}'


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs, beside the system's."""
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str, says: str, code: int = 0) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    (folder / name).chmod(0o755)


def test_what_is_missing_is_no_failure_and_comes_with_the_way_to_get_it() -> None:
    for finding in (doctor._kind(), doctor._engine()):
        assert (finding.ok, finding.required) == (False, False)
        assert "only lab up --provider kind needs it" in finding.fix
    assert "kind" in doctor._kind().fix


def test_what_is_there_is_shown(programs: Path) -> None:
    program(programs, "kind", "kind v0.33.0 go1.26.6 linux/amd64")
    program(programs, "docker", INFO % (programs / "elsewhere"))
    assert (doctor._kind().ok, doctor._kind().detail) == (True, "v0.33.0")
    assert (doctor._engine().ok, doctor._engine().detail) == (True, "docker 28.2.2, cgroup v2")


def test_an_older_kind_works_with_images_of_its_own(programs: Path) -> None:
    program(programs, "kind", "kind v0.31.0 go1.25.5 linux/amd64")
    found = doctor._kind()
    assert not found.ok
    assert "--node-image" in found.fix


def test_an_engine_without_room_is_told(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(programs, "docker", INFO % programs)
    monkeypatch.setattr(doctor, "NEEDED_BY_NODES", 1 << 60)
    found = doctor._engine()
    assert not found.ok
    assert "docker system prune" in found.fix


def test_an_engine_that_is_stopped_is_told(programs: Path) -> None:
    program(programs, "docker", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", 1)
    assert "does not answer" in doctor._engine().detail
