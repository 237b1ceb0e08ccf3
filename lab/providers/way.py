"""The way from this host to the Services of a cluster whose addresses it cannot reach: a tunnel for a lab."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

from lab.core import interrupt
from lab.errors import ProviderError
from lab.process import is_running, process_started, start_daemon, terminate
from lab.providers.facts import read_facts, write_facts

OPEN_SECONDS = 20.0


def way(directory: Path, service: str, port: int, namespaces: Sequence[str]) -> str:
    """`host:port` at which a Service (`namespace/name`) of the lab of that folder answers here.

    namespaces: whose Services the tunnel serves, by their plain names; it is started if it does not run.
    Raises ProviderError when it does not open, or when there is no such Service.
    """
    facts = read_facts(directory) or {}
    if not is_running(int(facts.get("pid", 0)), float(facts.get("started", 0))):
        _open(directory, facts, namespaces)
    found = json.loads(_file(directory).read_text())["addresses"]
    try:
        return str(found[f"{service}:{port}"])
    except KeyError:
        raise ProviderError(f"the lab has no Service {service} with a port {port}") from None


def close_way(directory: Path) -> None:
    """End the tunnel of a lab, if there is one."""
    facts = read_facts(directory)
    if facts is not None and "pid" in facts:
        terminate(int(facts["pid"]), float(facts["started"]), 2.0)


def forget_way(directory: Path) -> None:
    """Remove what the tunnel wrote."""
    _file(directory).unlink(missing_ok=True)


def _open(directory: Path, facts: dict[str, Any], namespaces: Sequence[str]) -> None:
    ready = _file(directory)
    ready.unlink(missing_ok=True)
    log = directory / "tunnel.log"
    pid = start_daemon(
        [
            *(sys.executable, "-m", "lab.providers.tunnel", "--kubeconfig", str(facts["kubeconfig"])),
            *("--ready-file", str(ready), "--prefix", str(facts.get("prefix", "")), *namespaces),
        ],
        log=log,
    )
    started = process_started(pid)
    write_facts(directory, facts | {"pid": pid, "started": started})
    deadline = time.monotonic() + OPEN_SECONDS
    while not ready.exists():
        if not is_running(pid, started) or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise ProviderError(f"the way to the lab's Services did not open: {''.join(said)}")
        interrupt.check()
        Event().wait(0.02)


def _file(directory: Path) -> Path:
    return directory / "tunnel.json"
