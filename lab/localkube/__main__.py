"""`python -m lab.localkube`: a whole cluster in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.localkube.protocols import LONGEST_WINDOW
from lab.localkube.server import MOST_NODES, Cluster, Settings

_BLOCKS = range(1, 255)
SHORTEST_GRACE = 1.0
"""Less would call a node lost whenever the machine is busy."""
SHORTEST_SYNC = 1.0
"""Seconds; what pods use is looked at no more often."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab.localkube", description="A Kubernetes cluster in one process."
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="folder for all state")
    parser.add_argument("--block", type=int, required=True, help="the n of 127.n.0.0/16, from 1 to 254")
    parser.add_argument(
        "--images", type=Path, help="the file that maps images to runners; by default the lab's own"
    )
    parser.add_argument("--ready-file", type=Path, help="written as JSON when the API is ready")
    parser.add_argument("--backoff-max", type=float, help="longest delay between restarts, in seconds")
    parser.add_argument("--nodes", type=int, default=1, help=f"virtual nodes, from 1 to {MOST_NODES}")
    parser.add_argument(
        "--node-monitor-grace-period",
        type=float,
        help="seconds without a heartbeat after which a node counts as lost (40)",
    )
    parser.add_argument(
        "--default-toleration-seconds",
        type=int,
        help="seconds that a pod which does not say stays on a lost node (300)",
    )
    parser.add_argument(
        "--warm",
        action="store_true",
        help="load at once what pods are forked from; otherwise the first pod waits half a second for it",
    )
    parser.add_argument("--api-only", action="store_true", help="no kubelet and no service proxy")
    parser.add_argument(
        "--metrics-window",
        type=float,
        default=15.0,
        help="seconds over which the use of processors is averaged (15)",
    )
    parser.add_argument(
        "--autoscaler-sync",
        type=float,
        default=15.0,
        help="seconds between two looks at a HorizontalPodAutoscaler (15)",
    )
    return parser


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from the command line; exits with 2 when it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.block not in _BLOCKS:
        parser.error(f"--block must be from {_BLOCKS[0]} to {_BLOCKS[-1]}, not {given.block}")
    if given.backoff_max is not None and given.backoff_max <= 0:
        parser.error("--backoff-max must be more than 0")
    if not 1 <= given.nodes <= MOST_NODES:
        parser.error(f"--nodes must be from 1 to {MOST_NODES}, not {given.nodes}")
    if given.node_monitor_grace_period is not None and given.node_monitor_grace_period < SHORTEST_GRACE:
        parser.error(f"--node-monitor-grace-period must be at least {SHORTEST_GRACE:g}")
    if given.default_toleration_seconds is not None and given.default_toleration_seconds < 0:
        parser.error("--default-toleration-seconds must not be negative")
    if not 0 < given.metrics_window <= LONGEST_WINDOW:
        parser.error(f"--metrics-window must be more than 0 and at most {LONGEST_WINDOW:g}")
    if given.autoscaler_sync < SHORTEST_SYNC:
        parser.error(f"--autoscaler-sync must be at least {SHORTEST_SYNC:g}")
    return Settings(
        data_dir=given.data_dir.absolute(),
        block=given.block,
        images=given.images.absolute() if given.images else None,
        ready_file=given.ready_file.absolute() if given.ready_file else None,
        backoff_max=given.backoff_max,
        api_only=given.api_only,
        warm=given.warm,
        nodes=given.nodes,
        node_grace=given.node_monitor_grace_period,
        toleration_seconds=given.default_toleration_seconds,
        metrics_window=given.metrics_window,
        autoscaler_sync=given.autoscaler_sync,
    )


async def serve(settings: Settings) -> None:
    """Run a cluster until SIGTERM or SIGINT."""
    cluster = Cluster(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, cluster.stop)
    await cluster.run()


def main(arguments: Sequence[str] | None = None) -> int:
    """The process's exit code: 0 when it was asked to end, else that of the error."""
    settings = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(settings))
    except LabError as error:
        hint = f" ({error.hint})" if error.hint else ""
        print(f"localkube: {error.message}{hint}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"localkube: {error}", file=sys.stderr)
        return LabError.exit_code
    return 0


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return factory


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is closed; taking a cluster's objects apart one by one would take as long again
