"""Which context of a kubeconfig is meant, and the refusal of one that looks like production."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.errors import ConfigError, NotReadyError, UsageError

_PRODUCTION = re.compile(
    r"(?<!non)(?<!non.)(?<!pre)(?<!pre.)(?:prod(?:uction)?|prd)(?![a-z])|(?<![a-z])live(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Context:
    """One way into a cluster, by the names that people have given it. server: the address of its API."""

    name: str
    cluster: str
    server: str


def read_context(kubeconfig: Path, name: str = "") -> Context:
    """The context of that name, or the current one.

    Raises NotReadyError when the file cannot be read, ConfigError when it is no kubeconfig, UsageError when
    there is no such context.
    """
    try:
        config = yaml.safe_load(kubeconfig.read_text())
        contexts = _by_name(config, "contexts", "context")
        wanted = name or str(config.get("current-context") or "")
        if wanted not in contexts:
            known = ", ".join(sorted(contexts)) or "none"
            said = f"has no context {wanted!r}" if wanted else "has no current context"
            raise UsageError(f"{kubeconfig} {said}", hint=f"name one of its contexts: {known}")
        cluster = str(contexts[wanted]["cluster"])
        return Context(wanted, cluster, str(_by_name(config, "clusters", "cluster")[cluster]["server"]))
    except OSError as error:
        why = f"cannot read the kubeconfig {kubeconfig}: {error.strerror}"
        raise NotReadyError(why, hint="name a file that exists") from error
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{kubeconfig} is not a kubeconfig that can be used: {error}") from error


def refuse_production(context: Context, again: str = "") -> None:
    """Raise UsageError for a context whose names say production, unless `again` is its name once more.

    What says so: `prod`, `production`, `prd` (also at the end of a word: `euprod`) and the word `live`; what
    does not: `product`, `nonprod`, `pre-prod`, `alive`.
    """
    said = [text for text in (context.name, context.cluster, context.server) if _PRODUCTION.search(text)]
    if said and again != context.name:
        raise UsageError(
            f"the context {context.name!r} looks like production ({said[0]})",
            hint=f"if it is meant, name the context a second time: {context.name}",
        )


def _by_name(config: Any, section: str, inner: str) -> dict[str, Any]:
    return {str(entry["name"]): entry[inner] for entry in config.get(section) or ()}
