"""kubectl cp, by the machine's tar: files, folders, much data, and archives that want to go elsewhere."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from localkube_process import Served
from streams_bench import (
    SHELL,
    Kubectls,
    either_kubectl,
    every_kubectl,
    kubectl,
    make_pod,
    memory,
    wait_until,
)

from lab.kube.client import KubeClient

__all__ = ["kubectl"]

CP = pytest.mark.conforms(client="kubectl", verb="cp")
BIG = 50 * 1024 * 1024
ROOM = 40 * 1024 * 1024
"""Bytes that localkube may weigh more after that."""
VOLUME: dict[str, Any] = {
    "containers": [{**SHELL, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
    "volumes": [{"name": "data", "emptyDir": {}}],
}


@pytest.fixture
async def pod(kube: KubeClient, namespace: str) -> str:
    """A pod with a volume at /data."""
    return await make_pod(kube, namespace, "p", *VOLUME["containers"], volumes=VOLUME["volumes"])


@CP
@every_kubectl
@pytest.mark.slow
def test_files_and_folders_both_ways(kubectl: Kubectls, pod: str, minor: str, tmp_path: Path) -> None:
    ok = kubectl(minor).ok
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "file with spaces").write_text("here\n")
    (tree / "program").write_text("#!/bin/sh\n")
    (tree / "program").chmod(0o755)
    (tree / "empty").touch()
    ok("cp", str(tree), f"{pod}:/data/tree")
    assert ok("exec", pod, "--", "cat", "/data/tree/deep/er/file with spaces") == "here\n"
    ok("cp", f"{pod}:/data/tree", str(tmp_path / "back"))
    found = {path.relative_to(tmp_path / "back").as_posix() for path in (tmp_path / "back").rglob("*")}
    assert found == {"deep", "deep/er", "deep/er/file with spaces", "program", "empty"}
    ok("exec", pod, "--", "test", "-x", "/data/tree/program")
    ok("cp", "-c", "main", str(tree / "program"), f"{pod}:/data/renamed")
    assert ok("exec", pod, "--", "cat", "/data/renamed") == "#!/bin/sh\n"
    done = kubectl(minor).run("cp", str(tmp_path / "nothing"), f"{pod}:/data/x")
    assert done.returncode == 1


@CP
@either_kubectl
@pytest.mark.slow
def test_a_big_file_both_ways(
    kubectl: Kubectls, cluster: Served, pod: str, minor: str, tmp_path: Path
) -> None:
    block = os.urandom(1 << 20)
    with (tmp_path / "big").open("wb") as file:
        for _ in range(BIG >> 20):
            file.write(block)
    before = most = memory(cluster.process.pid)
    for source, target in (
        (str(tmp_path / "big"), f"{pod}:/data/big"),
        (f"{pod}:/data/big", str(tmp_path / "back")),
    ):
        with kubectl(minor).start("cp", source, target, stderr=subprocess.DEVNULL) as process:

            def ended(process: subprocess.Popen[bytes] = process) -> bool:
                nonlocal most
                most = max(most, memory(cluster.process.pid))
                return process.poll() is not None

            wait_until(ended, "it is copied")
        assert process.returncode == 0
    assert most - before < ROOM
    copied = (tmp_path / "back").read_bytes()
    assert (len(copied), copied == block * (BIG >> 20)) == (BIG, True)


def _elsewhere(archive: tarfile.TarFile, add: Callable[[tarfile.TarInfo], None]) -> None:
    for name in ("../escaped", "/escaped", "inner/../../escaped"):
        entry = tarfile.TarInfo(name)
        add(entry)
    link = tarfile.TarInfo("folder/link")
    link.type, link.linkname = tarfile.SYMTYPE, "../../.."
    add(link)


@CP
@either_kubectl
@pytest.mark.slow
async def test_an_archive_cannot_leave_its_folder(
    kubectl: Kubectls, kube: KubeClient, namespace: str, minor: str, tmp_path: Path
) -> None:
    """A pod whose tar is hostile: what kubectl takes from it stays where it was asked for."""
    tools = tmp_path / "tools"
    tools.mkdir()
    with tarfile.open(tools / "archive", "w") as archive:
        _elsewhere(archive, lambda entry: archive.addfile(entry))
    (tools / "tar").write_text(f"#!/bin/sh\nexec cat {tools}/archive\n")
    (tools / "tar").chmod(0o755)
    path = {"name": "PATH", "value": f"{tools}:{os.environ['PATH']}"}
    name = await make_pod(kube, namespace, "hostile", {**SHELL, "env": [path]})
    target = tmp_path / "a" / "b" / "target"
    target.mkdir(parents=True)
    kubectl(minor).run("cp", f"{name}:/folder", str(target))
    assert not list(tmp_path.rglob("*escaped*"))
    assert not [each for each in target.rglob("*") if each.is_symlink()]


@CP
@either_kubectl
@pytest.mark.slow
def test_nothing_is_unpacked_outside_of_a_volume(
    kubectl: Kubectls, pod: str, minor: str, tmp_path: Path
) -> None:
    """The pod's own tar refuses to go up, and a path through a mounted folder cannot leave it by its name."""
    with tarfile.open(tmp_path / "archive", "w") as archive:
        archive.addfile(tarfile.TarInfo("../../escaped"))
    unpack = ["exec", "-i", pod, "--", "tar", "xf", "-", "-C", "/data"]
    done = kubectl(minor).run(*unpack, stdin=(tmp_path / "archive").read_bytes())
    assert done.returncode != 0
    assert b"Member name contains '..'" in done.stderr
