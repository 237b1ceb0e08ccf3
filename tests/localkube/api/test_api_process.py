"""The process: what it needs, what it leaves, how it ends."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from address_blocks import free_block
from localkube_process import running, start_server, wait_ready


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab.localkube", *arguments], capture_output=True, text=True, timeout=20
    )


def test_a_taken_block_is_one_clear_line(served: Any, tmp_path: Path) -> None:
    done = _run("--api-only", "--data-dir", str(tmp_path / "d"), "--block", str(served.block))
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert f"127.{served.block}.0.1:6443 is taken" in done.stderr


def test_a_taken_data_directory_is_one_clear_line(served: Any) -> None:
    data, block = served.directory / "data", free_block()
    before = served.kubeconfig.read_bytes()
    done = _run("--api-only", "--data-dir", str(data), "--block", str(block))
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert f"{data / 'store'} is in use by process {served.process.pid}" in done.stderr
    assert served.kubeconfig.read_bytes() == before


@pytest.mark.parametrize("block", ["0", "255", "x"])
def test_a_wrong_block_is_usage(tmp_path: Path, block: str) -> None:
    assert _run("--api-only", "--data-dir", str(tmp_path), "--block", block).returncode == 2


def test_credentials_are_private_and_the_ready_file_is_whole(served: Any) -> None:
    ready = json.loads((served.directory / "ready").read_text())
    assert ready == {"server": served.server, "kubeconfig": str(served.kubeconfig), "pid": served.process.pid}
    for file in [served.kubeconfig, *(served.directory / "data" / "pki").iterdir()]:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_broken_authority_is_one_clear_line(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    folder.mkdir()
    for name in ("ca.crt", "ca.key"):
        (folder / name).write_text("nothing of the kind")
    done = _run("--api-only", "--data-dir", str(tmp_path), "--block", str(free_block()))
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert f"cannot make certificates in {folder}: ValueError" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_restart_keeps_objects_tokens_and_the_authority(tmp_path: Path, number: int) -> None:
    block = free_block()
    kept = []
    for _ in range(2):
        process = start_server(tmp_path / "x", block, "--api-only")
        if not wait_ready(process, tmp_path / "x"):
            pytest.skip(f"block {block} is taken")
        kept.append((tmp_path / "x" / "data" / "admin.kubeconfig").read_text())
        process.send_signal(number)
        assert process.wait(10) == 0
        assert not (tmp_path / "x" / "ready").exists()
    assert kept[0] == kept[1]


def test_what_pods_are_forked_from_is_loaded_when_it_is_asked_for_or_needed() -> None:
    with running() as cold, running("--warm") as warm:
        deadline, pause = time.monotonic() + 60, threading.Event()
        while not psutil.Process(warm.process.pid).children():
            assert time.monotonic() < deadline
            pause.wait(0.01)
        assert psutil.Process(cold.process.pid).children() == []
