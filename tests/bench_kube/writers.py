"""Many writer processes at once: what a server takes in a second."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench_kube.figures import Figures, Size, times
from tests.bench_kube.manifests import MAKERS
from tests.bench_kube.requests import Client, Official, Thin, official_api
from tests.bench_kube.target import Target

CLIENTS = ("thin", "official")


def writers(target: Target, namespace: str, size: Size) -> Figures:
    """Processes that create as fast as they are answered, started together; each kind by each client."""
    figures: Figures = {}
    for kind in MAKERS:
        for by in CLIENTS:
            found = _together(target, namespace, kind, by, size)
            figures |= {f"{name}, {by} client": value for name, value in found.items()}
    return figures


def _together(target: Target, namespace: str, kind: str, by: str, size: Size) -> Figures:
    module = [sys.executable, "-m", "tests.bench_kube", "writer"]
    arguments = [str(target.kubeconfig), namespace, kind, by]
    started = [
        subprocess.Popen(
            [*module, *arguments, f"{by}-{number}", str(size.writes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(size.writers)
    ]
    try:
        for process in started:
            if _line(process) != "ready":
                raise SystemExit("a writer did not start")
        begun = time.perf_counter()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        took = [[float(word) for word in _line(process).split()] for process in started]
        seconds = time.perf_counter() - begun
    finally:
        for process in started:
            process.communicate()
    figures = {f"{size.writers} writers, {kind} a second": size.writers * size.writes / seconds}
    return figures | times(
        f"{size.writers} writers, one create of {kind}", [one for each in took for one in each]
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def write(kubeconfig: str, namespace: str, kind: str, by: str, prefix: str, count: str) -> None:
    """What one writer process does: get ready, wait for its word, create, and say how long each took."""
    target = Target("", Path(kubeconfig))
    make: Callable[[str], dict[str, object]] = MAKERS[kind]
    made = [make(f"{prefix}-{number}") for number in range(int(count))]
    with target.thin() as bare:
        client: Client = Thin(bare, kind, namespace)
        if by == "official":
            client = Official(official_api(target), kind, namespace)
        client.create(make(f"{prefix}-warm"))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        took = []
        for obj in made:
            begun = time.perf_counter()
            client.create(obj)
            took.append(time.perf_counter() - begun)
    sys.stdout.write(" ".join(f"{one:.6f}" for one in took) + "\n")
