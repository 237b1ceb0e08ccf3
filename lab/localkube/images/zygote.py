"""The warmed process from which every container is forked.

    python -m lab.localkube.images.zygote DESCRIPTOR MODULE...

    localkube ──socketpair──► zygote ──fork──► container process ──► its children
                                (imports done)   (own session, adopts its orphans)

It imports once what all Python pods need; a fork then costs milliseconds and shares that memory. It is one
thread and answers one request at a time. It also is the parent of every container's first process, so it
alone may signal them without hitting somebody else's pid, and it cleans up: what a dead container leaves
behind is reparented to the zygote and killed; when localkube goes away, so does everything below.

Wire, both ways: 4 bytes length, then JSON. A spawn's three descriptors (standard input, output, error) come
with the length.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import resource
import runpy
import select
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from lab.localkube.images.prctl import adopt_orphans, die_with_parent, set_process_name

FAREWELL_SECONDS = 0.3
"""How long containers may take to stop by themselves once localkube is gone."""
LIMITS = ((resource.RLIMIT_NOFILE, 8192), (resource.RLIMIT_CORE, 0))


@dataclass(frozen=True, slots=True)
class Job:
    """What a forked child does next."""

    argv: list[str]
    python: bool
    cwd: str


class Zygote:
    """The request loop. `serve` returns a Job in each child, and None in the zygote itself at the end."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._mains: dict[int, int] = {}  # pid of a container's first process -> its stop signal
        self._wake, waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self._waker = waker

    def serve(self) -> Job | None:
        """Answer requests until the other side closes."""
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(self._wake, selectors.EVENT_READ)
        self._send({"ready": True})
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._control:
                    try:
                        request, descriptors = self._receive()
                    except (OSError, EOFError):
                        self._farewell()
                        return None
                    job = self._handle(request, descriptors)
                    if job is not None:
                        selector.close()
                        return job
                else:
                    os.read(self._wake, 4096)
                    self._reap()

    def _handle(self, request: dict[str, Any], descriptors: list[int]) -> Job | None:
        if request["op"] == "signal":
            pid = request["pid"]
            if pid in self._mains:
                os.kill(pid, request["signal"])
            return None
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            self._send({"id": request["id"], "error": f"cannot fork: {error.strerror}"})
        if pid == 0:
            return self._become(request, descriptors, zygote)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self._mains[pid] = request["stop"]
            self._send({"id": request["id"], "pid": pid})
        return None

    def _become(self, request: dict[str, Any], descriptors: list[int], zygote: int) -> Job:
        """In the child: leave the zygote's state behind and take the container's."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        die_with_parent(zygote)
        adopt_orphans()
        self._control.close()
        os.close(self._wake)
        os.close(self._waker)
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        for descriptor in descriptors:
            if descriptor > 2:
                os.close(descriptor)
        if request["tty"]:
            _take_terminal(interrupts=not request["python"])
        for limit, soft in LIMITS:
            _, hard = resource.getrlimit(limit)
            resource.setrlimit(limit, (soft if hard < 0 else min(soft, hard), hard))
        os.umask(0o022)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        return Job(request["argv"], request["python"], request["cwd"])

    def _reap(self) -> None:
        ended = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            ended = True
            if self._mains.pop(pid, None) is not None:
                code = os.waitstatus_to_exitcode(status)
                _kill(os.killpg, pid)
                self._send({"exit": pid, "code": code if code >= 0 else 128 - code})
        if ended:
            for orphan in self._children():
                if orphan not in self._mains:
                    _kill(os.kill, orphan)

    def _children(self) -> list[int]:
        try:
            text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        except OSError:
            return []
        return [int(word) for word in text.split()]

    def _farewell(self) -> None:
        for pid, number in self._mains.items():
            os.kill(pid, number)
        end = time.monotonic() + FAREWELL_SECONDS
        while self._mains and (left := end - time.monotonic()) > 0:
            select.select([self._wake], [], [], left)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
            self._reap()
        while True:
            for pid in {*self._mains, *self._children()}:
                _kill(os.kill, pid)
            try:
                pid, _ = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            self._mains.pop(pid, None)

    def _receive(self) -> tuple[dict[str, Any], list[int]]:
        head, descriptors, _, _ = socket.recv_fds(self._control, 4, 3)
        if len(head) < 4:
            head += self._exactly(4 - len(head))
        body = self._exactly(int.from_bytes(head, "big"))
        return json.loads(body), list(descriptors)

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._control.recv(count - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        try:
            self._control.sendall(len(body).to_bytes(4, "big") + body)
        except OSError:
            pass  # the other side is gone; the read that follows sees it


def _take_terminal(*, interrupts: bool) -> None:
    """Let standard input's terminal control this session, and its keys send signals as they do.

    interrupts: Ctrl-C ends it from now on, also before the program is there.
    """
    import fcntl
    import termios

    ends = (signal.SIGINT,) if interrupts else ()
    for number in (*ends, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _kill(function: Any, pid: int) -> None:
    try:
        function(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def run_job(job: Job) -> None:
    """Be the container's program: run Python in this interpreter, execute anything else."""
    python = parse_python(job.argv) if job.python else None
    if python is None:
        _execute(job.argv, job.python)
        return
    kind, what, arguments = python
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    set_process_name(what.rpartition("/")[2] if kind == "script" else what if kind == "module" else "python")
    if kind == "module":
        sys.argv = [what, *arguments]
        sys.path[0] = job.cwd
        if not hasattr(sys.modules.get(what), "__path__"):
            sys.modules.pop(what, None)  # it is to run, not to be found imported
        run = partial(runpy.run_module, what, run_name="__main__", alter_sys=True)
        if what.partition(".")[0] == "lab":
            _run_and_leave(run)
        else:
            run()
    elif kind == "script":
        sys.argv = [what, *arguments]
        sys.path[0] = str(Path(what).resolve().parent)
        runpy.run_path(what, run_name="__main__")
    else:
        sys.argv = ["-c", *arguments]
        sys.path[0] = ""
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})


def _run_and_leave(run: Callable[[], object]) -> NoReturn:
    """Run one of the lab's own programs, which close what they open, and end without tearing down modules.

    That would write to nearly all the memory shared with the zygote: for a whole lab at once, a second.
    """
    try:
        run()
        code: object = 0
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    leave(code if isinstance(code, int) else 0)


def leave(code: int) -> NoReturn:
    """End at once, after what programs have registered for it."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def parse_python(argv: Sequence[str]) -> tuple[str, str, list[str]] | None:
    """What a Python command line runs: (module | script | code, which, its arguments).

    None when it is no Python or has options that only a new interpreter can honour.
    """
    if not argv or not Path(argv[0]).name.startswith("python"):
        return None
    rest = list(argv[1:])
    while rest and rest[0] in ("-u", "-B"):
        rest.pop(0)
    if len(rest) >= 2 and rest[0] in ("-m", "-c"):
        return ("module" if rest[0] == "-m" else "code"), rest[1], rest[2:]
    if rest and not rest[0].startswith("-"):
        return "script", rest[0], rest[1:]
    return None


def _execute(argv: Sequence[str], python: bool) -> None:
    program = argv[0]
    if python and Path(program).name.startswith("python") and "/" not in program:
        program = sys.executable
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that would be inherited
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(program, list(argv))
    except OSError as error:
        print(f'exec: "{argv[0]}": {error.strerror}', file=sys.stderr, flush=True)
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def warm(modules: Sequence[str]) -> None:
    """Import each module, and call the function that is named after a colon. What fails is said and left out.

    Then the collector forgets what it knows.
    """
    for name in modules:
        module, _, function = name.partition(":")
        try:
            imported = importlib.import_module(module)
            if function:
                getattr(imported, function)()
        except Exception as error:
            print(f"zygote: {name} is not preloaded: {error!r}", file=sys.stderr, flush=True)
    gc.collect()
    gc.freeze()


def main() -> None:
    """Warm up, then serve the socket whose descriptor is the first argument."""
    adopt_orphans()
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    warm(sys.argv[2:])
    set_process_name("lab-zygote")
    job = Zygote(control).serve()
    if job is None:
        leave(0)
    run_job(job)


if __name__ == "__main__":
    main()
