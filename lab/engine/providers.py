"""Which provider a lab is brought up with, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lab.errors import UsageError
from lab.providers.k3s import K3sProvider
from lab.providers.kind import KindProvider
from lab.providers.kubeconfig import KubeconfigProvider
from lab.providers.local import LocalProvider

if TYPE_CHECKING:
    from lab.engine.settings import LabSettings
    from lab.providers.base import Provider

PROVIDERS: Mapping[str, Callable[[LabSettings], Provider]] = {
    "local": lambda settings: LocalProvider(),
    "kind": lambda settings: KindProvider(settings.image, settings.node_image),
    "k3s": lambda settings: K3sProvider(settings.image),
    "kubeconfig": lambda settings: KubeconfigProvider(
        settings.kubeconfig, settings.context, settings.context_again, settings.registry
    ),
}
"""Every provider, made for the settings of a lab."""


def provider_of(settings: LabSettings) -> Provider:
    """The provider that a lab is brought up with. Raises UsageError for one that does not exist."""
    try:
        made = PROVIDERS[settings.provider]
    except KeyError:
        raise UsageError(
            f"there is no provider {settings.provider!r}", hint=f"there are: {', '.join(PROVIDERS)}"
        ) from None
    return made(settings)
