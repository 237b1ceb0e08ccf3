"""Action `write_metrics`: replaces the metrics file at once, so that no half of it is ever read.

- write_metrics:
    content: |
      toil_auto_success_rate 1.0
"""

import os
from pathlib import Path

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Runs on the controller."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"content"})

    def run(self, tmp=None, task_vars=None):
        """Write beside the file and rename."""
        result = super().run(tmp, task_vars)
        target = Path(os.environ["TEXTFILE_DIR"]) / "remediation.prom"
        beside = target.with_suffix(".new")
        beside.write_text(self._task.args["content"])
        beside.replace(target)
        return {**result, "changed": True}
