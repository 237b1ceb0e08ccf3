"""`python -m lab.gateway`: the gateway as a pod."""

from __future__ import annotations

from lab.gateway.app import main
from lab.metrics.pod import run

if __name__ == "__main__":
    run(main)
