"""A whole lab on three nodes, one of which is lost: customers, the pods on it, and its return."""

from __future__ import annotations

from typing import Any

import pytest
from e2e_bench import Bench, until
from test_e2e_workload_faults import Shop

pytestmark = pytest.mark.slow


def test_the_shop_survives_the_loss_of_a_node(bench: Bench) -> None:
    assert bench.lab("up", "--nodes", "3", "--toil", "off").code == 0
    shop = Shop(bench)
    first = {pod.spec.node_name for pod in shop.core.list_namespaced_pod("lab-system").items}
    assert first == {"local"} == {pod.spec.node_name for pod in (*shop.pods("db"), *shop.pods("load"))}
    assert {pod.spec.node_name for pod in shop.pods("worker")} == {"local", "local-2", "local-3"}
    refused = bench.lab("break", "node-loss", "--on", "local")
    assert refused.code != 0
    assert "the lab cannot do without" in refused.err

    lost = "local-2"
    assert bench.lab("break", "node-loss", "--on", lost, "--for", "10m").code == 0

    def ready(pod: Any) -> bool:
        return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or ())

    def elsewhere() -> bool:
        alive = [pod for pod in shop.pods("worker") if not pod.metadata.deletion_timestamp]
        return len(alive) == 8 and all(ready(pod) and pod.spec.node_name != lost for pod in alive)

    until(elsewhere)
    assert [pod for pod in shop.pods("worker") if pod.spec.node_name == lost], "nobody is there to end them"
    until(lambda: shop.orders("201") > 10)

    assert bench.lab("heal", "node-loss").code == 0
    until(lambda: not [pod for pod in shop.pods("worker") if pod.spec.node_name == lost])
    node = shop.core.read_node(lost)
    assert next(each.status for each in node.status.conditions if each.type == "Ready") == "True"
