"""What a shop pod reads from its environment, and the facts that its programs share."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.core.clock import TimeScale
from lab.core.staffing import CHEAP, DEAR, PARTITIONS
from lab.errors import ConfigError
from lab.shop.release import Defect

SHARES = (0.19, 0.18, 0.16, 0.15, 0.13, 0.10, 0.087, 0.003)
"""The part of all orders that each partition gets. The last one is nearly idle: a healthy look-alike."""

CONFIRMATION_WAIT_SECONDS = 2.0
"""How long the api keeps a customer waiting for the confirmation before it answers 202."""


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """seed, scale: the lab's. pod: this pod's name. database_url: libpq URL, empty where none is needed.
    workers: how many there are, and as many partitions. starts: CHEAP or DEAR.
    payments_url, api_url: bases without a slash at the end. orders_per_second: of the load generator.
    defect: what is wrong with this release of the api, if anything. disk: the pod's own folder, if any.
    """

    seed: int = 1
    scale: TimeScale = field(default_factory=TimeScale)
    workers: int = PARTITIONS
    starts: str = DEAR
    pod: str = "local"
    database_url: str = ""
    payments_url: str = ""
    api_url: str = ""
    orders_per_second: float = 16.0
    port: int = 8080
    defect: Defect | None = None
    disk: Path | None = None

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> ShopSettings:
        """Read LAB_SEED, LAB_HOUR_SECONDS, LAB_WORKERS, LAB_STARTS, POD_NAME, DATABASE_URL, PAYMENTS_URL,
        API_URL, ORDERS_PER_SECOND, PORT, RELEASE_DEFECT, DISK_DIR.

        Raises ConfigError naming every variable that is not valid.
        """
        problems: list[str] = []

        def number(name: str, default: float, least: float) -> float:
            text = env.get(name) or str(default)
            try:
                value = float(text)
            except ValueError:
                value = float("nan")
            if not value >= least:
                problems.append(f"{name} is a number of at least {least:g}, not {text!r}")
                return default
            return value

        settings = cls(
            seed=int(number("LAB_SEED", 1, 0)),
            scale=TimeScale(number("LAB_HOUR_SECONDS", 60.0, 0.001)),
            workers=int(number("LAB_WORKERS", PARTITIONS, PARTITIONS)),
            starts=env.get("LAB_STARTS") or DEAR,
            pod=env.get("POD_NAME") or "local",
            database_url=env.get("DATABASE_URL", ""),
            payments_url=env.get("PAYMENTS_URL", "http://payments.shop.svc:8080").rstrip("/"),
            api_url=env.get("API_URL", "http://api.shop.svc:8080").rstrip("/"),
            orders_per_second=number("ORDERS_PER_SECOND", 16.0, 0.01),
            port=int(number("PORT", 8080, 1)),
            defect=Defect.from_text(env.get("RELEASE_DEFECT", "")),
            disk=Path(env["DISK_DIR"]) if env.get("DISK_DIR") else None,
        )
        if settings.starts not in (CHEAP, DEAR):
            problems.append(f"LAB_STARTS is {CHEAP} or {DEAR}, not {settings.starts!r}")
        if problems:
            raise ConfigError("the pod's environment is not valid", problems)
        return settings


def partition_of(customer: str, partitions: int = PARTITIONS) -> int:
    """The partition of a customer's orders: all orders of one customer are worked on in order."""
    return zlib.crc32(customer.encode()) % partitions


def shares(partitions: int = PARTITIONS) -> tuple[float, ...]:
    """The part of all orders that each partition gets, the busiest first.

    From 1.5 times the mean down to 0.5; the last one is nearly idle, whatever their number.
    """
    if partitions == PARTITIONS:
        return SHARES
    weights = [1.5 - place / (partitions - 2) for place in range(partitions - 1)]
    busy = (1 - SHARES[-1]) / sum(weights)
    return (*(weight * busy for weight in weights), SHARES[-1])
