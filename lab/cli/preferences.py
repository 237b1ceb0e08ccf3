"""The settings file: where labs run, unless a flag or a variable says otherwise.

`settings.toml` in `$XDG_CONFIG_HOME/toil-lab` (LAB_SETTINGS names another file). Each key is the option of
`lab up` without its hyphens in front. To say a context twice, as production
needs it, is not for a file.
"""

from __future__ import annotations

import tomllib

from lab.core.places import settings_file
from lab.errors import ConfigError

KEYS = ("provider", "kubeconfig", "context", "image", "node-image", "registry")


def variable(key: str) -> str:
    """The environment variable that stands for an option."""
    return "LAB_" + key.upper().replace("-", "_")


def read_settings() -> dict[str, str]:
    """What the settings file says; nothing when there is none.

    Raises ConfigError with every problem of the file.
    """
    path = settings_file()
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the settings in {path} cannot be read: {error}") from error
    problems = [f"there is no setting {key!r}" for key in sorted(found.keys() - set(KEYS))]
    problems += [f"{key} is not a text in quotes" for key in KEYS if not isinstance(found.get(key, ""), str)]
    if problems:
        raise ConfigError(f"the settings in {path} are wrong", problems, hint=f"there are: {', '.join(KEYS)}")
    return {key: str(value) for key, value in found.items()}
