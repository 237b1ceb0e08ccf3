"""clusters/canary-plan.yaml -> CanaryPlan: for an automation whose exercise has no plan of its own."""

from __future__ import annotations

from pathlib import Path

from lab.core.canary import CanaryPlan, read_plan
from lab.core.places import data_root
from lab.errors import ConfigError

FILE_NAME = "canary-plan.yaml"


def default_canary(root: Path | None = None) -> CanaryPlan:
    """The lab's own plan. Raises ConfigError with every problem of the file."""
    import yaml

    path = (root or data_root()) / "clusters" / FILE_NAME
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read", [" ".join(str(error).split())[:300]]) from error
    return read_plan(document, str(path))
