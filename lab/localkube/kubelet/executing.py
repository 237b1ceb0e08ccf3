"""Commands that run beside a container: exec requests, probes and hooks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from lab.kube.status import StatusError, internal_error
from lab.localkube.images.launcher import Process
from lab.localkube.kubelet.context import Node
from lab.localkube.kubelet.plumbing import Plumbing
from lab.localkube.kubelet.waiting import end
from lab.localkube.protocols import Streams

if TYPE_CHECKING:
    from lab.localkube.kubelet.container import ContainerWorker

TERM = "xterm"
"""What a terminal is, as container runtimes say."""


async def run_beside(container: ContainerWorker, node: Node, command: Sequence[str], streams: Streams) -> int:
    """Run a command in the container's environment and directory; its exit code.

    It is killed when the caller is cancelled, the client has gone or the container ends. Raises StatusError
    500 when the container does not run, StartError when the command does not exist.
    """
    launch = container.launch
    if launch is None or container.process is None:
        raise _not_running(container.name)
    argv = rewritten(command, container.rewrite, container.mounts)
    env = {**launch.env, "TERM": TERM} if streams.tty else launch.env
    launch = replace(launch, argv=argv, env=env, python=launch.python and argv[:1] == ("python",))
    plumbing = Plumbing(streams)
    try:
        await plumbing.first_size()
        stdin, stdout, stderr = plumbing.given
        process = await node.images.launcher.spawn(
            launch, stdin=stdin, stdout=stdout, stderr=stderr, tty=streams.tty
        )
        plumbing.handed_over()
        return await _see_through(container, process, plumbing)
    finally:
        plumbing.close()


def rewritten(
    command: Sequence[str], rewrite: Callable[[str], str], mounts: Mapping[str, Path]
) -> tuple[str, ...]:
    """A command with mounted paths where they really are; tar names files as if they were not moved.

    What is unpacked at `/` names the place where it is to go itself, so there it is moved below the mounts.
    """
    argv = [rewrite(word) for word in command]
    if command[0].rpartition("/")[2] == "tar":
        for asked, real in zip(command, list(argv), strict=True):
            if asked != real and asked.startswith("/"):
                argv.append(f"--transform=s|^/*{_pattern(real)}|{_replacement(asked)}|")
        if ("-C", "/") in pairwise(command):
            for mount in sorted(mounts, key=len, reverse=True):
                moved = rf"s|^{_pattern(mount)}\(/\|$\)|./{_replacement(str(mounts[mount]))}\1|"
                argv.append(f"--transform={moved}")  # `./`, so that no other mount matches it again
    return tuple(argv)


def _pattern(path: str) -> str:
    return re.sub(r"([\[\].*^$\\|])", r"\\\1", path.strip("/"))


def _replacement(path: str) -> str:
    return re.sub(r"([&\\|])", r"\\\1", path.strip("/"))


async def _see_through(container: ContainerWorker, process: Process, plumbing: Plumbing) -> int:
    container.executed.add(process)
    exited = asyncio.ensure_future(process.wait())
    exited.add_done_callback(lambda _: plumbing.linger())
    incoming = [asyncio.ensure_future(carry) for carry in plumbing.incoming()]
    outgoing = [asyncio.ensure_future(carry) for carry in plumbing.outgoing()]
    try:
        done, _ = await asyncio.wait({exited, *outgoing}, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        return exited.result()
    finally:
        container.executed.discard(process)
        process.kill()
        await end(exited, *incoming, *outgoing)


def _not_running(name: str) -> StatusError:
    return internal_error(f'container not found ("{name}")')
