"""Where a lab runs: the options of `lab up`, and the same by variables for every command that makes labs."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated

import typer

from lab.engine.settings import LabSettings
from lab.kube.kubeconfig_files import kubeconfig_paths

Provider = Annotated[
    str,
    typer.Option("--provider", envvar="LAB_PROVIDER", help="local, k3s, or kubeconfig: a given cluster."),
]
Kubeconfig = Annotated[
    str,
    typer.Option(
        "--kubeconfig", envvar="LAB_KUBECONFIG", help="How to reach that cluster; a list of files is merged."
    ),
]
Context = Annotated[
    str,
    typer.Option("--context", envvar="LAB_CONTEXT", help="Which context of it; by default the current one."),
]
ContextAgain = Annotated[
    str,
    typer.Option(
        "--context-again",
        envvar="LAB_CONTEXT_AGAIN",
        help="The context's name once more, if it looks like production.",
    ),
]
Image = Annotated[
    str, typer.Option("--image", envvar="LAB_IMAGE", help="Where that cluster finds the lab's own image.")
]


def placed(
    settings: LabSettings, provider: str, kubeconfig: str, context: str, context_again: str, image: str
) -> LabSettings:
    """The settings, for a lab there."""
    paths = kubeconfig_paths(kubeconfig) if kubeconfig else []
    return replace(
        settings,
        provider=provider,
        kubeconfig=os.pathsep.join(str(path.expanduser().absolute()) for path in paths),
        context=context,
        context_again=context_again,
        image=image,
    )


def by_environment(settings: LabSettings, provider: str = "") -> LabSettings:
    """The settings, for a lab where the variables of `lab up` say; provider: instead of LAB_PROVIDER."""
    names = ("LAB_KUBECONFIG", "LAB_CONTEXT", "LAB_CONTEXT_AGAIN", "LAB_IMAGE")
    given = [os.environ.get(name, "") for name in names]
    return placed(settings, provider or os.environ.get("LAB_PROVIDER") or settings.provider, *given)
