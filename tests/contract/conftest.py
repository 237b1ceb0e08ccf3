"""The bench of the contract: labs where the variables of `lab up` say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_bench import SECONDS, Bench

from lab.cli.placement import by_environment
from lab.engine.providers import provider_of
from lab.engine.settings import LabSettings
from lab.providers.base import Provider
from lab.providers.local import LocalProvider

PULLING_SECONDS = 3600.0
"""For a command where images are built, pulled and carried into nodes."""


@pytest.fixture(scope="session")
def provider() -> Provider:
    """The provider under contract."""
    return provider_of(by_environment(LabSettings()))


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Bench]:
    """Labs of a folder of their own; all are removed at the end, also after Ctrl-C."""
    pulling = provider.name != LocalProvider.name
    made = Bench(tmp_path_factory.mktemp("contract"), PULLING_SECONDS if pulling else SECONDS)
    yield made
    made.lab("down", "--all")
    assert made.left() == []


@pytest.fixture(scope="session")
def host() -> Path | None:
    """The kubeconfig of the cluster in which labs are guests, or None: then a lab's cluster goes with it."""
    given = os.environ.get("LAB_KUBECONFIG")
    return Path(given) if given else None
