"""Chance, injected. One seed gives the same victims, names and schedule everywhere."""

from __future__ import annotations

import hashlib
import random


def stream(seed: int, *names: str) -> random.Random:
    """An independent random stream for a named purpose.

    Streams of one seed do not disturb each other: drawing more from ``("load",)`` never changes what
    ``("victims",)`` gives. The same seed and names give the same stream on every machine and Python.
    """
    digest = hashlib.sha256("\x1f".join((str(seed), *names)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))
