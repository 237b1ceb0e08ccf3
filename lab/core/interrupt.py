"""An interrupt (Ctrl-C, SIGTERM) of a command: never in the middle of what must not be torn apart.

`install` makes the first signal raise KeyboardInterrupt in the main thread. Inside `held` it raises nothing;
it is only remembered, and `check` raises at a place of the code's own choosing, in whichever thread. Once a
command is being interrupted, further signals change nothing: it is cleaning up already.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_requested = threading.Event()
_depth = 0  # of the main thread alone, where signals are delivered


def install(on_repeat: Callable[[], None]) -> None:
    """Handle interrupts from now on, except those that the caller of this program ignores (nohup).

    on_repeat is called for every signal after the first; it must be quick.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if _requested.is_set():
            on_repeat()
            return
        _requested.set()
        if not _depth:
            raise KeyboardInterrupt

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


@contextmanager
def held() -> Iterator[None]:
    """Hold interrupts back until the block ends; then they stay remembered, and `check` raises them."""
    global _depth
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def check() -> None:
    """Raise KeyboardInterrupt when the command has been interrupted."""
    if _requested.is_set():
        raise KeyboardInterrupt


def ignore() -> None:
    """Ignore interrupts from now on, to the end of the process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def reset() -> None:
    """Forget a remembered interrupt: the next one counts as the first again."""
    _requested.clear()
