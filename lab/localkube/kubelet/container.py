"""One container's life: start, probe, end, back off, start again. Source: pkg/kubelet/kuberuntime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from lab.kube.objects import KubeObject
from lab.kube.quantity import parse_quantity
from lab.localkube.images.launch import Launch, StartError
from lab.localkube.images.launcher import Process
from lab.localkube.kubelet.backoff import Backoff
from lab.localkube.kubelet.checks import Outcome, Target
from lab.localkube.kubelet.console import Console
from lab.localkube.kubelet.context import PodContext
from lab.localkube.kubelet.executing import TERM, run_beside
from lab.localkube.kubelet.hooks import Hooks
from lab.localkube.kubelet.logs import ContainerLog, rotated, tail
from lab.localkube.kubelet.podfields import PodPlace
from lab.localkube.kubelet.preparing import Preparation
from lab.localkube.kubelet.probes import run_probes
from lab.localkube.kubelet.resolving import resolve_container, termination_file
from lab.localkube.kubelet.status import ContainerStatus
from lab.localkube.kubelet.stopping import Stopping
from lab.localkube.kubelet.usage import Meter, Usage, tree_usage
from lab.localkube.kubelet.volumes import PodVolumes
from lab.localkube.kubelet.waiting import end, first_of
from lab.localkube.protocols import Streams

log = logging.getLogger(__name__)

MAX_PROCESSES = 1024
"""A container with more processes than this is killed: it would take the machine with it."""
MESSAGE_LIMIT = 4096


class ContainerWorker:
    """Runs one container of a pod. `restart`: Always, OnFailure or Never."""

    def __init__(
        self,
        context: PodContext,
        spec: KubeObject,
        status: ContainerStatus,
        volumes: PodVolumes,
        place: PodPlace,
        *,
        restart: str,
        field: str = "containers",
    ) -> None:
        self.spec = spec
        self.status = status
        self.restart = restart
        self.log: ContainerLog | None = None
        self.launch: Launch | None = None
        self.process: Process | None = None
        self.console: Console | None = None
        self.rewrite: Callable[[str], str] = str
        """Host names and mounted paths as this container needs them."""
        self.mounts: Mapping[str, Path] = {}
        self.executed: set[Process] = set()
        """Commands that run beside the container; they end with it."""
        self.attempted = asyncio.Event()
        """It has been tried to start it once, whatever came of it."""
        self.meter = Meter()
        self._context = context
        self._node = context.node
        self._volumes = volumes
        self._place = place
        self._field = f"spec.{field}{{{spec['name']}}}"
        self._is_plain_init = field == "initContainers" and not status.restartable_init
        self._is_probed = field == "containers" or status.restartable_init
        self._redefined = False
        self._backoff = Backoff(context.node.backoff)
        self._ended_at: float | None = None
        self._stopping = Stopping(context.node.clock)
        self._out_of_memory = False
        self._started_at = ""

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.spec["name"])

    @property
    def memory_limit(self) -> float | None:
        """resources.limits.memory in bytes."""
        limit = ((self.spec.get("resources") or {}).get("limits") or {}).get("memory")
        return None if limit is None else float(parse_quantity(limit))

    def finished(self) -> bool:
        """Whether it ended and its policy does not start it again."""
        ended = self.status.terminated
        return ended is not None and not self._redefined and not self._restarts(ended["exitCode"])

    def _restarts(self, code: int) -> bool:
        return self.restart == "Always" or (self.restart == "OnFailure" and code != 0)

    async def run(self) -> None:
        """Run until the policy or `stop` ends it."""
        while not self._stopping.for_good and not self.finished():
            if not await self._wait_back_off():
                return
            launch = await self._prepare()
            if launch is None:
                return
            try:
                await self._run_once(launch)
            except StartError as error:
                self._event("Warning", "Failed", f"Error: {error}")
                self._ended(128, "StartError", str(error))

    def redefine(self, spec: KubeObject) -> None:
        """Take another definition. A run that goes on ends, and the next one follows it at once."""
        self.spec = spec
        self.status.image = str(spec["image"])
        self._backoff = Backoff(self._node.backoff)
        if self.process is not None:
            self._redefined = True
            text = f"Container {self.name} definition changed, will be restarted"
            self._event("Normal", "Killing", text)
            self._stopping.condemn(None)

    def request_stop(self, grace: float, *, in_turn: bool = False) -> None:
        """Ask it to end within `grace` seconds and not to start again. May be repeated with less grace.

        in_turn: its preStop hook runs at once, and it waits for `take_turn` before it ends.
        """
        self._stopping.request(grace, in_turn=in_turn)

    def take_turn(self) -> None:
        """Those that were to end before it have ended."""
        self._stopping.allow()

    def kill(self) -> None:
        """SIGKILL all that runs in it now."""
        for process in (self.process, *self.executed):
            if process is not None:
                process.kill()

    async def _wait_back_off(self) -> bool:
        """Wait for the next start's time; False when it is to stop instead."""
        if self._ended_at is None:
            return True
        clock = self._node.clock
        left = self._backoff.until(self._ended_at) - clock.monotonic()
        if left > 0:
            self.status.last_state = self.status.state
            text = f"restarting failed container={self.name} pod={self._context.title}"
            self._wait_state("CrashLoopBackOff", f"back-off {_duration(self._backoff.delay)} {text}")
            self._event(
                "Warning",
                "BackOff",
                f"Back-off restarting failed container {self.name} in pod {self._context.title}",
            )
            await first_of(clock, left, self._stopping.requested())
            if self._stopping.for_good:
                return False
        elif "terminated" in self.status.state:
            self.status.last_state = self.status.state
        self._backoff.started(clock.monotonic())
        self.status.restart_count += 1
        return True

    async def _prepare(self) -> Launch | None:
        """The process that it is to be; None when it is to stop instead."""
        resolve = partial(resolve_container, self._context, volumes=self._volumes, place=self._place)
        preparation = Preparation(self._context, lambda: self.spec, resolve, self._wait_state, self._event)
        prepared = await preparation.run(self._stopping)
        if prepared is None:
            return None
        launch, resolved = prepared
        self.rewrite, self.mounts = resolved.rewrite, resolved.mounts
        return launch

    async def _run_once(self, launch: Launch) -> None:
        """One run, from the start of the process to the record of its end. Raises StartError."""
        self._stopping.begin_run()
        self._out_of_memory = self._redefined = False
        self._started_at = ""
        self.log = self._open_log()
        console = Console(self.spec, self.log)
        if console.tty:
            launch = replace(launch, env={"TERM": TERM, **launch.env})
        try:
            process = await self._node.images.launcher.spawn(
                launch,
                stdin=console.stdin,
                stdout=console.stdout,
                stderr=console.stderr,
                tty=console.tty,
            )
        except BaseException as error:
            if isinstance(error, StartError):
                self.log.write(f"{error}\n".encode())
            await console.unused()
            self.log.close()
            raise
        await console.open()
        self.launch, self.process, self.console = launch, process, console
        self._node.ledger.add(process.pid)
        self._event("Normal", "Created", f"Created container: {self.name}")
        try:
            code = await self._attend(process, launch)
        except asyncio.CancelledError:
            process.kill()
            await console.abandon()
            self.log.close()
            raise
        finally:
            self._node.ledger.remove(process.pid)
            for other in self.executed:
                other.kill()
        await console.drained()
        self.console = None
        self.log.close()
        reason = "Completed" if code == 0 else "Error"
        if self._out_of_memory and code == 137:
            reason = "OOMKilled"
        self._ended(code, reason, self._termination_message(code))

    async def _attend(self, process: Process, launch: Launch) -> int:
        """See a process through to its end; its exit code."""
        clock = self._node.clock
        exited = asyncio.ensure_future(process.wait())
        probing: asyncio.Task[None] | None = None
        self._started_at = self._node.now()
        target = Target(self._place.pod_ip, self.spec, self._execute)
        hooks = Hooks(target, clock, lambda reason, message: self._event("Warning", reason, message))
        try:
            self._event("Normal", "Started", f"Started container {self.name}")
            well = await hooks.post_start(exited, self._stopping)
            if well:
                self._now_running(process)
                if self._is_probed:
                    probing = asyncio.create_task(
                        run_probes(target, self, clock, lambda: self._stopping.begun)
                    )
            elif well is False:
                self._event("Normal", "Killing", "FailedPostStartHook")
                self._stopping.condemn(None)
            await self._stopping.wanted(exited)
            if not exited.done():
                if self._stopping.for_good:
                    self._event("Normal", "Killing", f"Stopping container {self.name}")
                grace = float(self._context.pod["spec"].get("terminationGracePeriodSeconds", 30))
                pre_stop = partial(hooks.pre_stop, exited=exited) if hooks.has_pre_stop else None
                await self._stopping.end(process, exited, launch.stop_signal, grace, pre_stop)
            return exited.result()
        finally:
            await end(probing)

    def _now_running(self, process: Process) -> None:
        self.status.state = {"running": {"startedAt": self._started_at}}
        self.status.container_id = f"localkube://{process.pid}-{self.status.restart_count}"
        self.attempted.set()
        self._context.changed()

    async def _execute(self, command: list[str]) -> tuple[int, str]:
        """A hook's or probe's command."""
        output = bytearray()

        async def take(data: bytes) -> None:
            if len(output) < MESSAGE_LIMIT:
                output.extend(data)

        try:
            code = await run_beside(self, self._node, command, Streams(stdout=take, stderr=take))
        except StartError as error:
            return 126, str(error)
        return code, output.decode(errors="replace").strip()

    def _open_log(self) -> ContainerLog:
        directory = self._context.directory / "logs" / self.name
        number = self.status.restart_count
        for old in (directory / f"{number - 2}.log", directory / f"{number}.log"):
            for file in (old, rotated(old)):
                with suppress(FileNotFoundError):
                    file.unlink()
        return ContainerLog(directory / f"{number}.log", self._node.clock)

    def _termination_message(self, code: int) -> str:
        with suppress(OSError):
            text = termination_file(self._context, self.spec).read_text(errors="replace")[:MESSAGE_LIMIT]
            if text:
                return text
        if code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError" and self.log:
            return tail(self.log, 80, 2048)
        return ""

    def _ended(self, code: int, reason: str, message: str = "") -> None:
        now = self._node.now()
        terminated = {
            "exitCode": code,
            "reason": reason,
            "startedAt": self._started_at or now,
            "finishedAt": now,
            "containerID": self.status.container_id,
        }
        if message:
            terminated["message"] = message
        self.status.state = {"terminated": terminated}
        self.status.ready = self._is_plain_init and code == 0
        self.status.started = False
        self.process = None
        self.attempted.set()
        self._ended_at = self._node.clock.monotonic()
        self._context.changed()

    def _wait_state(self, reason: str, message: str) -> None:
        self.status.state = {"waiting": {"reason": reason, "message": message}}
        self.attempted.set()
        self._context.changed()

    def _event(self, type: str, reason: str, message: str) -> None:
        self._context.event(type, reason, message, self._field)

    def usage(self) -> Usage:
        """What its processes use now, and the commands that run beside it."""
        total = tree_usage(self.process.pid) if self.process else Usage()
        for beside in self.executed:
            total += tree_usage(beside.pid)
        return total

    def enforce_limits(self) -> None:
        """Kill it when it is over its memory limit or has too many processes."""
        process = self.process
        if process is None or process.exit_code is not None:
            return
        usage, limit = self.usage(), self.memory_limit
        self.meter.add(process, usage, self._node.clock)
        if limit is not None and usage.memory > limit:
            self._out_of_memory = True
            process.kill()
        elif usage.processes > MAX_PROCESSES:
            self._event("Warning", "Failed", f"Container {self.name} has more than {MAX_PROCESSES} processes")
            process.kill()

    def set_started(self) -> None:
        """ProbeListener."""
        self.status.started = True
        self._context.changed()

    def set_ready(self, ready: bool) -> None:
        """ProbeListener."""
        self.status.ready = ready
        self._context.changed()

    def unhealthy(self, kind: str, outcome: Outcome) -> None:
        """ProbeListener."""
        if outcome.warned:
            self._event("Warning", "ProbeWarning", f"{kind} probe warning: {outcome.message}")
        elif outcome.errored:
            text = f"{kind} probe errored and resulted in unknown state: {outcome.message}"
            self._event("Warning", "Unhealthy", text)
        else:
            self._event("Warning", "Unhealthy", f"{kind} probe failed: {outcome.message}")

    def condemn(self, kind: str, grace: float | None) -> None:
        """ProbeListener."""
        self._event("Normal", "Killing", f"Container {self.name} failed {kind} probe, will be restarted")
        self._stopping.condemn(grace)


def _duration(seconds: float) -> str:
    """Seconds as Go prints a duration: 10s, 1m20s, 300ms."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
