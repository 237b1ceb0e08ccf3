"""Which context of a kubeconfig is meant, and the refusal of one that looks like production."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lab.errors import UsageError
from lab.kube.kubeconfig_files import NOT_ONE, entry, not_a_kubeconfig, read_kubeconfig

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


def read_context(kubeconfig: Path | str, name: str = "") -> Context:
    """The context of that name, or the current one.

    Raises NotReadyError when the file cannot be read, ConfigError when it is no kubeconfig, UsageError when
    there is no such context.
    """
    config = read_kubeconfig(kubeconfig)
    try:
        contexts = {str(found["name"]) for found in config["contexts"]}
        wanted = name or str(config["current-context"])
        if wanted not in contexts:
            known = ", ".join(sorted(contexts)) or "none"
            said = f"has no context {wanted!r}" if wanted else "has no current context"
            raise UsageError(f"{kubeconfig} {said}", hint=f"name one of its contexts: {known}")
        cluster = str(entry(config, "contexts", wanted)["cluster"])
        return Context(wanted, cluster, str(entry(config, "clusters", cluster)["server"]))
    except NOT_ONE as error:
        raise not_a_kubeconfig(kubeconfig, error) from error


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
