"""A program that gives credentials, as a kubeconfig's user names it: it prints the next of some answers."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

V1 = "client.authentication.k8s.io/v1"
_TEXT = """#!{python}
import json, os, pathlib, sys
folder = pathlib.Path({folder!r})
asked = folder / "asked"
before = asked.read_text().splitlines() if asked.exists() else []
environment = {{name: os.environ.get(name) for name in ("KUBERNETES_EXEC_INFO", "CLOUD")}}
with asked.open("a") as file:
    file.write(json.dumps({{"argv": sys.argv[1:], "input": sys.stdin.read(), **environment}}) + "\\n")
answers = json.loads((folder / "answers").read_text())
answer = answers[min(len(before), len(answers) - 1)]
if isinstance(answer, dict):
    print(json.dumps(answer))
else:
    print(answer, file=sys.stderr)
    sys.exit(7)
"""


@dataclass(frozen=True)
class PluginProgram:
    """An executable file, and what it was asked."""

    path: Path

    @classmethod
    def make(cls, folder: Path, *answers: Any) -> PluginProgram:
        """One that prints these ExecCredentials, the last of them ever after; a text is a failure."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "get-token"
        path.write_text(_TEXT.format(python=sys.executable, folder=str(folder)))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        program = cls(path)
        program.answers(*answers)
        return program

    def answers(self, *answers: Any) -> None:
        """What it prints from now on, from its first time on."""
        (self.path.parent / "asked").unlink(missing_ok=True)
        temporary = self.path.with_name("answers.tmp")
        temporary.write_text(json.dumps(answers))
        temporary.replace(self.path.with_name("answers"))  # it may be running

    def asked(self) -> list[dict[str, Any]]:
        """Each time that it ran: arguments, input and environment."""
        asked = self.path.parent / "asked"
        return [json.loads(line) for line in asked.read_text().splitlines()] if asked.exists() else []


def credential(version: str = V1, **status: Any) -> dict[str, Any]:
    """An ExecCredential."""
    return {"apiVersion": version, "kind": "ExecCredential", "status": status}
