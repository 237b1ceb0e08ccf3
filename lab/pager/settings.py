"""What the pager and the on-call human read from their environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lab.core.clock import TimeScale
from lab.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PodSettings:
    """LAB_SEED, LAB_HOUR_SECONDS, LAB_ADMIN_TOKEN, and the addresses of other parts, empty where not set."""

    seed: int
    scale: TimeScale
    admin_token: str
    data: str = ""
    pager_url: str = ""
    prometheus_url: str = ""
    faults_url: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> PodSettings:
        """Read the environment. Raises ConfigError when a number is none."""
        try:
            seed = int(environ.get("LAB_SEED") or 1)
            scale = TimeScale(float(environ.get("LAB_HOUR_SECONDS") or 60))
        except ValueError as error:
            raise ConfigError(
                f"LAB_SEED or LAB_HOUR_SECONDS cannot be used: {error}", hint="see ConfigMap lab-settings"
            ) from error
        return cls(
            seed,
            scale,
            environ.get("LAB_ADMIN_TOKEN", ""),
            *(environ.get(name, "") for name in ("PAGER_DATA", "PAGER_URL", "PROMETHEUS_URL", "FAULTS_URL")),
        )
