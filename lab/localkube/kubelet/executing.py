"""Commands that run beside a container: exec requests, probes and hooks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.kube.status import StatusError, internal_error
from lab.localkube.images.launcher import Process
from lab.localkube.kubelet.context import Node
from lab.localkube.kubelet.pipes import OutputPipe, feed
from lab.localkube.kubelet.waiting import end

if TYPE_CHECKING:
    from lab.localkube.kubelet.container import ContainerWorker

Take = Callable[[bytes], None]


async def run_beside(
    container: ContainerWorker,
    node: Node,
    command: Sequence[str],
    stdin: AsyncIterator[bytes] | None,
    stdout: Take,
    stderr: Take,
) -> int:
    """Run a command in the container's environment and directory; its exit code.

    It is killed when the caller is cancelled or the container ends. Raises StatusError 500 when the container
    does not run, StartError when the command does not exist.
    """
    launch = container.launch
    if launch is None or container.process is None:
        raise _not_running(container.name)
    argv = tuple(container.rewrite(word) for word in command)
    launch = replace(launch, argv=argv, python=launch.python and argv[:1] == ("python",))
    said, erred = OutputPipe(stdout), OutputPipe(stderr)
    told, tell = os.pipe() if stdin is not None else (os.open(os.devnull, os.O_RDONLY), -1)
    try:
        process = await node.images.launcher.spawn(
            launch, stdin=told, stdout=said.descriptor, stderr=erred.descriptor
        )
    except BaseException:
        if tell >= 0:
            os.close(tell)
        await said.drained()
        await erred.drained()
        raise
    finally:
        os.close(told)
    feeding = asyncio.create_task(feed(tell, stdin)) if stdin is not None else None
    return await _see_through(container, process, said, erred, feeding)


async def _see_through(
    container: ContainerWorker,
    process: Process,
    said: OutputPipe,
    erred: OutputPipe,
    feeding: asyncio.Task[None] | None,
) -> int:
    container.executed.add(process)
    try:
        await said.open()
        await erred.open()
        return await process.wait()
    finally:
        container.executed.discard(process)
        process.kill()
        await end(feeding)
        await said.drained()
        await erred.drained()


def _not_running(name: str) -> StatusError:
    return internal_error(f'container not found ("{name}")')
