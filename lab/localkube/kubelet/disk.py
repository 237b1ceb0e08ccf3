"""How much disk a directory takes, whoever wrote it and while it is being written.

Links are not followed, neither those that are there nor those that replace a directory during the walk: each
directory is opened from its parent's descriptor. What vanishes meanwhile, or may not be read, counts nothing.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

DEPTH = 64
"""Directories deeper than this count nothing: each level holds a descriptor open."""
MOST_ENTRIES = 100_000
"""Entries beyond this number count nothing: a walk has to end."""
_BLOCK = 512
"""The unit of st_blocks on every system."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def disk_usage(directory: Path) -> int:
    """Bytes of all blocks below a directory; 0 when there is none. Blocks while it reads.

    A file with several names counts once, and holes count nothing, as `du` and upstream's kubelet see it.
    """
    try:
        root = os.open(directory, _DIRECTORY)
    except OSError:
        return 0
    return _Walk().below(root, DEPTH)


class _Walk:
    def __init__(self) -> None:
        self._left = MOST_ENTRIES
        self._linked: set[tuple[int, int]] = set()

    def below(self, descriptor: int, depth: int) -> int:
        """What is below an open directory, which is closed afterwards."""
        total = 0
        inner: list[str] = []
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self._left -= 1
                    if self._left < 0:
                        break
                    total += self._entry(entry, inner)
            for name in inner if depth > 1 else ():
                total += self._inside(name, descriptor, depth - 1)
        except OSError:
            return total
        finally:
            os.close(descriptor)
        return total

    def _entry(self, entry: os.DirEntry[str], inner: list[str]) -> int:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            return 0
        if stat.S_ISDIR(found.st_mode):
            inner.append(entry.name)
        elif found.st_nlink > 1:
            name = (found.st_dev, found.st_ino)
            if name in self._linked:
                return 0
            self._linked.add(name)
        return found.st_blocks * _BLOCK

    def _inside(self, name: str, parent: int, depth: int) -> int:
        try:
            descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        except OSError:
            return 0
        return self.below(descriptor, depth)
