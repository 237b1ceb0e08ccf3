"""What went wrong when kind or a container engine failed, in a sentence, with the way out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lab.errors import DeadlineExceeded, LabError, NotReadyError, ProviderError
from lab.process import RunError
from lab.providers.kind_engines import last_line, not_answering


class _Cause(NamedTuple):
    pattern: re.Pattern[str]
    kind: type[LabError]
    says: str
    hint: str


def _cause(pattern: str, kind: type[LabError], says: str, hint: str) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), kind, says, hint)


PORT_TAKEN = re.compile(r"port is already allocated|address already in use", re.IGNORECASE)
_SILENT = re.compile(
    r"cannot connect to (?:the docker daemon|podman)|permission denied.*socket", re.IGNORECASE
)
_STEP = re.compile(r"^ *✗ (.+?)[^\w)\]]*$", re.MULTILINE)
_FRAME = ("ERROR: failed to create cluster", "ERROR: failed to load image")
"""What kind says around the words of the program that failed."""
_CAUSES = (
    _cause(
        r"no space left on device|not enough space",
        NotReadyError,
        "the disk is full",
        "docker system df (podman system df) shows what the engine keeps, docker system prune frees it",
    ),
    _cause(
        PORT_TAKEN.pattern,
        ProviderError,
        "a port of this machine is taken",
        "set hostPort in clusters/kind to 0 and the lab chooses; or end what listens there",
    ),
    _cause(
        r"failed to pull image|pull access denied|failed to resolve reference|toomanyrequests|no such host",
        NotReadyError,
        "an image cannot be pulled",
        "look at the network and at the registry's name; an image that is there already is not pulled",
    ),
    _cause(
        r"unable to apply caps|operation not permitted",
        NotReadyError,
        "the engine may not run privileged containers, and a node of kind is one",
        "run the engine on a machine that allows them, or stay with the embedded provider",
    ),
    _cause(
        r"too many open files|failed to watch file|inotify",
        NotReadyError,
        "the machine's limit of inotify watches or instances is reached",
        "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
    ),
    _cause(
        r"already exist for a cluster with the name",
        ProviderError,
        "a cluster of that name is there already",
        "kind get clusters lists them; lab down removes the one of a lab",
    ),
    _cause(
        r"could not find a version that satisfies|no matching distribution|failure in name resolution",
        NotReadyError,
        "the build cannot reach the package index",
        "look at the network of the engine (proxy, DNS), or name a finished image with --image",
    ),
)


def explained(doing: str, engine: str, error: RunError) -> LabError:
    """The error to raise when a command failed. doing: what it was for, as in `building the image`."""
    said = last_line(error.output)
    if _SILENT.search(error.output):
        return not_answering(engine, said)
    if error.returncode is None and error.why.startswith("did not end"):
        return DeadlineExceeded(
            f"{doing} {error.why}; the last it said: {said or 'nothing'}",
            hint="lab up --retain keeps what there is, for a look",
        )
    for cause in _CAUSES:
        if cause.pattern.search(error.output):
            why = f"{doing} failed{_at(error.output)}: {cause.says}: {_telling(error.output, cause) or said}"
            return cause.kind(why, hint=cause.hint)
    return ProviderError(
        f"{doing} failed{_at(error.output)}: {said or error.message}",
        hint=f"to look closer: {_shown(error.argv)}",
    )


def _at(output: str) -> str:
    """The step that kind names as failed."""
    found = _STEP.findall(output)
    return f" at {found[-1].strip()!r}" if found else ""


def _telling(output: str, cause: _Cause) -> str:
    """The last line that has the cause in it."""
    lines = [line.strip().removeprefix("Command Output: ") for line in output.splitlines()]
    found = (line for line in reversed(lines) if cause.pattern.search(line))
    return next((line for line in found if not line.startswith(_FRAME)), "")


def _shown(argv: Sequence[str]) -> str:
    return " ".join(argv)
