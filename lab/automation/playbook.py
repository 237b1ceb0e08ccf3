"""Runs a playbook again and again through ansible-runner: what the runner starts for runtime ansible.

It is a process of its own so that the pod's process 1 stays small. One run's artefacts are kept at a time
below `--runs`, the newest few only.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

KEPT_RUNS = 5
_INVENTORY = "localhost ansible_connection=local ansible_python_interpreter={python}\n"


def settings(runs: Path) -> dict[str, str]:
    """Ansible's configuration as environment variables: quick, plain output, temporary files below `runs`."""
    return {
        "ANSIBLE_LOCAL_TEMP": str(runs / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(runs / "tmp"),
        "ANSIBLE_HOME": str(runs / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "0",
    }


def run_once(project: Path, runs: Path, playbook: str, args: list[str], stop: threading.Event) -> int:
    """One run of the playbook; ansible-playbook's return code."""
    import ansible_runner

    result = ansible_runner.run(
        private_data_dir=str(runs),
        project_dir=str(project),
        playbook=playbook,
        inventory=_INVENTORY.format(python=shlex.quote(sys.executable)),
        cmdline=shlex.join(args) or None,
        envvars=settings(runs),
        settings={"runner_mode": "subprocess", "suppress_env_files": True},
        rotate_artifacts=KEPT_RUNS,
        cancel_callback=stop.is_set,
    )
    return int(result.rc if result.rc is not None else 1)


def main(argv: list[str] | None = None) -> int:
    """Run the playbook every so many real seconds, counted from start to start, until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m lab.automation.playbook")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--every", type=float, required=True)
    parser.add_argument("playbook")
    parser.add_argument("args", nargs="*")
    options = parser.parse_args(argv)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    while not stop.is_set():
        began = time.monotonic()
        code = run_once(options.project, options.runs, options.playbook, options.args, stop)
        if code and not stop.is_set():
            print(f"[playbook] {options.playbook} ended with return code {code}", flush=True)
        stop.wait(max(0.0, options.every - (time.monotonic() - began)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
