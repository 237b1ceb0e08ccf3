"""A work queue of keys: each key waits at most once, and failures come back later and later.

Source: k8s.io/client-go/util/workqueue; retries double from 5 ms, here up to 30 s.
"""

from __future__ import annotations

import asyncio
from collections import deque

from lab.core.clock import Clock

Key = tuple[str, ...]
"""What a controller reconciles, usually (namespace, name)."""

FIRST_RETRY = 0.005
LAST_RETRY = 30.0


class WorkQueue:
    """Keys to look at, in the order they came, without repeats."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Key] = deque()
        self._present: set[Key] = set()
        self._delayed: dict[Key, tuple[float, asyncio.Task[None]]] = {}
        self._failures: dict[Key, int] = {}
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Look at a key as soon as possible."""
        if key not in self._present:
            self._present.add(key)
            self._waiting.append(key)
            self._arrived.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Look at a key after some seconds; of several such wishes the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        earlier = self._delayed.get(key)
        if earlier is not None:
            if earlier[0] <= due:
                return
            earlier[1].cancel()
        self._delayed[key] = (due, asyncio.create_task(self._add_later(key, seconds)))

    async def _add_later(self, key: Key, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._delayed.pop(key, None)
        self.add(key)

    def retry(self, key: Key) -> float:
        """Look at a key again after its last failure; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(FIRST_RETRY * 2.0 ** min(failures, 30), LAST_RETRY)
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """A key went well: its next failure is a first one again."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key; waits for one."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        key = self._waiting.popleft()
        self._present.discard(key)
        return key

    def close(self) -> None:
        """Drop the delayed keys."""
        for _, task in self._delayed.values():
            task.cancel()
        self._delayed.clear()
