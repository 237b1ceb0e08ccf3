"""Measure what the README promises: min, median and max of several runs.

python -m tests.bench [RUNS] [--grade]     prints a table, and the same as JSON on the last line
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from lab.core.places import data_root
from lab.core.staffing import CHEAP
from lab.engine import bringup
from lab.engine import lab as labs
from lab.engine.clients import wait_until
from lab.engine.settings import LabSettings
from lab.process import process_started, start_daemon, terminate

MIB = 1024**2
SETTLE_SECONDS = 20.0
NAME = "bench"


def api_alone() -> float:
    """Seconds from starting localkube without a kubelet to its ready file."""
    home = Path(tempfile.mkdtemp(prefix="lab-bench-"))
    ready = home / "ready.json"
    begun = time.monotonic()
    pid = start_daemon(
        [
            *(sys.executable, "-m", "lab.localkube", "--api-only", "--data-dir", str(home / "data")),
            *("--block", "249", "--ready-file", str(ready)),
            *("--images", str(data_root() / "clusters" / "local" / "images.yaml")),
        ],
        log=home / "log",
    )
    started = process_started(pid)
    answered = wait_until(ready.exists, seconds=30, every=0.005)
    seconds = time.monotonic() - begun
    terminate(pid, started, 5)
    shutil.rmtree(home, ignore_errors=True)
    if not answered:
        raise SystemExit("localkube did not start")
    return seconds


def whole_lab() -> dict[str, float]:
    """Bring a lab up, let it settle, weigh it, add thirty workers, take it down."""
    begun = time.monotonic()
    lab = bringup.bring_up(LabSettings(NAME, toil="off", starts=CHEAP), throw_away=True)
    figures = {"lab up, s": time.monotonic() - begun}
    try:
        wait_until(lambda: False, seconds=SETTLE_SECONDS)
        figures["idle lab, MiB (PSS)"] = _weight(int(lab.cluster.details["pid"])) / MIB
        figures["30 more workers ready, s"] = _thirty_workers(lab)
    finally:
        begun = time.monotonic()
        lab.down()
        figures["lab down, s"] = time.monotonic() - begun
    return figures


def _weight(pid: int) -> float:
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def _thirty_workers(lab: labs.Lab) -> float:
    def ready() -> bool:
        worker = next(d for d in lab.kube.deployments() if d["metadata"]["name"] == "worker")
        return labs.is_available(worker, 38)

    begun = time.monotonic()
    lab.kube.patch_deployment("shop", "worker", {"spec": {"replicas": 38}})
    if not wait_until(ready, seconds=60, every=0.05):
        raise SystemExit("thirty more workers did not become ready in a minute")
    return time.monotonic() - begun


def grade() -> float:
    """Seconds that `lab grade stuck-workers` takes with the reference."""
    from lab.process import run

    begun = time.monotonic()
    run(
        [str(Path(sys.executable).with_name("lab")), "grade", "stuck-workers", "--solution", "python"],
        timeout=300,
    )
    return time.monotonic() - begun


def main() -> None:
    """Run everything several times and print what came out."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    runs = numbers[0] if numbers else 3
    os.environ["LAB_HOME"] = tempfile.mkdtemp(prefix="lab-bench-home-")
    os.environ["LAB_RESULTS"] = tempfile.mkdtemp(prefix="lab-bench-results-")
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)
        sys.stderr.write(f"{name}: {value:.2f}\n")

    singles: list[tuple[str, Callable[[], float]]] = [("API alone, s", api_alone)]
    if "--grade" in sys.argv:
        singles.append(("lab grade stuck-workers, s", grade))
    for _ in range(runs):
        for name, measure in singles:
            note(name, measure())
        for name, value in whole_lab().items():
            note(name, value)
    for variable in ("LAB_HOME", "LAB_RESULTS"):
        shutil.rmtree(os.environ[variable], ignore_errors=True)
    sys.stdout.write(f"{'figure':32} {'min':>8} {'median':>8} {'max':>8}   of {runs}\n")
    for name, values in figures.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        sys.stdout.write(f"{name:32} {low:8.2f} {middle:8.2f} {high:8.2f}\n")
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
