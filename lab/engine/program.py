"""How the automation's program is doing: from the runner's metrics and its container's record of restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.engine.clients import ServiceClient, wait_until
from lab.errors import LabError
from lab.kube.objects import name_of

if TYPE_CHECKING:
    from lab.engine.lab import Lab

EARLY_END_SECONDS = 1.5
"""How long a start is watched, in real seconds: enough for what fails at its imports."""

_NAMESPACE = _APP = "automation"
_PORT = 9400


@dataclass(frozen=True, slots=True)
class ProgramState:
    """restarts: of the program, by the runner. pod_restarts: of its container, whose last end had the reason
    last_reason (OOMKilled, Error …; empty when there was none)."""

    up: bool
    restarts: int
    pod_restarts: int
    last_reason: str

    @property
    def healthy(self) -> bool:
        """It runs, and it has not ended so far."""
        return self.up and not self.restarts and not self.pod_restarts

    def __str__(self) -> str:
        ends = f"restarts: {self.restarts} of the program, {self.pod_restarts} of its container"
        reason = f" (last: {self.last_reason})" if self.last_reason else ""
        return f"{'running' if self.up else 'not running'}; {ends}{reason}"


def program_state(lab: Lab) -> ProgramState | None:
    """The state now; None while the automation has no pod."""
    pods = lab.kube.pods(_NAMESPACE, _APP)
    if not pods:
        return None
    metrics = _runner_metrics(lab.url(_NAMESPACE, _APP, _PORT))
    statuses = pods[-1]["status"].get("containerStatuses") or ()
    reasons = [(s.get("lastState") or {}).get("terminated", {}).get("reason", "") for s in statuses]
    return ProgramState(
        up=bool(metrics.get("toil_automation_up")),
        restarts=int(metrics.get("toil_automation_restarts_total", 0)),
        pod_restarts=sum(s.get("restartCount", 0) for s in statuses),
        last_reason=next((reason for reason in reasons if reason), ""),
    )


def early_end(lab: Lab) -> ProgramState | None:
    """Watch a program that was just started for a moment; its state when it has ended already."""
    ended: list[ProgramState] = []

    def seen() -> bool:
        state = program_state(lab)
        if state is not None and not state.healthy:
            ended.append(state)
        return bool(ended)

    wait_until(seen, seconds=EARLY_END_SECONDS)
    return ended[0] if ended else None


def last_words(lab: Lab, lines: int = 3) -> list[str]:
    """The last lines that the program itself printed."""
    for pod in lab.kube.pods(_NAMESPACE, _APP):
        text = lab.kube.pod_log(_NAMESPACE, name_of(pod), tail_lines=50)
        return [line for line in text.splitlines() if not line.startswith("[runner]")][-lines:]
    return []


def _runner_metrics(base: str) -> dict[str, float]:
    """The runner's own metrics; empty when it does not answer."""
    client = ServiceClient(base, "automation")
    try:
        text = str(client.call("GET", "/metrics"))
    except LabError:
        return {}
    finally:
        client.close()
    samples = (line.split() for line in text.splitlines() if line.startswith("toil_automation_"))
    return {words[0]: float(words[1]) for words in samples if len(words) == 2}
