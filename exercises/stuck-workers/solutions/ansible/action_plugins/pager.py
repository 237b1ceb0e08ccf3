"""Action `pager`: one POST to the pager, without starting a Python for it as the module `uri` would.

- pager:
    path: incidents/inc-1/notes
    body: {text: restarted}
"""

import json
import os

from ansible.module_utils.urls import open_url
from ansible.plugins.action import ActionBase

ME = "restart-hung-workers"


class ActionModule(ActionBase):
    """Runs on the controller. A refusal fails the task."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"path", "body"})

    def run(self, tmp=None, task_vars=None):
        """POST the body, signed with our name."""
        result = super().run(tmp, task_vars)
        url = f"{os.environ['PAGER_URL']}/api/v1/{self._task.args['path']}"
        data = json.dumps({"by": ME, **self._task.args["body"]}).encode()
        headers = {"Content-Type": "application/json"}
        with open_url(url, data=data, headers=headers, method="POST", timeout=5, use_proxy=False) as answer:
            result["status"] = answer.status
        return result
