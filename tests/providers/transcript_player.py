"""A player of golden transcripts: programs that cannot run here, with the answers they are known to give.

A transcript is a list of steps `{run: [...], out, err, code, env}`. The player holds every command against
the next step, word for word, and does what the step says it does to the world: `makes` and `takes` nodes,
`writes` a kubeconfig, `interrupts` the command. What is left of that world is for the test to look at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.kube.kubeconfig import kubeconfig_dict
from lab.process import Completed, RunError

TRANSCRIPTS = Path(__file__).parent / "transcripts"
SERVER = "https://127.0.0.1:1"

Step = dict[str, Any]


def transcript(name: str) -> dict[str, Any]:
    """One file of transcripts."""
    return dict(yaml.safe_load((TRANSCRIPTS / f"{name}.yaml").read_text()))


class Player:
    """The programs of a machine, as a provider's commands."""

    def __init__(self, programs: Sequence[str], steps: Sequence[Step], words: Mapping[str, str]) -> None:
        """programs: which are installed. words: what stands for `{word}` in a transcript."""
        self.programs = set(programs)
        self.steps = list(steps)
        self.words = words
        self.played: list[list[str]] = []
        self.nodes: list[str] = []
        self.interrupted = False
        self.built: set[str] = set()

    def find(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        interruptible: bool = True,
    ) -> Completed:
        if self.interrupted and interruptible:
            raise KeyboardInterrupt  # as every interruptible command does from then on
        assert self.steps, f"more than the transcript has: {list(argv)}"
        step = self.steps.pop(0)
        assert list(argv) == self._filled(step["run"]), f"step {len(self.played) + 1}"
        assert dict(env or {}) == step.get("env", {}), list(argv)
        self.played.append(list(argv))
        self._happens(step)
        out, err, code = self._text(step.get("out", "")), self._text(step.get("err", "")), step.get("code", 0)
        if code == "late":
            raise RunError(argv, f"did not end within {timeout:g} s", out + err)
        if code:
            raise RunError(argv, f"exit code {code}", out + err, code)
        return Completed(tuple(argv), out, err)

    def _happens(self, step: Step) -> None:
        if "makes" in step:
            self.nodes = self._filled(step["makes"])
        if step.get("takes"):
            self.nodes = []
        if step.get("writes"):
            path = Path(self._filled([step["writes"]])[0])
            path.write_text(json.dumps(kubeconfig_dict(SERVER, b"", "token", user="kind")))
        if step.get("interrupts"):
            self.interrupted = True
            raise KeyboardInterrupt

    def _filled(self, words: Sequence[str]) -> list[str]:
        return [self._put(str(word)) for word in words]

    def _put(self, text: str) -> str:
        for name, value in self.words.items():
            text = text.replace(f"<{name}>", value)
        return text

    def _text(self, said: Any) -> str:
        return self._put(said) if isinstance(said, str) else json.dumps(said)
