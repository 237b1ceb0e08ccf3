"""The provider k3s: what is missing is said before anything is made, and nothing is left of what fails.

A machine may have no Docker engine, or one that starts no privileged container; what needs more is skipped.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_bench import until

from lab.errors import LabError, NotReadyError, ProviderError, UsageError
from lab.providers import engine as engines
from lab.providers import k3s
from lab.providers.base import LAB_LABEL
from lab.providers.engine import Engine
from lab.providers.facts import read_facts, write_facts
from lab.providers.k3s import K3sProvider, container_name

NOWHERE = "unix:///nowhere/docker.sock"
LAB = Path(sys.executable).with_name("lab")
BASES = ("local/debian-python:12", "python:3.13-slim", "busybox:latest")
"""Images of which one does for a container that is no cluster."""


SLEEPING = """
import sys
from pathlib import Path
from lab.core import interrupt
from lab.providers import engine
from lab.providers.k3s import K3sProvider

class Sleeping(engine._k3s_class()):
    def with_kwargs(self, **given):
        return super().with_kwargs(**given | {"privileged": False})

    def start(self):
        self.with_command("sleep 600")
        return super().start()

engine._k3s_class = lambda: Sleeping
interrupt.install(lambda: None)
with interrupt.held():
    K3sProvider(sys.argv[1]).create(Path(sys.argv[2]))
"""
"""A cluster that never is ready: an ordinary container in place of k3s."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A lab's folder."""
    folder = tmp_path / "throw-away"
    folder.mkdir()
    return folder


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The machine's Docker engine."""
    try:
        made = Engine()
    except NotReadyError as error:
        pytest.skip(error.message)
    with made:
        yield made


@pytest.fixture
def base(engine: Engine) -> str:
    """An image that is there and is not k3s."""
    found = [reference for reference in BASES if engine.has_image(reference)]
    if not found:
        pytest.skip(f"the Docker engine has none of {', '.join(BASES)}")
    return found[0]


@pytest.fixture
def container(engine: Engine, base: str) -> Iterator[Any]:
    """A running container that is no cluster."""
    made = engine.client.containers.run(base, ["sleep", "600"], detach=True, init=True)
    yield made
    engine.remove(made.name)


def of_lab(engine: Engine, directory: Path) -> list[Any]:
    chosen = {"label": f"{LAB_LABEL}={directory.name}"}
    return list(engine.client.containers.list(all=True, filters=chosen))


def test_without_an_engine_the_reason_and_the_way_out_are_said(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    with pytest.raises(NotReadyError, match=r"no Docker engine answers: .*No such file") as refused:
        K3sProvider().check()
    assert "DOCKER_HOST" in refused.value.hint
    with pytest.raises(NotReadyError):
        K3sProvider().create(directory)
    assert list(directory.iterdir()) == []
    K3sProvider().delete(directory)


def test_without_the_client_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(NotReadyError, match="docker is not installed") as refused:
        K3sProvider().check()
    assert "toil-lab[k3s]" in refused.value.hint


def test_one_node_is_all_that_it_has(directory: Path) -> None:
    with pytest.raises(UsageError, match="k3s has one node"):
        K3sProvider().create(directory, nodes=3)


def test_a_lab_whose_engine_is_away_is_not_running_and_not_forgotten(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    write_facts(directory, {"container": "c", "kubeconfig": "k", "server": "https://localhost:1"})
    provider = K3sProvider()
    assert provider.find(directory) is None
    assert provider.log_tail(directory) == ""
    with pytest.raises(NotReadyError, match="no Docker engine answers"):
        provider.delete(directory)
    assert read_facts(directory)


def test_labs_of_two_folders_never_share_a_container(tmp_path: Path) -> None:
    names = {container_name(tmp_path / home / "labs" / "lab") for home in ("a", "b")}
    assert len(names) == 2
    assert all(name.startswith("toil-lab-lab-") for name in names)


@pytest.mark.slow
def test_an_image_that_is_not_there_is_named(engine: Engine) -> None:
    with pytest.raises(NotReadyError, match="no image toil-lab-nobody-made:it") as refused:
        K3sProvider("toil-lab-nobody-made:it").check()
    assert "the lab builds its own" in refused.value.hint


@pytest.mark.slow
def test_an_image_that_cannot_be_built_is_said_and_nothing_is_left(
    engine: Engine, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(k3s, "image_of", lambda root: "localhost/toil-lab:nobody-made-it")
    monkeypatch.setattr(k3s, "data_root", lambda: directory / "absent")
    said: list[str] = []
    with pytest.raises(LabError, match="building the lab's image") as refused:
        K3sProvider().create(directory, say=said.append)
    assert "\n" not in refused.value.message
    assert said == ["the lab's image, which takes some minutes once"]
    assert list(directory.iterdir()) == []


@pytest.mark.slow
def test_an_image_that_is_there_is_not_built_again(
    engine: Engine, base: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(k3s, "image_of", lambda root: base)
    monkeypatch.setenv("LAB_K3S_IMAGE", "127.0.0.1:1/k3s:absent")
    said: list[str] = []
    with pytest.raises(NotReadyError, match="cannot be pulled"):
        K3sProvider().create(directory, say=said.append)
    assert said == ["k3s: its image and its start"]


@pytest.mark.slow
def test_a_cluster_image_that_cannot_be_pulled_is_named_and_nothing_is_left(
    engine: Engine, base: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_K3S_IMAGE", "127.0.0.1:1/k3s:absent")
    with pytest.raises(NotReadyError, match=r"127\.0\.0\.1:1/k3s:absent is not there and cannot be pulled"):
        K3sProvider(base).create(directory)
    assert of_lab(engine, directory) == []
    assert list(directory.iterdir()) == []


@pytest.mark.slow
def test_what_is_no_cluster_is_refused_with_a_reason_and_nothing_is_left(
    engine: Engine, base: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confined engine refuses the privileged container; a free one runs it, and it is no k3s."""
    monkeypatch.setenv("LAB_K3S_IMAGE", base)
    volumes = {volume.id for volume in engine.client.volumes.list()}
    with pytest.raises(ProviderError) as refused:
        K3sProvider(base).create(directory)
    said = refused.value.message
    assert said.startswith(("the Docker engine did not start", "k3s ended while starting"))
    assert "\n" not in said
    assert refused.value.hint
    assert of_lab(engine, directory) == []
    assert {volume.id for volume in engine.client.volumes.list()} <= volumes
    assert list(directory.iterdir()) == []


@pytest.fixture
def starting(engine: Engine, base: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for its cluster, whose container runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPING, base, str(directory)],
        env={**os.environ, "LAB_K3S_IMAGE": base},
        stderr=subprocess.PIPE,
        text=True,
    )
    until(
        lambda: process.poll() is not None or [c for c in of_lab(engine, directory) if c.status == "running"]
    )
    yield process
    process.kill()
    process.communicate()
    for left in of_lab(engine, directory):
        left.remove(force=True, v=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_it_starts_leaves_nothing(
    engine: Engine, directory: Path, starting: subprocess.Popen[str], number: signal.Signals
) -> None:
    starting.send_signal(number)
    _, said = starting.communicate(timeout=60)
    assert said.strip().splitlines()[-1] == "KeyboardInterrupt", said
    assert of_lab(engine, directory) == []
    assert list(directory.iterdir()) == []


@pytest.mark.slow
def test_what_a_killed_command_left_is_removed_later(
    engine: Engine, directory: Path, starting: subprocess.Popen[str]
) -> None:
    starting.kill()
    starting.wait(60)
    assert [container.status for container in of_lab(engine, directory)] == ["running"]
    K3sProvider().delete(directory)
    assert of_lab(engine, directory) == []
    assert list(directory.iterdir()) == []


@pytest.mark.slow
def test_a_command_in_a_container_is_fed_megabytes_as_they_come(engine: Engine, container: Any) -> None:
    chunk = bytes(range(256)) * 4096
    digest = hashlib.sha256(chunk * 20).hexdigest()
    code, said = engine.feed(container.id, ["sha256sum"], (chunk for _ in range(20)))
    assert (code, said.split()[0]) == (0, digest)
    code, said = engine.feed(container.id, ["sh", "-c", "cat >/dev/null; echo no room >&2; exit 3"], [b"x"])
    assert (code, said) == (3, "no room")


@pytest.mark.slow
def test_a_container_that_refuses_the_image_says_so(engine: Engine, container: Any, base: str) -> None:
    with pytest.raises(ProviderError, match=f"k3s did not take the image {base}: .*ctr"):
        engine.carry_image(base, container.id)


@pytest.mark.slow
def test_a_container_is_found_read_and_removed_once(engine: Engine, container: Any) -> None:
    assert engine.is_running(container.name)
    engine.remove(container.name)
    assert not engine.is_running(container.name)
    engine.remove(container.name)
    assert engine.log_tail(container.name, 5) == ""


class Starting:
    """A container that says more at each look, and then ends or not."""

    def __init__(self, *said: bytes, status: str = "running") -> None:
        self.said, self.status = list(said), status

    def logs(self, tail: int = 0) -> bytes:
        return self.said.pop(0) if len(self.said) > 1 else self.said[0]

    def reload(self) -> None:
        """Its status is what it is."""


def test_the_wait_ends_with_readiness_an_end_or_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    engines.wait_ready(Starting(b"Starting k3s", b"Node controller sync successful"))
    with pytest.raises(ProviderError, match="k3s ended while starting: no cgroup"):
        engines.wait_ready(Starting(b"no cgroup", status="exited"))
    monkeypatch.setattr(engines, "READY_SECONDS", 0.0)
    with pytest.raises(ProviderError, match="k3s was not ready within 0 s: waiting"):
        engines.wait_ready(Starting(b"waiting"))


@pytest.mark.parametrize("words", [("--provider", "k3s"), ()], ids=["option", "settings"])
def test_a_grade_that_has_no_engine_says_so(directory: Path, words: tuple[str, ...]) -> None:
    settings = directory / "settings.toml"
    settings.write_text('provider = "kind"' if words else 'provider = "k3s"')
    ran = subprocess.run(
        [LAB, "grade", "stuck-workers", "--solution", "python", *words, "--json"],
        env={
            **os.environ,
            "DOCKER_HOST": NOWHERE,
            "LAB_HOME": str(directory / "home"),
            "LAB_SETTINGS": str(settings),
            "LAB_RESULTS": str(directory / "results"),
        },
        capture_output=True,
        text=True,
    )
    assert ran.returncode == NotReadyError.exit_code, ran.stderr
    error = json.loads(ran.stdout)["error"]
    assert error["message"].startswith("no Docker engine answers")
    assert "the provider local needs none" in error["hint"]
    labs = directory / "home" / "labs"
    assert not labs.exists() or list(labs.iterdir()) == []
