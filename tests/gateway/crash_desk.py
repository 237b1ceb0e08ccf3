"""A gateway's desk that is killed at a given step: `python crash_desk.py DATABASE_URL FOLDER` reads a step a
line, forks a desk that dies there, and says when it did.

A step is `what:when`: the name of a call, and whether it dies before it, after it, or 1 ms into it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from database_world import World

from lab.gateway.audit import AuditLog
from lab.gateway.database.backend import Backend

INTO_SECONDS = 0.001


def die() -> None:
    """As the kernel would have it."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str) -> None:
    """Make the call of the step deadly."""
    what, _, when = step.partition(":")
    owner: Any = AuditLog if what == "append" else Backend
    original = getattr(owner, what)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        result = original(*args, **kwargs)
        die()
        return result

    async def deadly_async(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        task = asyncio.ensure_future(original(*args, **kwargs))
        if when == "into":
            await asyncio.sleep(INTO_SECONDS)
            die()
        result = await task
        if result is not None or what == "answer":  # not when there was nothing to take
            die()
        return result

    setattr(owner, what, deadly if what == "append" else deadly_async)


async def serve(url: str, folder: Path) -> None:
    """Until it dies."""
    world = World(url, folder)
    world.control = {"mode": "live"}
    await world.start()
    print("serving", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """One desk after the other."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            arm(line.strip())
            asyncio.run(serve(url, folder))
            os._exit(1)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)


if __name__ == "__main__":
    main()
