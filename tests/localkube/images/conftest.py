"""Images and a place to run them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from images_bench import Runs

from lab.localkube.images.images import Images
from lab.localkube.images.launcher import Launcher


@pytest.fixture
async def runs(tmp_path: Path) -> AsyncIterator[Runs]:
    """Processes of a zygote with nothing preloaded."""
    launcher = Launcher()
    yield Runs(launcher, tmp_path)
    await launcher.close()


@pytest.fixture
async def images() -> AsyncIterator[Images]:
    """The images that come with the lab."""
    images = Images()
    yield images
    await images.close()
