"""A guest that is interrupted, killed, or loses its credentials or its tunnel: nothing of it is left."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import yaml
from cluster_contents import everything
from e2e_bench import Bench, until
from localkube_process import Served, running
from plugin_program import V1, PluginProgram, credential

from lab.kube.kubeconfig import load_kubeconfig

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host() -> Iterator[Served]:
    """Somebody's cluster, in which pods run."""
    with running() as server:
        yield server


def up(host: Served, name: str, kubeconfig: Path | None = None) -> tuple[str, ...]:
    """The command for a guest."""
    given = str(kubeconfig or host.kubeconfig)
    return ("up", "--name", name, "--toil", "off", "--provider", "kubeconfig", "--kubeconfig", given)


def of_program(host: Served, folder: Path, program: PluginProgram) -> Path:
    """A kubeconfig whose credentials come from a program."""
    config = yaml.safe_load(host.kubeconfig.read_text())
    entry = {"apiVersion": V1, "command": str(program.path), "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": entry}
    path = folder / "given"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize(("after", "times"), [("Kubernetes API", 1), ("manifests", 3), ("[3/", 2)])
def test_an_interrupted_up_leaves_nothing(bench: Bench, host: Served, after: str, times: int) -> None:
    before = everything(host.kubeconfig)
    ran = bench.interrupt(signal.SIGINT, after, *up(host, "cut"), times=times)
    assert ran.code == 130, ran.err
    assert "Traceback" not in ran.err
    assert bench.left() == []
    until(lambda: everything(host.kubeconfig) == before)


def test_down_removes_what_a_killed_up_has_made(bench: Bench, host: Served) -> None:
    before = everything(host.kubeconfig)
    process = bench.start(*up(host, "killed"))
    assert process.stderr is not None
    until(lambda: "[3/" in str(process.stderr and process.stderr.readline()))
    process.kill()
    bench.end(process)
    assert everything(host.kubeconfig) != before
    down = bench.lab("down", "--name", "killed")
    assert down.code == 0, down.err
    assert bench.left() == []
    until(lambda: everything(host.kubeconfig) == before)


def test_credentials_from_a_program_last_and_stay_here(bench: Bench, host: Served, tmp_path: Path) -> None:
    """Each command, and the tunnel, asks the program; what it gives is nowhere in the lab."""
    before = everything(host.kubeconfig)
    token = load_kubeconfig(host.kubeconfig).bearer()
    program = PluginProgram.make(tmp_path / "bin", credential(token=token))
    made = bench.lab(*up(host, "badge", of_program(host, tmp_path, program)))
    assert made.code == 0, made.err
    ran = bench.lab("run", "--name", "badge", bench.candidate("sleeper", "import time\ntime.sleep(1000)\n"))
    assert ran.code == 0, ran.err
    folder = bench.home / "labs" / "badge"
    kept = [
        path for path in folder.rglob("*") if path.is_file() and token in path.read_text(errors="replace")
    ]
    assert kept == []
    found = secrets_of(host.kubeconfig)
    assert any("automation-kubeconfig" in name for name in found)
    assert not [name for name, text in found.items() if token in text or "get-token" in text]

    asked = len(program.asked())
    tunnel = int(json.loads((folder / "provider.json").read_text())["pid"])
    os.kill(tunnel, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(tunnel) or psutil.Process(tunnel).status() == psutil.STATUS_ZOMBIE)
    status = bench.lab("status", "--name", "badge", "--json").data  # digs it anew
    assert status["open_incidents"] == 0
    assert len(program.asked()) >= asked + 2  # the command, and the tunnel

    program.answers("please log in again")
    down = bench.lab("down", "--name", "badge")
    assert down.code == 3
    assert "please log in again" in down.err
    assert folder.is_dir()
    program.answers(credential(token=token))
    down = bench.lab("down", "--name", "badge")
    assert down.code == 0, down.err
    until(lambda: everything(host.kubeconfig) == before)


def secrets_of(kubeconfig: Path) -> dict[str, str]:
    """Every Secret and ConfigMap of the cluster, decoded, and every pod, by name."""
    got = subprocess.run(
        ["kubectl", "--kubeconfig", kubeconfig, "get", "secrets,configmaps,pods", "-A", "-o", "json"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    found = {}
    for item in json.loads(got.stdout)["items"]:
        meta = item["metadata"]
        text = json.dumps(item)
        if item["kind"] == "Secret":
            text += "".join(decoded(value) for value in (item.get("data") or {}).values())
        found[f"{item['kind']} {meta['namespace']}/{meta['name']}"] = text
    return found


def decoded(value: str) -> str:
    return base64.b64decode(value).decode(errors="replace")


def test_credentials_that_expire_during_up_are_named(bench: Bench, host: Served, tmp_path: Path) -> None:
    before = everything(host.kubeconfig)
    at_once = datetime.now(UTC).isoformat()  # so that each request asks the program
    good = credential(token=load_kubeconfig(host.kubeconfig).bearer(), expirationTimestamp=at_once)
    program = PluginProgram.make(tmp_path / "bin", good)
    process = bench.start(*up(host, "expired", of_program(host, tmp_path, program)))
    until(lambda: everything(host.kubeconfig) != before)
    program.answers("please log in again")
    ran = bench.end(process)
    assert ran.code == 4, ran.err
    assert "please log in again" in ran.err
    assert "what there is of the lab could not be taken away" in ran.err
    assert "lab down --name expired" in ran.err
    assert everything(host.kubeconfig) != before
    program.answers(good)
    down = bench.lab("down", "--name", "expired")
    assert down.code == 0, down.err
    assert bench.left() == []
    until(lambda: everything(host.kubeconfig) == before)
