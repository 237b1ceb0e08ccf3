"""Ctrl-C while kind makes nodes: the real command line and processes, with programs that stand for kind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from e2e_bench import Bench, until

pytestmark = pytest.mark.slow

DOCKER = """\
#!/bin/sh
case "$1" in
info) echo '{"ServerVersion":"28.2.2","CgroupVersion":"2","CgroupDriver":"systemd"}' ;;
image) echo sha256:1 ;;
*) exit 1 ;;
esac
"""
KIND = """\
#!/bin/sh
echo "$@" >> "$WORLD/asked"
case "$1 $2" in
version*) echo "kind v0.33.0 go1.26.6 linux/amd64" ;;
"get nodes") cat "$WORLD/nodes" 2>/dev/null || true ;;
"create cluster") echo node > "$WORLD/nodes"; touch "$WORLD/begun"; exec sleep 600 ;;
"delete cluster") rm -f "$WORLD/nodes" ;;
*) exit 1 ;;
esac
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_takes_the_nodes_along(bench: Bench, tmp_path: Path, number: signal.Signals) -> None:
    programs, world = tmp_path / "bin", tmp_path / "world"
    programs.mkdir()
    world.mkdir()
    for name, text in (("docker", DOCKER), ("kind", KIND)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    bench.env |= {"PATH": f"{programs}:{os.environ['PATH']}", "WORLD": str(world)}
    bench.env.pop("KIND_EXPERIMENTAL_PROVIDER", None)
    command = bench.start("up", "--name", "kind", "--provider", "kind", "--image", "toil-lab", "--retain")
    until(lambda: (world / "begun").exists())
    os.killpg(command.pid, number)
    ended = bench.end(command)
    assert ended.code == 130, ended.err
    asked = (world / "asked").read_text().splitlines()
    assert [line.split()[:2] for line in asked[-2:]] == [["delete", "cluster"], ["get", "nodes"]]
    assert not (world / "nodes").exists()
    assert bench.left() == []
