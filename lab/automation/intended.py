"""`shadowReads: intended`: the program's kubeconfig leads to the gateway's view of the world as intended."""

from __future__ import annotations

from pathlib import Path

from lab.core.view import INTENDED_PATH
from lab.errors import ConfigError


def intended_kubeconfig(source: Path, target: Path) -> Path:
    """Write a copy of a kubeconfig whose clusters are asked for the intended view.

    The program may change it back: what it is shown concerns nobody else. Raises ConfigError when the
    kubeconfig cannot be read.
    """
    import yaml  # costs start time, and only this asks for it

    try:
        document = yaml.safe_load(source.read_text())
        for entry in document["clusters"]:
            entry["cluster"]["server"] = entry["cluster"]["server"].rstrip("/") + INTENDED_PATH
        target.touch(mode=0o600)
        target.write_text(yaml.safe_dump(document))
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"the kubeconfig {source} cannot be read: {error!r}",
            hint="lab run gives the program its kubeconfig",
        ) from error
    return target
