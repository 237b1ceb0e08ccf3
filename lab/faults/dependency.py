"""What all faults of the payments provider have in common.

The shop cannot mend them, only live with them: time-outs, bounded retries, a hand-over to a human.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import Parameter, ParameterType
from lab.faults.services import SERVICES

SHARE = Parameter(
    "share",
    ParameterType.NUMBER,
    "The part of the requests that it hits, by chance from the seed.",
    default=1.0,
    unit="of the requests",
    minimum=0.01,
    maximum=1.0,
)


class PaymentsFault:
    """A fault of payments, until it is undone."""

    medium = SERVICES

    def service(self, parameters: Mapping[str, Any]) -> str:
        """Payments."""
        return "payments"

    def asked(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """As given."""
        return dict(parameters)

    def lasts(self, parameters: Mapping[str, Any], scale: TimeScale) -> float | None:
        """Until it is undone."""
        return None
