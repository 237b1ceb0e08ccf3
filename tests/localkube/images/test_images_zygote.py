"""Processes forked from the zygote: what they are, what they inherit, and that none is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from images_bench import Runs, alive, until

from lab.localkube.images.launch import Launch, StartError
from lab.localkube.images.launcher import Launcher
from lab.localkube.images.zygote import parse_python


@pytest.mark.parametrize(
    ("argv", "parsed"),
    [
        (["python", "-m", "lab.shop.api", "--x"], ("module", "lab.shop.api", ["--x"])),
        (["python3.11", "-u", "main.py", "a"], ("script", "main.py", ["a"])),
        (["/usr/bin/python3", "-c", "1"], ("code", "1", [])),
        (["python", "-X", "dev", "main.py"], None),
        (["python"], None),
        (["sh", "-c", "1"], None),
        ([], None),
    ],
)
def test_command_lines_of_python(argv: list[str], parsed: object) -> None:
    assert parse_python(argv) == parsed


async def test_code_runs_as_main_in_its_directory_with_its_variables_only(runs: Runs) -> None:
    code = "import os, sys; print(__name__, os.getcwd(), sorted(os.environ), sys.argv)"
    process, output = await runs.python("-c", code, "x", env={"ONLY": "this"})
    assert await process.wait() == 0
    assert output.read_text() == f"__main__ {runs.directory} ['ONLY'] ['-c', 'x']\n"


async def test_a_module_and_a_script_run_as_python_runs_them(runs: Runs) -> None:
    (runs.directory / "mine.py").write_text("import sys; print(__name__, sys.argv[1:], sys.path[0])")
    for argv in (["-m", "mine", "a"], ["mine.py", "a"]):
        process, output = await runs.python(*argv)
        assert await process.wait() == 0, output.read_text()
        assert output.read_text() == f"__main__ ['a'] {runs.directory}\n"


async def test_exit_codes_exceptions_and_signals(runs: Runs) -> None:
    for code, expected in (
        ("raise SystemExit(7)", 7),
        ("1/0", 1),
        ("import os; os.kill(os.getpid(), 9)", 137),
    ):
        process, output = await runs.python("-c", code)
        assert await process.wait() == expected
    process, output = await runs.python("-c", "1/0")
    await process.wait()
    assert "ZeroDivisionError" in output.read_text()


async def test_a_signal_reaches_the_process(runs: Runs) -> None:
    process, _ = await runs.python("-c", "import signal; signal.pause()")
    process.signal(signal.SIGTERM)
    assert await process.wait() == 143
    process.signal(signal.SIGTERM)  # gone: nothing happens
    assert process.exit_code == 143


async def test_other_programs_are_executed(runs: Runs) -> None:
    launch = Launch(("sh", "-c", "echo $0 $HERE; exit 3"), {"PATH": os.environ["PATH"], "HERE": "h"}, "/")
    process, output = await runs.start(launch)
    assert await process.wait() == 3
    assert output.read_text() == "sh h\n"


async def test_python_with_unusual_options_is_executed(runs: Runs) -> None:
    process, output = await runs.python("-I", "-c", "import sys; print(sys.flags.isolated)")
    assert await process.wait() == 0
    assert output.read_text() == "1\n"


async def test_a_program_that_does_not_exist_is_a_start_error(runs: Runs) -> None:
    with pytest.raises(StartError, match='exec: "nowhere": executable file not found'):
        await runs.start(Launch(("nowhere",), {"PATH": "/bin"}, "/"))


async def test_what_a_container_leaves_behind_is_killed(runs: Runs) -> None:
    code = (
        "import subprocess, sys\n"
        "pause = [sys.executable, '-c', 'import signal; signal.signal(15, signal.SIG_IGN); signal.pause()']\n"
        "print(subprocess.Popen(pause, start_new_session=True).pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process, output = await runs.python("-c", code)
    assert await process.wait() == 0
    left = int(output.read_text())
    await until(lambda: not alive(left), "the child of an ended container is gone")


async def test_an_ended_zygote_takes_its_children_and_is_replaced(runs: Runs) -> None:
    process, _ = await runs.python("-c", "import signal; signal.pause()")
    assert runs.launcher.pid is not None
    os.kill(runs.launcher.pid, signal.SIGKILL)
    assert await process.wait() == 137
    await until(lambda: not alive(process.pid), "the kernel kills the child")
    process, output = await runs.python("-c", "print('again')")
    assert await process.wait() == 0
    assert output.read_text() == "again\n"


async def test_close_ends_everything_even_what_ignores_signals(tmp_path: Path) -> None:
    runs = Runs(Launcher(), tmp_path)
    code = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    process, output = await runs.python("-c", code)
    await until(output.read_text, "up")
    await runs.launcher.close()
    assert await process.wait() == 137
    assert not alive(process.pid)


PARENT = """
import asyncio, os, sys
from lab.localkube.images.launch import Launch
from lab.localkube.images.launcher import Launcher
CHILD = '''
import os, signal, subprocess, sys
signal.signal(15, signal.SIG_IGN)
code = "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
os.write(1, f"{os.getpid()} {child.pid}\\\\n".encode())  # in one piece: two of these share the pipe
signal.pause()
'''
async def main():
    launcher = Launcher()
    for _ in range(2):
        launch = Launch(("python", "-c", CHILD), {}, "/", python=True)
        await launcher.spawn(launch, stdin=0, stdout=1, stderr=2)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def spawn_parent() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


async def test_nothing_survives_a_killed_parent() -> None:
    parent = spawn_parent()
    assert parent.stdout is not None
    pids = [int(word) for _ in range(2) for word in parent.stdout.readline().split()]
    assert len(pids) == 4
    assert all(alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    await until(lambda: not any(alive(pid) for pid in pids), "all descendants end", seconds=2)


async def test_the_labs_own_programs_end_with_their_code_and_say_all(runs: Runs) -> None:
    process, output = await runs.python("-m", "lab.localkube", "--block", "x")
    assert await process.wait() == 2
    assert "invalid int value" in output.read_text()
    process, output = await runs.python("-m", "lab.localkube", "--help")
    assert await process.wait() == 0
    assert "--ready-file" in output.read_text()


async def test_a_launcher_that_is_closed_while_it_starts_leaves_no_zygote() -> None:
    launcher = Launcher()
    started: list[int] = []
    ended: list[int] = []
    launcher.on_start, launcher.on_end = started.append, ended.append
    starting = asyncio.create_task(launcher.start())
    await until(lambda: started, "a zygote starts")
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await launcher.close()
    assert ended == started
    assert not alive(started[0])


async def test_what_is_called_before_the_first_fork_is_there_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prepared.py").write_text("done = 0\ndef prepare():\n    global done\n    done += 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    runs = Runs(Launcher(("prepared:prepare", "prepared:missing", "json")), tmp_path)
    try:
        for _ in range(2):
            process, output = await runs.python("-c", "import prepared; print(prepared.done)")
            assert await process.wait() == 0, output.read_text()
            assert output.read_text() == "1\n"
    finally:
        await runs.launcher.close()


async def test_many_at_once_all_end_and_are_told_apart(runs: Runs) -> None:
    started = [await runs.python("-c", f"raise SystemExit({code})") for code in range(40)]
    assert [await process.wait() for process, _ in started] == list(range(40))
