"""The `lab` command: one file per noun, registered here. Exit codes are those of lab.errors."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer

from lab.cli import chaos, doctor, exercises, grading, lifecycle, runs, story
from lab.cli.output import OUTPUT, fail
from lab.errors import LabError, UsageError
from lab.version import __version__

INTERRUPTED = 130

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


for noun in (lifecycle, doctor, exercises, runs, grading, chaos, story):
    noun.register(app)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    OUTPUT.json = "--json" in given
    OUTPUT.command = next((word for word in given if not word.startswith("-")), "")
    signal.signal(signal.SIGTERM, _terminated)
    raise SystemExit(_run(given))


def _terminated(*_: Any) -> None:
    """A terminated command cleans up as an interrupted one does."""
    raise KeyboardInterrupt


def _run(given: list[str]) -> int:
    try:
        code = app(args=given, prog_name="lab", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except LabError as error:
        fail(error)
    except (typer.Abort, KeyboardInterrupt):
        OUTPUT.say("interrupted")
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
    where = f": {error.filename}" if error.filename else ""
    return LabError(
        f"{error.strerror or error}{where}",
        hint="LAB_HOME, LAB_CACHE and LAB_RESULTS choose other folders; lab doctor checks them",
    )
