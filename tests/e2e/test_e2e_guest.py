"""A whole lab as a guest in somebody's cluster: reached by port-forward, used, and gone without a trace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster_contents import everything
from e2e_bench import Bench, until
from localkube_process import Served, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host() -> Iterator[Served]:
    """Somebody's cluster, in which pods run."""
    with running() as server:
        yield server


def test_a_guest_works_and_leaves_nothing(bench: Bench, host: Served) -> None:
    before = everything(host.kubeconfig)
    options = ("--provider", "kubeconfig", "--kubeconfig", str(host.kubeconfig), "--starts", "cheap")
    up = bench.lab("up", "--name", "guest", "--toil", "off", *options)
    assert up.code == 0, up.err

    status = bench.lab("status", "--name", "guest", "--json").data
    assert (status["open_incidents"], status["active_faults"]) == (0, 0)
    assert bench.lab("break", "hung-workers", "--name", "guest").code == 0
    until(lambda: bench.lab("status", "--name", "guest", "--json").data["open_incidents"])
    assert bench.lab("heal", "--name", "guest").code == 0

    second = bench.lab("up", "--name", "second", *options)
    assert second.code == 2
    assert "of the lab 'guest'" in second.err

    down = bench.lab("down", "--name", "guest")
    assert down.code == 0, down.err
    assert "namespaces shop" in down.err
    until(lambda: everything(host.kubeconfig) == before)
