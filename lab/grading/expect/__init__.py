"""Evaluations over evidence that checks are made of. Pure: evidence in, finding out.

Each looks at effects: the audit log, the fault journal, incidents, samples. None asks the program.
Margins are in lab minutes and are explained where they are chosen.
"""

from lab.grading.expect.control import resumed, stopped_when_told, told_humans_when_stopped
from lab.grading.expect.honesty import honest_success_rate
from lab.grading.expect.repair import healthy_untouched, human_left_alone, restarted_once, restarted_within
from lab.grading.expect.scope import automation_kept_running, stayed_in_scope
from lab.grading.expect.shadow import (
    ahead_of_human,
    few_intents_per_hang,
    named_every_hang,
    named_nothing_else,
)
from lab.grading.expect.telling import escalated_incurable, explained, posted_status, recorded_actions

__all__ = [
    "ahead_of_human",
    "automation_kept_running",
    "escalated_incurable",
    "explained",
    "few_intents_per_hang",
    "healthy_untouched",
    "honest_success_rate",
    "human_left_alone",
    "named_every_hang",
    "named_nothing_else",
    "posted_status",
    "recorded_actions",
    "restarted_once",
    "restarted_within",
    "resumed",
    "stayed_in_scope",
    "stopped_when_told",
    "told_humans_when_stopped",
]
