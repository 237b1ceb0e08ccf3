"""What is left when a kubelet ends, and how the next one goes on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from kubelet_bench import Bench, python

from lab.kube.resources import builtin
from lab.localkube.kubelet.ledger import ProcessLedger

PAUSE = python("import signal; print('up', flush=True); signal.pause()")


def look(bench: Bench) -> dict[str, Any]:
    """The status of the ephemeral container."""
    statuses = bench.get("kept")["status"].get("ephemeralContainerStatuses") or [{"state": {}}]
    return dict(statuses[0])


async def test_a_stopped_kubelet_leaves_no_process_and_the_next_restarts_the_pods(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.start()
    bench.pod("kept", PAUSE)
    bench.pod("once", PAUSE, restartPolicy="Never")
    address = (await bench.until_ready("kept"))["status"]["podIP"]
    await bench.until_ready("once")
    debug = {"spec": {"ephemeralContainers": [{"name": "look", "image": "toil-lab", **PAUSE}]}}
    patch, pods = "application/strategic-merge-patch+json", builtin("Pod")
    bench.registry.patch(pods, "default", "kept", debug, patch, subresource="ephemeralcontainers")
    await bench.until(lambda: "running" in look(bench)["state"], what="the ephemeral container")
    await bench.until_said("kept")
    processes = [bench.kubelet._pod("default", name).containers["main"].process for name in ("kept", "once")]
    await bench.stop()
    assert not any(psutil.pid_exists(process.pid) for process in processes if process)
    assert bench.phase("kept") == "Running"

    bench.kubelet = bench.make_kubelet()
    await bench.start()
    await bench.until(lambda: bench.status("kept")["restartCount"] == 1, what="restarted")
    pod = await bench.until_ready("kept")
    assert bench.status("kept")["lastState"]["terminated"]["exitCode"] == 255
    assert pod["status"]["podIP"] != address
    assert await bench.log("kept", previous=True) == "up\n"
    assert look(bench)["state"]["terminated"]["exitCode"] == 255, "it is not started again"
    await bench.until_phase("once", "Failed")
    await bench.close()


async def test_a_stopped_kubelet_does_not_wait_for_pods_that_do_not_want_to_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.start()
    deaf = python("import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()")
    hook = {"lifecycle": {"preStop": {"sleep": {"seconds": 3600}}}}
    bench.pod("deaf", {**deaf, **hook}, terminationGracePeriodSeconds=3600)
    await bench.until_ready("deaf")
    await bench.until_said("deaf")
    process = bench.kubelet._pod("default", "deaf").containers["main"].process
    assert process is not None
    await asyncio.wait_for(bench.stop(), 60)
    assert not psutil.pid_exists(process.pid)
    await bench.close()


async def test_a_pod_that_was_deleted_meanwhile_is_cleaned_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.start()
    bench.pod("away", PAUSE)
    bench.pod("marked", PAUSE)
    await bench.until_ready("away")
    await bench.until_ready("marked")
    await bench.stop()
    bench.delete("away", grace=0)
    bench.delete("marked", grace=1)
    bench.kubelet = bench.make_kubelet()
    await bench.start()
    await bench.until_gone("marked")
    await bench.until(lambda: not any((tmp_path / "kubelet/pods").iterdir()), what="no files left")
    await bench.close()


def start_family() -> tuple[subprocess.Popen[bytes], int]:
    """A process with a child, and the child's pid."""
    code = (
        "import signal, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(child.pid, flush=True); signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert parent.stdout is not None
    with parent.stdout:
        return parent, int(parent.stdout.readline())


def test_the_ledger_sweeps_what_a_dead_kubelet_left_and_nothing_else(tmp_path: Path) -> None:
    left, child = start_family()
    other, other_child = start_family()
    try:
        ledger = ProcessLedger(tmp_path / "processes.json")
        ledger.add(left.pid)
        entries = json.loads((tmp_path / "processes.json").read_text())
        entries.append({"pid": other.pid, "started": entries[0]["started"] - 1000})
        (tmp_path / "processes.json").write_text(json.dumps(entries))
        assert ProcessLedger(tmp_path / "processes.json").sweep() == 1
        assert not psutil.pid_exists(left.pid)
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
        assert other.poll() is None
    finally:
        for pid in (other_child, child):
            if psutil.pid_exists(pid):
                psutil.Process(pid).kill()
        for process in (left, other):
            process.kill()
            process.wait()


def test_a_broken_ledger_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "processes.json").write_text("{")
    assert ProcessLedger(tmp_path / "processes.json").sweep() == 0
