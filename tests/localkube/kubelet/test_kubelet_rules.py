"""Pure rules: phases, conditions, quality of service, back-off, addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.kube.status import StatusError
from lab.localkube.kubelet.addresses import FIRST, HOSTS, PodAddresses
from lab.localkube.kubelet.backoff import Backoff, BackoffPolicy
from lab.localkube.kubelet.status import ContainerStatus, PodFacts, pod_phase, pod_status, qos_class

RUNNING: dict[str, Any] = {"running": {}}
WAITING: dict[str, Any] = {"waiting": {}}


def ended(code: int) -> dict[str, Any]:
    return {"terminated": {"exitCode": code}}


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Always", [WAITING], "Pending"),
        ("Always", [RUNNING, WAITING], "Pending"),
        ("Always", [RUNNING, ended(1)], "Running"),
        ("Always", [ended(0)], "Running"),
        ("OnFailure", [ended(0), ended(0)], "Succeeded"),
        ("OnFailure", [ended(0), ended(1)], "Running"),
        ("Never", [ended(0), ended(1)], "Failed"),
        ("Never", [ended(0), RUNNING], "Running"),
    ],
)
def test_phase(policy: str, states: list[dict[str, Any]], phase: str) -> None:
    mains = [ContainerStatus(f"c{n}", "i", state=state) for n, state in enumerate(states)]
    assert pod_phase(policy, PodFacts([], mains, "h", "t")) == phase


def test_a_pod_has_ended_when_its_sidecars_have() -> None:
    side = ContainerStatus("side", "i", restartable_init=True, state=RUNNING, started=True)
    main = ContainerStatus("c", "i", state=ended(0))
    facts = PodFacts([side], [main], "h", "t")
    assert pod_phase("Never", facts) == "Running"
    side.state, side.started = ended(143), False
    assert pod_phase("Never", facts) == "Succeeded"
    failed = ContainerStatus("init", "i", state=ended(1))
    facts = PodFacts([side, failed], [ContainerStatus("c", "i", state=WAITING)], "h", "t")
    assert pod_phase("Never", facts) == "Failed"
    side.state, side.started = RUNNING, True
    assert pod_phase("Never", facts) == "Pending"


def test_a_container_in_back_off_counts_as_stopped() -> None:
    main = ContainerStatus("c", "i", state=WAITING, last_state=ended(1))
    assert pod_phase("Always", PodFacts([], [main], "h", "t")) == "Running"


def test_conditions_keep_their_time_and_those_of_others() -> None:
    gate = {"type": "example.com/gate", "status": "False"}
    old = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "before"}
    pod = {
        "spec": {"containers": [{}], "readinessGates": [{"conditionType": "example.com/gate"}]},
        "status": {"conditions": [old, gate]},
    }
    main = ContainerStatus("c", "i", state=RUNNING, ready=True, started=True)
    facts = PodFacts([], [main], "h", "t", network_ready=True)
    conditions = {c["type"]: c for c in pod_status(pod, facts, "now")["conditions"]}
    assert conditions["PodScheduled"]["lastTransitionTime"] == "before"
    assert conditions["Initialized"]["lastTransitionTime"] == "now"
    assert conditions["ContainersReady"]["status"] == "True"
    assert conditions["Ready"]["reason"] == "ReadinessGatesNotReady"
    assert conditions["example.com/gate"] == gate


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: dict[str, Any], expected: str) -> None:
    assert qos_class({"containers": [{"resources": resources}]}) == expected


def test_back_off_is_upstreams_row() -> None:
    backoff = Backoff(BackoffPolicy())
    now, delays = 0.0, []
    for _ in range(8):
        start = backoff.until(now)
        delays.append(start - now)
        backoff.started(start)
        now = start + 1  # it crashes a second later
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]
    assert backoff.until(now + 601) == now + 601


def test_back_off_scales_with_its_cap() -> None:
    policy = BackoffPolicy(30)
    assert (policy.base, policy.forgiven_after) == (1.0, 60.0)


def test_addresses_are_given_out_in_turn_over_restarts(tmp_path: Path) -> None:
    addresses = PodAddresses(7, tmp_path / "next")
    first, second = addresses.take(), addresses.take()
    assert (first, second) == (f"127.7.{FIRST}.1", f"127.7.{FIRST}.2")
    addresses.release(first)
    assert PodAddresses(7, tmp_path / "next").take() == f"127.7.{FIRST}.3"


def test_a_name_keeps_its_address_over_pods_and_restarts(tmp_path: Path) -> None:
    addresses = PodAddresses(7, tmp_path / "next")
    kept = addresses.keep("db-0.db.default")
    assert addresses.take() != kept
    assert addresses.take("db-0.db.default") == kept
    assert addresses.take("db-0.db.default") != kept, "it has it already"
    addresses.release(kept)
    again = PodAddresses(7, tmp_path / "next")
    assert again.take() != kept
    assert again.take("db-0.db.default") == kept


def test_addresses_run_out(tmp_path: Path) -> None:
    (tmp_path / "next").write_text("0")
    addresses = PodAddresses(7, tmp_path / "next")
    addresses._used = {f"127.7.{high}.{low}" for high in range(1, 200) for low in range(1, HOSTS + 1)}
    with pytest.raises(StatusError, match="no pod address"):
        addresses.take()
