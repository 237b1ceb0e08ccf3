"""Where a lab runs: options of `lab up`; for every command that makes labs, variables and a settings file."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated

import typer

from lab.cli.preferences import read_settings, variable
from lab.engine.settings import LabSettings
from lab.kube.kubeconfig_files import kubeconfig_paths

Provider = Annotated[
    str,
    typer.Option("--provider", envvar="LAB_PROVIDER", help="local, kind, k3s, or kubeconfig."),
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
NodeImage = Annotated[
    str,
    typer.Option("--node-image", envvar="LAB_NODE_IMAGE", help="What kind's nodes run: another Kubernetes."),
]
Registry = Annotated[
    str,
    typer.Option(
        "--registry", envvar="LAB_REGISTRY", help="Where that cluster finds every image: HOST[:PORT][/PATH]."
    ),
]


def placed(
    settings: LabSettings,
    provider: str,
    kubeconfig: str,
    context: str,
    context_again: str,
    image: str,
    node_image: str,
    registry: str,
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
        node_image=node_image,
        registry=registry,
    )


def by_environment(settings: LabSettings, provider: str = "") -> LabSettings:
    """The settings, for a lab where the variables of `lab up` say, or the settings file.

    provider: instead of the one that they name.
    """
    chosen = read_settings()
    wanted = ("kubeconfig", "context", "context-again", "image", "node-image", "registry")
    given = [os.environ.get(variable(key)) or chosen.get(key, "") for key in wanted]
    named = os.environ.get(variable("provider")) or chosen.get("provider") or settings.provider
    return placed(settings, provider or named, *given)
