"""The `lab` command: one file per noun, registered here. Exit codes are those of lab.errors."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.cli import (
    approvals,
    canary,
    chaos,
    doctor,
    exercises,
    experiments,
    grading,
    lifecycle,
    manifests,
    page,
    pager,
    runs,
    story,
)
from lab.cli.output import OUTPUT, fail
from lab.cli.preferences import read_settings
from lab.core import interrupt
from lab.errors import LabError, NotReadyError, UsageError
from lab.version import __version__

INTERRUPTED = 130
_ENVIRONMENT = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOENT,
    errno.ENOTDIR,
}

# Typer may carry a click of its own; its public BadParameter leads to the base of all usage errors.
_CLICK_ERROR: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    name="lab",
    help="A chaos lab for automation: real toil on a local Kubernetes; shadow, live, and graded by effects.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
)


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"lab {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command's name."""
    OUTPUT.command = context.invoked_subcommand or ""
    if OUTPUT.command == "up":  # below a flag and a variable, above the default
        context.default_map = {"up": {key.replace("-", "_"): text for key, text in read_settings().items()}}


for noun in (
    lifecycle,
    doctor,
    exercises,
    runs,
    canary,
    grading,
    chaos,
    experiments,
    page,
    pager,
    approvals,
    story,
    manifests,
):
    noun.register(app)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    OUTPUT.json = "--json" in given
    OUTPUT.command = next((word for word in given if not word.startswith("-")), "")
    interrupt.install(_still_cleaning_up)
    try:
        code = _run(given)
        if code == INTERRUPTED:  # Typer turns an interrupt into this code by itself
            OUTPUT.interrupted()
    finally:
        interrupt.ignore()  # the command is over, and its exit code is to tell how
    raise SystemExit(code)


def _still_cleaning_up() -> None:
    os.write(2, b"still cleaning up; a few seconds\n")  # a buffered stream may be in use just now


def _run(given: list[str]) -> int:
    try:
        code = app(args=given, prog_name="lab", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except LabError as error:
        fail(error)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except typer.Exit as end:
        return end.exit_code
    except _CLICK_ERROR as error:
        fail(_usage(error))
    except OSError as error:
        fail(_system(error))


def _usage(error: Any) -> LabError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "lab"
    return UsageError(error.format_message(), hint=f"{path} --help shows what it takes")


def _system(error: OSError) -> LabError:
    """A full disk, a read-only folder, a missing right: the user's to mend, so no traceback."""
    where = f": {Path(error.filename).absolute()}" if isinstance(error.filename, str) else ""
    kind = NotReadyError if error.errno in _ENVIRONMENT else LabError
    return kind(
        f"{error.strerror or error}{where}",
        hint="LAB_HOME, LAB_CACHE and LAB_RESULTS choose other folders; lab doctor checks them",
    )
