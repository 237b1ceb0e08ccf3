"""What a command says and where: the product on stdout, narration on stderr, one envelope with --json."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from lab.errors import LabError

SCHEMA_VERSION = 1


class Output:
    """The channel of one command.

    With JSON the only thing on stdout is one envelope: `{schema_version, command, ok, data}` or, when the
    command failed, `{schema_version, command, ok: false, error: {id, message, hint}}`.
    """

    def __init__(self) -> None:
        self.json = False
        self.command = ""
        self.finished = False
        self._stderr = Console(stderr=True, highlight=False)
        self._stdout = Console(highlight=False)

    def say(self, text: str) -> None:
        """Narration: what is going on. Never part of the product."""
        self._stderr.print(escape(text), soft_wrap=True)

    def next_step(self, *commands: str) -> None:
        """The commands that make sense now."""
        self.say("next: " + "   ".join(commands))

    def text(self, text: str) -> None:
        """Product text; silent with JSON."""
        if not self.json:
            self._write(text if text.endswith("\n") else text + "\n")

    def prose(self, text: str) -> None:
        """Product text that a terminal may wrap between words; silent with JSON."""
        if self._stdout.is_terminal and not self.json:
            self._stdout.print(escape(text))
        else:
            self.text(text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
        """A product table: drawn on a terminal, aligned columns in a pipe; silent with JSON."""
        if self.json:
            return
        cells = [[str(cell) for cell in row] for row in rows]
        if not self._stdout.is_terminal:
            self._write(aligned([list(columns), *cells]))
            return
        drawn = Table(*columns, box=None, header_style="bold", title=title or None, title_justify="left")
        for row in cells:
            drawn.add_row(*(escape(cell) for cell in row))
        self._stdout.print(drawn)

    def done(self, data: Any = None, *, exit_code: int = 0) -> None:
        """The end of a command: its envelope with JSON, and its exit code."""
        self.finished = True
        if self.json:
            self._envelope({"ok": exit_code == 0, "data": data})
        if exit_code:
            raise typer.Exit(exit_code)

    def failed(self, error: LabError) -> None:
        """Say what went wrong and the way out."""
        kind = type(error).__name__
        if self.json and not self.finished:
            details = {"id": kind, "message": str(error), "hint": error.hint}
            self._envelope({"ok": False, "error": details})
        self._stderr.print(f"[bold red]error[/]: {escape(str(error))}", soft_wrap=True)
        if error.hint:
            self._stderr.print(f"  {escape(error.hint)}", soft_wrap=True)

    def interrupted(self) -> None:
        """Say that the command ended by an interrupt, after it cleaned up."""
        if self.json and not self.finished:
            error = {"id": "Interrupted", "message": "interrupted", "hint": ""}
            self._envelope({"ok": False, "error": error})
        self.say("interrupted")

    @contextmanager
    def progress(self, title: str) -> Iterator[Bar]:
        """A bar on a terminal, a plain line per step elsewhere."""
        if not self._stderr.is_terminal:
            yield Bar(self, title, None)
            return
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        with Progress(*columns, console=self._stderr, transient=True) as drawn:
            yield Bar(self, title, drawn)

    def _envelope(self, fields: dict[str, Any]) -> None:
        envelope = {"schema_version": SCHEMA_VERSION, "command": self.command, **fields}
        self._write(json.dumps(envelope, indent=2, default=str) + "\n")

    def _write(self, text: str) -> None:
        """Write product; a reader that has seen enough, such as head, ends the command without an error."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.finished = True
            raise LabError(f"standard output cannot be written: {error.strerror}") from error


class Bar:
    """Progress of one piece of work: call it with what is being done, and how far that is."""

    def __init__(self, output: Output, title: str, drawn: Progress | None) -> None:
        self._output = output
        self._title = title
        self._drawn = drawn
        self._task = drawn.add_task(title, total=None) if drawn else None
        self._groups: dict[str, TaskID] = {}

    def __call__(self, step: str, done: int = 0, total: int = 0) -> None:
        if self._drawn is None or self._task is None:
            count = f" [{done}/{total}]" if total else ""
            self._output.say(f"{self._title}:{count} {step}")
            return
        self._drawn.update(
            self._task, description=escape(f"{self._title}: {step}"), completed=done, total=total or None
        )

    def of_group(self, group: str, step: str) -> None:
        """Progress of one of several pieces of work that go side by side."""
        if self._drawn is None:
            if not step.startswith("lab minute"):
                self._output.say(f"{self._title}: {group}: {step}")
            return
        if group not in self._groups:
            self._groups[group] = self._drawn.add_task(group, total=None)
        done, _, total = step.removeprefix("lab minute ").partition(" of ")
        if step.startswith("lab minute") and total:
            self._drawn.update(self._groups[group], completed=float(done), total=float(total))
        self._drawn.update(self._groups[group], description=escape(f"  {group}: {step}"))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns two spaces apart, without trailing blanks."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)


OUTPUT = Output()
"""The running command's output; `main` sets it up before anything else happens."""


def fail(error: LabError) -> NoReturn:
    """Report an error and end with its exit code."""
    OUTPUT.failed(error)
    raise SystemExit(error.exit_code)
