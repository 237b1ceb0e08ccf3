"""No acknowledged write is lost when the process is killed at any moment."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.localkube.store.store import Store

WRITER = """
import sys
from pathlib import Path
from lab.localkube.store.store import Store

store = Store(Path(sys.argv[1]), retained_events=300)
number = int(sys.argv[2])
while True:
    name = f"o{number % 50}"
    if number % 7 == 6 and store.get("pods", "ns", name):
        store.remove("pods", "ns", name, {"metadata": {"name": name}, "number": number})
        kind = "gone"
    else:
        store.write("pods", "ns", name, {"metadata": {"name": name}, "number": number, "pad": "x" * 2000})
        kind = "kept"
    sys.stdout.write(f"{store.rv} {name} {kind} {number}\\n")
    sys.stdout.flush()
    number += 1
"""


def run_until_killed(directory: Path, first: int, acknowledged: int) -> list[list[str]]:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), str(first)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(acknowledged)]
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.readlines()
    writer.stdout.close()
    writer.wait()
    return [line.split() for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("acknowledged", [1, 37, 400, 1_500])
def test_acknowledged_writes_survive_sigkill(tmp_path: Path, acknowledged: int) -> None:
    first = 0
    expected: dict[str, int | None] = {}
    for _ in range(2):  # the second round also proves that a killed holder's lock is free
        lines = run_until_killed(tmp_path, first, acknowledged)
        assert len(lines) >= acknowledged
        for _, name, kind, number in lines:
            expected[name] = int(number) if kind == "kept" else None
        last_rv, first = int(lines[-1][0]), int(lines[-1][3]) + 1

        store = Store(tmp_path)
        assert store.rv >= last_rv
        later = {change.name for change in store.changes_since("pods", last_rv)}
        for name, number in expected.items():
            if name not in later:
                found = store.get("pods", "ns", name)
                assert (found and found["number"]) == number
        rv = store.rv
        store.write("pods", "ns", "after", {"metadata": {"name": "after"}})
        assert store.rv == rv + 1
        store.close()
