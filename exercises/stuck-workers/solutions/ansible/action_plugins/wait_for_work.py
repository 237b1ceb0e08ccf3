"""Action `wait_for_work`: returns when an incident asks for work, or after some seconds without.

Looking from here, twice a second, costs next to nothing; looking by tasks costs a fork each.

- wait_for_work:
    seconds: 20
  register: work        # work.fresh: to diagnose; work.restarted: to verify
"""

import json
import os
import threading
import time

from ansible.module_utils.urls import open_url
from ansible.plugins.action import ActionBase

ME = "restart-hung-workers"
ALERT = "OrdersWaitingTooLong"
LEAST_SECONDS = 1.0
LOOK_EVERY = 0.5


class ActionModule(ActionBase):
    """Runs on the controller and changes nothing."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"seconds"})

    def run(self, tmp=None, task_vars=None):
        """Poll the pager. A look a second at most, so that a slow worker is not asked about all the time."""
        result = super().run(tmp, task_vars)
        deadline = time.monotonic() + float(self._task.args["seconds"])
        threading.Event().wait(LEAST_SECONDS)
        while True:
            fresh, restarted = sort(incidents())
            if fresh or restarted or time.monotonic() > deadline:
                return {**result, "fresh": fresh, "restarted": restarted}
            threading.Event().wait(LOOK_EVERY)


def incidents():
    """Those that orders wait for."""
    url = f"{os.environ['PAGER_URL']}/api/v1/incidents?status=all"
    with open_url(url, timeout=5, use_proxy=False) as answer:
        return [item for item in json.load(answer)["incidents"] if item["alertname"] == ALERT]


def sort(found):
    """Open ones without a note of ours, and those that we restarted and that have no outcome yet."""
    fresh, restarted = [], []
    for item in found:
        notes = [note["text"] for note in item["notes"] if note["by"] == ME]
        if not notes and item["status"] != "resolved":
            fresh.append(item)
        ours = any(text.startswith("restarted ") for text in notes)
        if ours and not any(action["by"] == ME for action in item["actions"]):
            restarted.append(item)
    return fresh, restarted
