"""Probes of a real server."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from datetime import UTC, datetime
from typing import Any

import pytest
from kubelet_bench import POD_IP, SERVER, Bench, python

from lab.localkube.kubelet.checks import Outcome, Target
from lab.localkube.kubelet.probes import run_probes

HTTP = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1}


def server(**fields: Any) -> dict[str, Any]:
    return {**python(SERVER), "env": [POD_IP], "ports": [{"name": "web", "containerPort": 8080}], **fields}


async def answer(bench: Bench, name: str, code: int) -> None:
    """Make the server answer with that code from now on."""
    address = bench.get(name)["status"]["podIP"]
    url = f"http://{address}:8080/set/{code}"
    await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).close())


async def test_readiness_follows_the_answers(bench: Bench) -> None:
    bench.pod("web", server(readinessProbe=HTTP))
    await bench.until_ready("web")
    await answer(bench, "web", 503)
    await bench.until(lambda: not bench.status("web")["ready"], what="not ready")
    pod = bench.get("web")
    ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
    assert ready["reason"] == "ContainersNotReady"
    assert ready["message"] == "containers with unready status: [main]"
    assert ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503") in bench.events(
        "web"
    )
    await answer(bench, "web", 204)
    await bench.until_ready("web")
    assert bench.status("web")["restartCount"] == 0


async def test_liveness_restarts(bench: Bench) -> None:
    bench.pod("web", server(livenessProbe={**HTTP, "initialDelaySeconds": 2, "failureThreshold": 2}))
    await bench.until_ready("web")
    await bench.until(lambda: "listening" in _said(bench, "web"), what="it listens")
    await answer(bench, "web", 500)
    await bench.until(lambda: bench.status("web")["restartCount"] == 1, what="a restart")
    await bench.until_ready("web")
    assert bench.status("web")["lastState"]["terminated"]["exitCode"] == 0
    messages = bench.events("web")
    assert ("Killing", "Container main failed liveness probe, will be restarted") in messages


def _said(bench: Bench, name: str) -> str:
    log = bench.kubelet._pod("default", name).containers["main"].log
    return log.path.read_text() if log else ""


async def test_startup_gates_readiness_and_kills_what_never_starts(bench: Bench) -> None:
    never = {"exec": {"command": ["sh", "-c", "exit 1"]}, "periodSeconds": 1, "failureThreshold": 1}
    bench.pod("slow", server(startupProbe=never, readinessProbe=HTTP))
    await bench.until(lambda: "running" in bench.status("slow")["state"], what="running")
    assert not bench.status("slow")["started"]
    assert not bench.status("slow")["ready"]
    await bench.until(lambda: bench.status("slow")["restartCount"] >= 1, what="killed")
    assert ("Killing", "Container main failed startup probe, will be restarted") in bench.events("slow")


async def test_tcp_and_exec_probes(bench: Bench) -> None:
    tcp = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    command = {"exec": {"command": ["python", "-c", "import os; assert os.environ['POD_IP']"]}}
    bench.pod("web", server(readinessProbe=tcp, startupProbe={**command, "periodSeconds": 1}))
    await bench.until_ready("web")
    bench.pod(
        "deaf", {**python("import signal; signal.pause()"), "readinessProbe": {**tcp, "failureThreshold": 1}}
    )
    await bench.until(
        lambda: any("connection refused" in message for _, message in bench.events("deaf")), what="refused"
    )
    assert not bench.status("deaf")["ready"]


async def test_a_probe_that_hangs_times_out(bench: Bench) -> None:
    hang = {"exec": {"command": ["python", "-c", "import signal; signal.pause()"]}, "timeoutSeconds": 1}
    bench.pod("hang", server(livenessProbe={**hang, "periodSeconds": 1, "failureThreshold": 1}))
    await bench.until(lambda: bench.status("hang")["restartCount"] >= 1, what="a restart")
    assert any('signal.pause()" timed out after 1s' in message for _, message in bench.events("hang"))


async def test_a_late_listener_is_ready_long_before_the_next_period(bench: Bench) -> None:
    late = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n" + SERVER
    for name, kind in (("tcp", {"tcpSocket": {"port": 8080}}), ("http", {"httpGet": HTTP["httpGet"]})):
        probe = {**kind, "periodSeconds": 3600}
        bench.pod(name, server(readinessProbe=probe, startupProbe=probe) | python(late))
        await bench.until(lambda name=name: "running" in bench.status(name)["state"], what="running")
        assert not bench.status(name)["started"]
        await bench.exec(name, "touch", "go")
        await bench.until_ready(name)
        assert not any(reason == "Unhealthy" for reason, _ in bench.events(name))


class Fast:
    """A clock on which sleeping takes no time; it ends everything after an hour."""

    def __init__(self) -> None:
        self.time = 0.0
        self.pauses: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.pauses.append(seconds)
        if self.time > 3600:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


class Heard:
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def set_started(self) -> None:
        self.said.append("started")

    def set_ready(self, ready: bool) -> None:
        self.said.append(f"ready {ready}")

    def unhealthy(self, kind: str, outcome: Outcome) -> None:
        self.said.append(kind)

    def condemn(self, kind: str, grace: float | None) -> None:
        self.said.append(f"condemned by {kind}")


async def nothing(command: list[str]) -> tuple[int, str]:
    """A command that fails."""
    return 1, "no"


@pytest.mark.parametrize("kind", [{"tcpSocket": {"port": 1}}, {"exec": {"command": ["x"]}}])
async def test_what_never_gets_ready_is_said_once_a_period_and_asked_ever_less_often(kind: Any) -> None:
    clock, heard = Fast(), Heard()
    container = {"readinessProbe": {**kind, "periodSeconds": 10}}
    with contextlib.suppress(asyncio.CancelledError):
        await run_probes(Target("127.0.0.1", container, nothing), heard, clock)
    assert heard.said[0] == "started"
    assert set(heard.said[1:]) == {"Readiness"}
    assert 300 < len(heard.said) <= 361
    assert clock.pauses == sorted(clock.pauses)
    assert (clock.pauses[0], clock.pauses[-1]) == (0.1, 10)


async def test_a_failing_startup_probe_condemns_after_its_periods() -> None:
    clock, heard = Fast(), Heard()
    container = {"startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 10, "failureThreshold": 3}}
    await run_probes(Target("127.0.0.1", container, nothing), heard, clock)
    assert heard.said == ["Startup", "Startup", "Startup", "condemned by startup"]
    assert 30 <= clock.time < 40
