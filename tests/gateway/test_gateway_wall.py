"""The proof of shadow mode and of the kill switch: nothing that could change anything gets through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_rig import POD, TOKEN, running_rig
from hypothesis import HealthCheck, given, settings
from odd_requests import BODIES, requests


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Any]]:
    with asyncio.Runner() as runner:
        context = running_rig(tmp_path_factory.mktemp("wall"))
        rig = runner.run(context.__aenter__())
        rig.api.objects["/api/v1/namespaces/shop/pods/worker-1"] = POD
        rig.api.may_end.set()
        yield runner, rig
        runner.run(context.__aexit__(None, None, None))


many = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@many
@given(request=requests())
def test_nothing_that_is_not_a_dry_run_gets_through_in_shadow(stage: Any, request: Any) -> None:
    runner, rig = stage
    rig.api.control = {"mode": "shadow", "killSwitch": "off"}
    before = len(rig.api.seen)
    code = runner.run(rig.raw(*request))
    assert rig.api.applied == []
    for seen in rig.api.seen[before:]:
        assert seen.headers["Authorization"] == "Bearer of-the-gateway"
        user, group = (
            seen.headers.getall("Impersonate-User", []),
            seen.headers.getall("Impersonate-Group", []),
        )
        assert (user, group) in (
            (["system:serviceaccount:automation:automation"], ["toil-lab:shadow"]),
            ([], []),
        )
        assert "X-HTTP-Method-Override" not in seen.headers
    assert code == 0 or 101 < code < 600


@many
@given(request=requests())
def test_no_mutation_at_all_gets_through_with_the_kill_switch_on(stage: Any, request: Any) -> None:
    runner, rig = stage
    for mode in ("shadow", "live"):
        rig.api.control = {"mode": mode, "killSwitch": "on", "by": "ann", "reason": "too fast"}
        rig.api.mutations.clear()
        runner.run(rig.raw(*request))
        assert rig.api.mutations == []


def test_the_same_requests_act_in_live_mode(stage: Any) -> None:
    """The recording server does act: without the wall the property above would not hold."""
    runner, rig = stage
    rig.api.control = {"mode": "live", "killSwitch": "off"}
    auth = [("Authorization", f"Bearer {TOKEN}")]
    for method, target, body in (
        ("DELETE", "/api/v1/namespaces/shop/pods/worker-1?dryRun=All", BODIES[5]),
        ("POST", "/api/v1/namespaces/shop/pods/worker-1/eviction", BODIES[13]),
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/worker/scale", BODIES[15]),
    ):
        rig.api.applied.clear()
        assert runner.run(rig.raw(method, target, auth, body)) in (200, 201)
        assert len(rig.api.applied) == 1
    rig.api.applied.clear()


def test_every_request_was_recorded_without_a_gap(stage: Any) -> None:
    _, rig = stage
    records = rig.records()
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    decisions = {record["decision"] for record in records}
    assert decisions == {"allowed", "shadowed", "refused"}
