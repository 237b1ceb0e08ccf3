"""The parent's side of the zygote: start it when first needed, ask it for processes, hear of their ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab.localkube.credentials import own_environment
from lab.localkube.images.launch import Launch, StartError
from lab.process import kill_sessions

log = logging.getLogger(__name__)

LOST = 137
"""The exit code of a process whose zygote died: the kernel kills it with SIGKILL."""


class Process:
    """A container's first process, or a command run beside it."""

    def __init__(self, launcher: Launcher, pid: int, ended: asyncio.Future[int]) -> None:
        self.pid = pid
        self._launcher = launcher
        self._ended = ended

    async def wait(self) -> int:
        """The exit code once it has ended; 128 + n when signal n killed it."""
        return await asyncio.shield(self._ended)

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._ended.result() if self._ended.done() else None

    def signal(self, number: int) -> None:
        """Send a signal to this process alone. Does nothing once it has ended."""
        if not self._ended.done():
            self._launcher.send_signal(self.pid, number)

    def kill(self) -> None:
        """SIGKILL it; all its descendants follow."""
        self.signal(signal.SIGKILL)


class Launcher:
    """Starts processes through one zygote; when that dies, the next spawn starts another."""

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self.on_start: Callable[[int], None] = _ignore
        """Told the pid of every zygote, before it has children."""
        self.on_end: Callable[[int], None] = _ignore
        """Told the pid of a zygote that is gone with all that it started."""
        self._preload = tuple(preload)
        self._zygote: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._warm = False
        self._readers: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._replies: dict[int, asyncio.Future[Process]] = {}
        self._running: dict[int, asyncio.Future[int]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._count = 0

    @property
    def pid(self) -> int | None:
        """The zygote's pid, if it runs."""
        return self._zygote.pid if self._zygote and self._socket else None

    async def start(self) -> None:
        """Start the zygote and wait until it is warm. Otherwise the first spawn does it."""
        async with self._starting:
            if self._socket is not None:
                return
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            with contextlib.closing(theirs):
                self._zygote = _start_zygote(theirs, self._preload)
            self._socket, self._warm = ours, False
            self.on_start(self._zygote.pid)
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            reader = asyncio.create_task(self._read(self._zygote, ours, ready))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
            await ready

    async def spawn(
        self, launch: Launch, *, stdin: int, stdout: int, stderr: int, tty: bool = False
    ) -> Process:
        """Start a process with these descriptors, which stay the caller's to close.

        tty: they are one terminal, which is to control the process and what it starts.
        Raises StartError when it cannot be started.
        """
        if not launch.python:
            find_program(launch.argv, launch.env)
        await self.start()
        self._count += 1
        number = self._count
        reply: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        request = {
            "op": "spawn",
            "id": number,
            "argv": list(launch.argv),
            "env": dict(launch.env),
            "cwd": launch.cwd,
            "python": launch.python,
            "stop": int(launch.stop_signal),
            "tty": tty,
        }
        try:
            await self._send(request, (stdin, stdout, stderr))
            return await reply
        finally:
            self._replies.pop(number, None)

    def send_signal(self, pid: int, number: int) -> None:
        """Have the zygote signal one of its children."""
        task = asyncio.ensure_future(self._send({"op": "signal", "pid": pid, "signal": int(number)}))
        self._background.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("a signal was not sent: %s", task.exception())

    async def close(self) -> None:
        """End the zygote and with it every process that it started."""
        if self._socket is not None:
            if self._zygote is not None and not self._warm:
                self._zygote.kill()  # it still imports, has no children, and would first finish that
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        await asyncio.gather(*self._readers)

    async def _send(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        body = json.dumps(request).encode()
        async with self._sending:
            control = self._socket
            if control is None:
                raise StartError("the process that starts containers has ended")
            loop = asyncio.get_running_loop()
            head = len(body).to_bytes(4, "big")
            try:
                while True:
                    try:
                        socket.send_fds(control, [head], descriptors)
                        break
                    except BlockingIOError:
                        await _writable(loop, control)
                await loop.sock_sendall(control, body)
            except OSError as error:
                raise StartError(f"the process that starts containers has ended: {error}") from error

    async def _read(
        self, zygote: subprocess.Popen[bytes], control: socket.socket, ready: asyncio.Future[None]
    ) -> None:
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(control, 65536):
                buffer += data
                while len(buffer) >= 4 and len(buffer) >= 4 + (size := int.from_bytes(buffer[:4], "big")):
                    message = json.loads(buffer[4 : 4 + size])
                    del buffer[: 4 + size]
                    if "ready" not in message:
                        self._take(message)
                        continue
                    self._warm = True
                    if not ready.done():
                        ready.set_result(None)
        lost = self._lose(control, ready)
        await asyncio.to_thread(_clean_up, zygote, tuple(lost))
        self.on_end(zygote.pid)
        for ended in lost.values():
            if not ended.done():
                ended.set_result(LOST)

    def _take(self, message: dict[str, Any]) -> None:
        if "exit" in message:
            ended = self._running.pop(message["exit"], None)
            if ended is not None and not ended.done():
                ended.set_result(message["code"])
            return
        reply = self._replies.get(message["id"])
        waited = reply is not None and not reply.done()
        if "pid" in message:
            pid = message["pid"]
            # Here, not in the caller: by the time that runs, the process may have ended.
            ended = self._running[pid] = asyncio.get_running_loop().create_future()
            process = Process(self, pid, ended)
            if waited and reply:
                reply.set_result(process)
            else:
                process.kill()
        elif waited and reply:
            reply.set_exception(StartError(message["error"]))

    def _lose(self, control: socket.socket, ready: asyncio.Future[None]) -> dict[int, asyncio.Future[int]]:
        """Let go of a zygote that hung up; the processes whose end it did not tell."""
        control.close()
        self._socket = None
        gone = StartError("the process that starts containers has ended")
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(gone)
        if not ready.done():
            ready.set_exception(gone)
        lost, self._running = self._running, {}
        return lost


def find_program(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """The program a command names, by the container's own PATH. Raises StartError as a runtime words it."""
    if not argv:
        raise StartError("no command specified")
    found = shutil.which(argv[0], path=env.get("PATH", os.defpath))
    if found is None:
        raise StartError(f'exec: "{argv[0]}": executable file not found in $PATH')
    return found


def _start_zygote(control: socket.socket, preload: Sequence[str]) -> subprocess.Popen[bytes]:
    descriptor = control.fileno()
    return subprocess.Popen(
        [sys.executable, "-m", "lab.localkube.images.zygote", str(descriptor), *preload],
        stdin=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env=own_environment(),
        start_new_session=True,
    )


async def _writable(loop: asyncio.AbstractEventLoop, control: socket.socket) -> None:
    free: asyncio.Future[None] = loop.create_future()

    def on_writable() -> None:
        if not free.done():
            free.set_result(None)

    loop.add_writer(control, on_writable)
    try:
        await free
    finally:
        loop.remove_writer(control)


def _clean_up(zygote: subprocess.Popen[bytes], leaders: Sequence[int]) -> None:
    """Wait for a zygote's end. One that was killed could not end what its children had started."""
    try:
        zygote.wait(timeout=10)
    except subprocess.TimeoutExpired:
        zygote.kill()
        zygote.wait()
    if zygote.returncode and leaders:
        kill_sessions(leaders)


def _ignore(pid: int) -> None:
    """Nobody wants to know."""
