"""A launcher and what a test needs to see its processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from lab.localkube.images.images import Images
from lab.localkube.images.launch import ContainerInput, Launch
from lab.localkube.images.launcher import Launcher, Process


class Runs:
    """Starts processes with their output in files."""

    def __init__(self, launcher: Launcher, directory: Path) -> None:
        self.launcher = launcher
        self.directory = directory
        self._count = 0

    async def start(self, launch: Launch) -> tuple[Process, Path]:
        self._count += 1
        output = self.directory / f"out{self._count}"
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            process = await self.launcher.spawn(launch, stdin=null, stdout=descriptor, stderr=descriptor)
        finally:
            os.close(descriptor)
            os.close(null)
        return process, output

    async def python(self, *argv: str, env: dict[str, str] | None = None) -> tuple[Process, Path]:
        launch = Launch(("python", *argv), env or {}, str(self.directory), python=True)
        return await self.start(launch)

    async def image(self, images: Images, image: str, address: str, **fields: Any) -> tuple[Process, Path]:
        directory = self.directory / "container"
        directory.mkdir(exist_ok=True)
        values = {
            "command": [],
            "args": [],
            "env": {},
            "cwd": str(directory),
            "directory": directory,
            **fields,
        }
        container = ContainerInput(image=image, pod_ip=address, **values)
        return await self.start(images.resolve(image).launch(container))


async def until(condition: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    """Wait for a condition; the first true value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
