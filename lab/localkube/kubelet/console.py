"""Standard input and output of one run of a container: into its log, and to the clients that attach.

                          ┌─► log
container ─stdout, stderr─┤
                          └─► each attached client, from the moment of attaching
attached clients ─stdin───► container, where its spec has `stdin`; with `tty` all of it is one terminal
"""

from __future__ import annotations

import asyncio
import os
from functools import partial

from lab.kube.objects import KubeObject
from lab.kube.status import StatusError, internal_error
from lab.localkube.kubelet.logs import ContainerLog
from lab.localkube.kubelet.pipes import Outlet, OutputPipe, pour
from lab.localkube.kubelet.plumbing import follow_sizes
from lab.localkube.kubelet.waiting import end
from lab.localkube.protocols import Streams

MOST_UNSENT = 4 * 1024 * 1024
"""Bytes that an attached client may be behind: a container never waits for one."""
DRAIN_SECONDS = 5.0
"""How long to wait for output of processes that outlive the container's first one."""


class Console:
    """What a container's process is given: `stdin`, `stdout` and `stderr` are its descriptors."""

    def __init__(self, spec: KubeObject, log: ContainerLog) -> None:
        self.tty = bool(spec.get("tty"))
        self._once = bool(spec.get("stdinOnce")) and not self.tty
        self._log = log
        self._clients: set[_Client] = set()
        self._ended = False
        self._inlet = self._terminal = -1
        self._pipes: list[OutputPipe] = []
        self._reading: asyncio.Task[None] | None = None
        if self.tty:
            self._terminal, self.stdin = os.openpty()
            self.stdout = self.stderr = self.stdin
            self._inlet = os.dup(self._terminal) if spec.get("stdin") else -1
            return
        if spec.get("stdin"):
            self.stdin, self._inlet = os.pipe()
        else:
            self.stdin = os.open(os.devnull, os.O_RDONLY)
        self._pipes = [OutputPipe(partial(self._say, stream)) for stream in ("stdout", "stderr")]
        self.stdout, self.stderr = (pipe.descriptor for pipe in self._pipes)

    async def open(self) -> None:
        """Begin to read. Call after the process has its copies of the descriptors, which are closed here."""
        os.close(self.stdin)
        if self.tty:
            self._reading = asyncio.create_task(Outlet(self._terminal).drain(self._say_at_terminal))
        for pipe in self._pipes:
            await pipe.open()

    async def unused(self) -> None:
        """No process has come of it: close everything."""
        os.close(self.stdin)
        await self.drained()

    async def drained(self) -> None:
        """Take the rest of what the process said, and let the attached clients go."""
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=DRAIN_SECONDS)
        await asyncio.gather(*(pipe.drained(DRAIN_SECONDS) for pipe in self._pipes))
        await self.abandon()

    async def abandon(self) -> None:
        """Stop reading at once, whoever may still write."""
        for pipe in self._pipes:
            pipe.abandon()
        await end(self._reading)
        self._ended = True
        for client in self._clients:
            client.finish()
        self._close_stdin()
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1

    async def attach(self, streams: Streams) -> None:
        """Join it, until it ends or the client has said all. Raises StatusError, and what `Take` does."""
        if self._ended:
            raise internal_error("error attaching to container: it has ended")
        client = _Client(streams)
        self._clients.add(client)
        passing = asyncio.ensure_future(client.pass_on())
        feeding = asyncio.ensure_future(self._feed(streams))
        sizing = asyncio.ensure_future(self._follow_sizes(streams))
        try:
            done, _ = await asyncio.wait({passing, feeding}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._clients.discard(client)
            await end(passing, feeding, sizing)

    async def _feed(self, streams: Streams) -> None:
        """Give it the client's input. Returns when that is to be the end of the session."""
        if streams.stdin is None or self._inlet < 0:
            await asyncio.Event().wait()
            return
        inlet = os.dup(self._inlet)
        try:
            await pour(streams.stdin, inlet)
        finally:
            os.close(inlet)
        if self._once:
            self._close_stdin()
            await asyncio.Event().wait()

    async def _follow_sizes(self, streams: Streams) -> None:
        if streams.sizes is None or self._terminal < 0:
            return
        terminal = os.dup(self._terminal)
        try:
            await follow_sizes(terminal, streams.sizes)
        finally:
            os.close(terminal)

    def _say(self, stream: str, data: bytes) -> None:
        self._log.write(data, stream)
        for client in self._clients:
            client.hear(stream, data)

    async def _say_at_terminal(self, data: bytes) -> None:
        self._say("stdout", data)

    def _close_stdin(self) -> None:
        if self._inlet >= 0:
            os.close(self._inlet)
            self._inlet = -1


class _Client:
    """One that has attached: what it has still to be told."""

    def __init__(self, streams: Streams) -> None:
        self._takes = {"stdout": streams.stdout, "stderr": streams.stderr}
        self._unsent: list[tuple[str, bytes]] = []
        self._size = 0
        self._lost = False
        self._ended = False
        self._moved = asyncio.Event()

    def hear(self, stream: str, data: bytes) -> None:
        if self._takes[stream] is None:
            return
        if self._size > MOST_UNSENT:
            self._lost = True
        else:
            self._unsent.append((stream, data))
            self._size += len(data)
        self._moved.set()

    def finish(self) -> None:
        self._ended = True
        self._moved.set()

    async def pass_on(self) -> None:
        """Tell it everything, until the end. Raises StatusError when it is too far behind."""
        while True:
            self._moved.clear()
            behind, self._unsent = self._unsent, []
            for stream, data in behind:
                take = self._takes[stream]
                if take is not None:
                    await take(data)
                self._size -= len(data)
            if self._lost:
                raise _too_slow()
            if self._ended and not self._unsent:
                return
            if not self._unsent:
                await self._moved.wait()


def _too_slow() -> StatusError:
    return internal_error("error attaching to container: the client reads too slowly, and output was lost")
