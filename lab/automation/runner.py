"""Process 1 of the automation pod: unpack the workspace, keep the program running, serve its metrics.

GET /metrics   the program's *.prom files and the runner's own metrics
GET /healthz   the runner is alive
GET /readyz    the program runs
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from lab.automation.filling import Filler
from lab.automation.injections import Act, Injections, add_routes
from lab.automation.intended import intended_kubeconfig
from lab.automation.manifest import Automation, ShadowReads
from lab.automation.package import unpack
from lab.automation.processes import become_subreaper
from lab.automation.supervisor import Places, Supervisor, environment
from lab.automation.textfile import merge
from lab.core.clock import SystemClock
from lab.errors import ConfigError

PORT = 9400


def log(line: str) -> None:
    """One line of the pod's log."""
    print(line, flush=True)


def exposition(supervisor: Supervisor, places: Places, report: Callable[[str], None]) -> str:
    """The text of /metrics: the program's files, then the runner's own metrics."""
    merged = merge(places.textfiles)
    for name, problem in merged.errors.items():
        report(f"[runner] metrics file {name[:80]!r} is left out: {problem}")
    own = (
        ("toil_automation_up", "gauge", "Whether the program runs", int(supervisor.up)),
        ("toil_automation_restarts_total", "counter", "Starts after the first", supervisor.restarts),
        ("toil_automation_textfile_errors", "gauge", "Metrics files left out as invalid", len(merged.errors)),
    )
    lines = [f"# HELP {n} {text}\n# TYPE {n} {kind}\n{n} {value}\n" for n, kind, text, value in own]
    return merged.text() + "".join(lines)


def application(supervisor: Supervisor, places: Places, injections: Injections) -> web.Application:
    """The runner's web server."""
    told: set[str] = set()
    shown = ""

    def report(line: str) -> None:
        if line not in told and len(told) < 100:  # a broken file is scraped every second, said once
            told.add(line)
            log(line)

    async def metrics(_: web.Request) -> web.Response:
        nonlocal shown
        if injections.active(Act.METRICS_GONE):
            return web.Response(status=503)
        if not (shown and injections.active(Act.METRICS_FROZEN)):
            shown = exposition(supervisor, places, report)
        return web.Response(text=shown, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(
            text="ok\n" if supervisor.up else "not running\n", status=200 if supervisor.up else 503
        )

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    add_routes(app, injections)
    return app


async def serve(automation: Automation, places: Places, given: dict[str, str]) -> None:
    """Run until SIGTERM or SIGINT; nothing of the program is left afterwards."""
    become_subreaper()
    clock = SystemClock()
    supervisor = Supervisor(automation, places, environment(automation, places, given), clock, log)
    injections = Injections(supervisor, Filler(places.scratch, clock), clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    server = web.AppRunner(application(supervisor, places, injections), access_log=None, shutdown_timeout=0.5)
    await server.setup()
    host = given.get("LAB_LISTEN") or given.get("POD_IP") or "127.0.0.1"
    port = int(given.get("METRICS_PORT") or PORT)
    try:
        await web.TCPSite(server, host, port).start()
        log(f"[runner] {automation.name}: {automation.runtime} {automation.entrypoint}")
        log(f"[runner] metrics on http://{host}:{port}/metrics")
        await supervisor.run()
    finally:
        await server.cleanup()


def main() -> int:
    """Entry point of the pod. Exit code 2 when the workspace is wrong, with every problem said."""
    given = dict(os.environ)
    source = Path(given.get("WORKSPACE_DIR") or "/workspace")
    own = None if given.get("SCRATCH_DIR") else tempfile.TemporaryDirectory(prefix="automation-")
    try:
        places = Places.below(Path(own.name if own else given["SCRATCH_DIR"]))
        if not source.is_dir():
            raise ConfigError(f"there is no workspace at {source}", hint="lab run packages and sends it")
        automation = unpack(source, places.workspace)
        if automation.shadow_reads is ShadowReads.INTENDED:
            shown = intended_kubeconfig(Path(given.get("KUBECONFIG", "")), places.home / "kubeconfig")
            given["KUBECONFIG"] = str(shown)
        asyncio.run(serve(automation, places, given))
    except ConfigError as error:
        log(f"[runner] {error.message}")
        if error.hint:
            log(f"[runner] {error.hint}")
        return error.exit_code
    finally:
        if own is not None:
            own.cleanup()
    log("[runner] stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
