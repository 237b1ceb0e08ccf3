"""The bench that the tests of a module share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from e2e_bench import Bench

from lab.providers.prometheus import installed_prometheus


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The module's bench; every lab on it is removed at the end."""
    if installed_prometheus() is None:
        pytest.skip("there is no Prometheus: lab setup fetches it")
    # A shell starts background jobs deaf to Ctrl-C, nohup to a hang-up; children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    made = Bench(tmp_path_factory.mktemp("e2e"))
    yield made
    made.lab("down", "--all")
    assert made.left() == []
