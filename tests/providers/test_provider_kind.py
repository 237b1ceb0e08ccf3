"""kind, without kind: every command of up, down and each failure, held against golden transcripts.

The transcripts say where their answers come from. What is tried here for real: the undoing, the errors, the
files. What is not: that kind makes a cluster, as `make contract PROVIDER=kind` does where an engine answers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from transcript_player import SERVER, TRANSCRIPTS, Player, Step, transcript

from lab.core.places import data_root
from lab.engine import bringup
from lab.engine import providers as table
from lab.engine.lab import lab_directory
from lab.engine.settings import LabSettings
from lab.errors import LabError, NotReadyError, ProviderError, UsageError
from lab.providers.kind import KindProvider, cluster_name
from lab.providers.kind_config import kind_config

ENGINES = ("docker", "podman", "nerdctl")
FAILURES: list[dict[str, Any]] = yaml.safe_load((TRANSCRIPTS / "failures.yaml").read_text())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a lab named `lab`, in a home of its own."""
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    directory = lab_directory("lab")
    directory.mkdir(parents=True)
    return directory


@pytest.fixture(autouse=True)
def image(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the lab's image, which is read from all files of the lab otherwise."""
    monkeypatch.setattr("lab.providers.kind.image_of", lambda root: "localhost/toil-lab:0.1.0-0123456789ab")
    return "localhost/toil-lab:0.1.0-0123456789ab"


def player(home: Path, image: str, steps: list[Step], programs: list[str]) -> Player:
    words = {"name": cluster_name(home), "home": str(home), "image": image, "root": str(data_root())}
    return Player(programs, steps, words)


def begun(steps: list[Step]) -> bool:
    """Whether a cluster is begun with the last of these steps."""
    return any(step["run"][:2] == ["kind", "create"] for step in steps)


@pytest.mark.parametrize("engine", ENGINES)
def test_up_and_down_leave_nothing(engine: str, home: Path, image: str) -> None:
    golden = transcript(engine)
    commands = player(home, image, [*golden["up"], *golden["down"]], golden["programs"])
    provider = KindProvider(commands=commands)
    said: list[str] = []
    cluster = provider.create(home, say=said.append)
    assert (cluster.server, cluster.pod_network, cluster.images["toil-lab"]) == (SERVER, True, image)
    assert cluster.kubeconfig.is_relative_to(home)
    assert [line for line in said if "image" in line]
    assert provider.find(home) is None  # nothing listens there
    port = provider.address(home, "lab-system/pager", "10.96.0.1", 8080)
    written = yaml.safe_load((home / "cluster" / "kind.yaml").read_text())
    mappings = written["nodes"][0]["extraPortMappings"]
    assert port in {f"{m['listenAddress']}:{m['hostPort']}" for m in mappings}
    assert len(commands.nodes) == 1
    provider.delete(home)
    assert (commands.steps, commands.nodes, list(home.iterdir())) == ([], [], [])
    provider.delete(home)  # once more does nothing


def lift(provider: KindProvider, home: Path) -> None:
    """Create a cluster, and undo what there is of it when that fails, as `lab up` does."""
    try:
        provider.create(home)
    except BaseException:
        provider.delete(home)
        raise


def steps_to(failure: dict[str, Any], golden: dict[str, Any]) -> list[Step]:
    """The transcript up to the failure, and from there what is undone."""
    at = failure.get("at", [])
    if not at or failure.get("without"):
        return [step for step in golden["up"] if at and step["run"][:2] == ["kind", "version"]]
    place = next(n for n, step in enumerate(golden["up"]) if step["run"][: len(at)] == at)
    asked = {key: value for key, value in golden["up"][place].items() if key in ("run", "env")}
    answer = {key: failure[key] for key in ("out", "err", "code", "makes") if key in failure}
    steps = [*golden["up"][:place], asked | answer]
    return [*steps, *golden["down"]] if begun(steps) else steps


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: str(failure["name"]))
def test_every_failure_says_why_and_leaves_nothing(failure: dict[str, Any], home: Path, image: str) -> None:
    golden = transcript(failure["engine"])
    programs = [name for name in golden["programs"] if name not in failure.get("without", ())]
    commands = player(home, image, steps_to(failure, golden), programs)
    with pytest.raises(LabError) as refused:
        lift(KindProvider(commands=commands), home)
    assert type(refused.value).__name__ == failure["error"]
    assert [text for text in failure["says"] if text not in refused.value.message] == []
    assert [text for text in failure.get("hint", ()) if text not in refused.value.hint] == []
    assert (commands.steps, commands.nodes, list(home.iterdir())) == ([], [], [])


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_at_each_step_leaves_nothing(engine: str, home: Path, image: str) -> None:
    golden = transcript(engine)
    for place in range(len(golden["up"])):
        steps = [*golden["up"][:place], golden["up"][place] | {"interrupts": True, "writes": ""}]
        commands = player(
            home, image, [*steps, *(golden["down"] if begun(steps) else ())], golden["programs"]
        )
        with pytest.raises(KeyboardInterrupt):
            lift(KindProvider(commands=commands), home)
        assert (commands.steps, commands.nodes, list(home.iterdir())) == ([], [], [])


def test_a_node_that_comes_after_an_interrupt_is_taken_too(home: Path, image: str) -> None:
    golden = transcript("docker")
    create = golden["up"][5] | {"interrupts": True, "writes": ""}
    delete, look = golden["down"]
    late = look | {"out": "<name>-control-plane\n", "makes": ["<name>-control-plane"]}
    commands = player(
        home, image, [*golden["up"][:5], create, delete, late, delete, look], golden["programs"]
    )
    with pytest.raises(KeyboardInterrupt):
        lift(KindProvider(commands=commands), home)
    assert (commands.steps, commands.nodes) == ([], [])


def test_nodes_that_cannot_be_taken_are_named_and_not_forgotten(home: Path, image: str) -> None:
    golden = transcript("docker")
    delete, look = golden["down"]
    stubborn = look | {"out": "<name>-control-plane\n", "makes": ["<name>-control-plane"]}
    down = [delete, stubborn] * 3
    provider = KindProvider(commands=player(home, image, [*golden["up"], *down], golden["programs"]))
    provider.create(home)
    with pytest.raises(ProviderError, match=f"still there: {cluster_name(home)}-control-plane") as refused:
        provider.delete(home)
    assert "lab down tries again" in refused.value.hint
    assert (home / "provider.json").exists()


def test_down_says_so_when_the_engine_is_stopped_and_can_be_said_again(home: Path, image: str) -> None:
    golden = transcript("docker")
    stopped = (
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    )
    dead = golden["down"][0] | {"err": stopped, "code": 1, "takes": False}
    commands = player(home, image, [*golden["up"], dead, *golden["down"]], golden["programs"])
    provider = KindProvider(commands=commands)
    provider.create(home)
    with pytest.raises(NotReadyError, match="engine of docker does not answer") as refused:
        provider.delete(home)
    assert "lab down tries again" in refused.value.hint
    provider.delete(home)
    assert (commands.steps, commands.nodes, list(home.iterdir())) == ([], [], [])


def test_other_ports_are_tried_when_somebody_was_quicker(home: Path, image: str) -> None:
    golden = transcript("docker")
    taken = (
        "Command Output: docker: Error response from daemon: driver failed programming external connectivity "
        "on endpoint <name>-control-plane: Error starting userland proxy: listen tcp4 127.0.0.1:41999: "
        "bind: address already in use\n\nRun 'docker run --help' for more information\n"
    )
    refused = golden["up"][5] | {"err": taken, "code": 1, "writes": ""}
    again = [refused, *golden["down"], golden["up"][5], golden["up"][6], *golden["down"]]
    commands = player(home, image, [*golden["up"][:5], *again], golden["programs"])
    provider = KindProvider(commands=commands)
    provider.create(home)
    provider.delete(home)
    assert (commands.steps, commands.nodes) == ([], [])
    always = [refused, *golden["down"]] * 3
    commands = player(home, image, [*golden["up"][:5], *always], golden["programs"])
    with pytest.raises(ProviderError, match=r"a port of this machine is taken: .*127\.0\.0\.1:41999"):
        lift(KindProvider(commands=commands), home)
    assert (commands.steps, commands.nodes, list(home.iterdir())) == ([], [], [])


def test_what_a_killed_command_left_goes_first(home: Path, image: str) -> None:
    golden = transcript("docker")
    there = golden["up"][4] | {"out": "<name>-control-plane\n"}
    steps = [*golden["up"][:4], there, *golden["down"], *golden["up"][5:]]
    commands = player(home, image, steps, golden["programs"])
    KindProvider(commands=commands).create(home)
    assert commands.steps == []
    commands.steps = [*golden["up"][:2], *golden["down"], *golden["up"][2:]]
    KindProvider(commands=commands).create(home)  # its folder is there this time
    assert (commands.steps, len(commands.nodes)) == ([], 1)


@pytest.mark.parametrize("here", [True, False], ids=["here", "in a registry"])
def test_an_image_of_the_user_is_not_built(here: bool, home: Path) -> None:
    golden = transcript("docker")
    look = {"run": golden["up"][2]["run"]} if here else golden["up"][2]
    loading = golden["up"][6:] if here else []
    steps = [*golden["up"][:2], look, *golden["up"][4:6], *loading]
    commands = player(home, "registry.example/me/lab:1", steps, golden["programs"])
    cluster = KindProvider("registry.example/me/lab:1", commands=commands).create(home)
    assert (commands.steps, cluster.images["toil-lab"]) == ([], "registry.example/me/lab:1")


def test_a_failed_lab_is_kept_when_that_is_asked_for(
    home: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = transcript("docker")
    steps = [*golden["up"][:-1], golden["up"][-1] | {"code": 1, "err": "ERROR: no"}]
    commands = player(home, image, steps, golden["programs"])
    monkeypatch.setattr(table, "PROVIDERS", {"kind": lambda _: KindProvider(commands=commands)})
    with pytest.raises(ProviderError):
        bringup.bring_up(LabSettings(provider="kind"), retain=True)
    assert len(commands.nodes) == 1
    commands.steps = golden["down"]
    KindProvider(commands=commands).delete(home)
    assert (commands.steps, commands.nodes) == ([], [])


def test_another_engine_is_chosen_as_kind_has_it(
    home: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "podman")
    golden = transcript("podman")
    KindProvider(commands=player(home, image, golden["up"], ["docker", "podman", "kind"])).create(home)
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "lxc")
    with pytest.raises(UsageError, match="kind knows no such engine"):
        KindProvider(commands=player(home, image, golden["up"], ["docker", "kind"])).create(home)


def test_an_engine_that_does_not_answer_is_passed_over(home: Path, image: str) -> None:
    podman, docker = transcript("podman"), transcript("docker")
    dead = docker["up"][1] | {"out": "", "err": "Cannot connect to the Docker daemon", "code": 1}
    steps = [podman["up"][0], dead, *podman["up"][1:]]
    commands = player(home, image, steps, ["docker", "podman", "kind"])
    KindProvider(commands=commands).create(home)
    assert commands.steps == []


@pytest.mark.parametrize("name", ["lab", "Lab", "a_b", "x" * 80, "-a", "a-", "_"])
def test_every_lab_has_a_cluster_of_its_own(name: str, home: Path, tmp_path: Path) -> None:
    mine = cluster_name(home.with_name(name))
    assert mine != cluster_name(tmp_path / "elsewhere" / name)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?", mine)  # kind's own limit is 50


def test_only_one_node_or_three() -> None:
    with pytest.raises(UsageError, match="1 node or 3"):
        kind_config(2)


def test_an_old_kubernetes_is_refused(home: Path, image: str) -> None:
    golden = transcript("docker")
    provider = KindProvider(
        node_image="kindest/node:v1.29.2", commands=player(home, image, golden["up"], ["kind"])
    )
    with pytest.raises(UsageError, match=r"Kubernetes 1\.29, and the lab needs 1\.30"):
        provider.create(home)
