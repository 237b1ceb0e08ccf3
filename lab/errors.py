"""Every error the lab raises on purpose, in one tree.

    LabError                 4  the lab's own fault
    ├── UsageError           2  the command line or an argument is wrong
    │   └── ConfigError      2  a file (automation.yaml, exercise.yaml ...) is wrong
    ├── NotReadyError        3  the lab is not up, or a prerequisite is missing
    ├── CheckFailed          1  a graded check failed
    ├── DeadlineExceeded     5  a condition did not come true in time, or is inconclusive
    └── ProviderError        4  a cluster could not be started, reached or removed

An error says what happened (`message`), and the way out (`hint`). Kubernetes wire errors are
`lab.kube.status.StatusError`, a different family.
"""

from __future__ import annotations

from collections.abc import Sequence


class LabError(Exception):
    """Something the lab itself did wrong; the base of the tree. `exit_code` is the process's."""

    exit_code = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LabError):
    """The caller asked for something that does not exist or makes no sense."""

    exit_code = 2


class ConfigError(UsageError):
    """A file that somebody wrote is not valid. Carries every problem found, not only the first."""

    def __init__(self, message: str, problems: Sequence[str] = (), *, hint: str = "") -> None:
        text = message if not problems else message + "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(text, hint=hint)
        self.problems = tuple(problems)


class NotReadyError(LabError):
    """The lab is not up, or something it needs is not installed."""

    exit_code = 3


class CheckFailed(LabError):
    """A run was judged and at least one check failed."""

    exit_code = 1


class DeadlineExceeded(LabError):
    """A condition that was waited for did not come true in time."""

    exit_code = 5


class ProviderError(LabError):
    """A cluster could not be started, reached or removed."""
