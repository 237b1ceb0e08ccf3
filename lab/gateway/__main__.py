"""`python -m lab.gateway`: the gateway as a pod."""

from __future__ import annotations

from lab.gateway.app import main
from lab.metrics.pod import LoopFactory, run


def fast_loop() -> LoopFactory | None:
    """uvloop, where it is there: TLS and sockets cost less with it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    run(main, fast_loop())
