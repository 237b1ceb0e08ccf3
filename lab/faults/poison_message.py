"""A poison message: an order that ends its worker each time, and holds up all orders behind it."""

from __future__ import annotations

from lab.core.fault import FaultSpec
from lab.faults.fault import COUNT, PARTITION
from lab.faults.orders import ORDERS


class PoisonMessage:
    """Restarting the worker does not help; moving the order aside does."""

    medium = ORDERS
    spec = FaultSpec(
        "poison-message",
        "An order cannot be worked on: its worker ends each time, and the orders behind it wait"
        " until it is moved aside.",
        (COUNT, PARTITION),
        on="partition",
    )
