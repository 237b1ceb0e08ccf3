"""Payments takes requests and does not answer."""

from __future__ import annotations

from lab.core.fault import FaultSpec
from lab.faults.dependency import SHARE, PaymentsFault


class DependencyHang(PaymentsFault):
    """The connection is taken, and nothing comes."""

    mode = "silence"
    spec = FaultSpec(
        "dependency-hang",
        "Payments takes requests and does not answer; each holds its customer for the api's time-out of 1 s.",
        (SHARE,),
    )
