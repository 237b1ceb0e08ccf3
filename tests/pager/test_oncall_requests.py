"""What the human is asked besides incidents: consent, escalations, and rest after a hand-over."""

from __future__ import annotations

import pytest
from test_oncall_human import LIVE, SCALE, World

from lab.core.approval import Approval, ApprovalStatus, Deed
from lab.core.escalation import Escalation
from lab.pager.oncall.clients import DEVELOPERS, HUMAN
from lab.pager.oncall.consent import consider

GOOD = Deed("delete", "apps", "deployments", "", "shop", "cache")
REASON = "the cache holds poisoned entries"
BACK = "manifest shop/cache.yaml"


@pytest.fixture
def world() -> World:
    return World()


def ask(
    world: World, deed: Deed = GOOD, reason: str = REASON, restore_point: str = BACK, incident: str = ""
) -> str:
    return world.book.approvals.request("automation", deed, reason, restore_point, incident).id


def answer(world: World, identity: str) -> Approval:
    return world.book.approvals.get(identity)


@pytest.mark.parametrize(
    ("deed", "reason", "restore_point", "given", "why"),
    [
        (GOOD, REASON, BACK, True, "it can be taken back: manifest shop/cache.yaml"),
        (GOOD, "because", BACK, False, "does not say why"),
        (GOOD, REASON, "", False, "neither an open incident nor a restore point"),
        (GOOD, REASON, " N/A ", False, "neither an open incident nor a restore point"),
        (GOOD, REASON, "git", False, "neither an open incident nor a restore point"),
        (Deed("delete", "", "pods", "", "lab-system", "pager"), REASON, BACK, False, "lab-system"),
        (Deed("delete", "", "pods", "", "kube-system", "dns"), REASON, BACK, False, "kube-system"),
        (Deed("delete", "", "namespaces", "", "", "shop"), REASON, BACK, False, "cluster-wide"),
        (Deed("deletecollection", "", "pods", "", "shop", ""), REASON, BACK, False, "no single object"),
        (Deed("delete", "", "secrets", "", "shop", "db"), REASON, BACK, False, "secrets"),
        (Deed("patch", "apps", "deployments", "", "shop", "db"), REASON, BACK, False, "database"),
        (Deed("delete", "", "pods", "", "shop", "db-0"), REASON, BACK, False, "database"),
        (Deed("delete", "", "pods", "", "shop", "dbadmin"), REASON, BACK, True, "taken back"),
    ],
    ids=str,
)
async def test_the_human_decides_by_its_policy(
    world: World, deed: Deed, reason: str, restore_point: str, given: bool, why: str
) -> None:
    identity = ask(world, deed, reason, restore_point)
    await world.run(15)
    decided = answer(world, identity)
    assert decided.status is (ApprovalStatus.APPROVED if given else ApprovalStatus.REFUSED)
    assert decided.decided_by == HUMAN
    assert why in decided.note
    assert decided.decided_at
    waited = SCALE.lab_minutes((decided.decided_at - decided.requested_at).total_seconds())
    assert 1.3 <= waited <= 15


async def test_an_open_incident_is_grounds_and_one_that_is_over_is_not(world: World) -> None:
    world.shop.settings, world.shop.automation_up = LIVE, True
    world.shop.slow.update("34")
    over, still = world.fire(partition="3"), world.fire(partition="4")
    world.book.incidents.acknowledge(over, "automation")
    first, second = ask(world, incident=over, restore_point=""), ask(world, incident=still, restore_point="")
    world.shop.slow.remove("3")
    world.end(partition="3")
    await world.run(14)
    assert answer(world, first).status is ApprovalStatus.REFUSED
    assert f"incident {over} is over" in answer(world, first).note
    assert (answer(world, second).status, answer(world, second).note) == (
        ApprovalStatus.APPROVED,
        f"incident {still} is open",
    )


def test_consent_is_a_function_of_the_request(world: World) -> None:
    request = answer(world, ask(world))
    assert consider(request, False) == consider(request, False)
    assert consider(request, True).given


async def test_the_same_seed_decides_at_the_same_moment() -> None:
    async def moments(seed: int) -> list[object]:
        world = World(seed)
        identities = [ask(world), ask(world, reason="no")]
        await world.run(15)
        return [answer(world, identity).decided_at for identity in identities]

    first, second, other = [await moments(seed) for seed in (1, 1, 2)]
    assert first == second
    assert first != other
    assert None not in first


async def test_a_busy_human_may_be_too_late_and_incidents_go_on(world: World) -> None:
    world.shop.hung["3"] = True
    fired = world.fire(partition="3")
    identity = ask(world)
    await world.run(60)
    assert answer(world, identity).status in (ApprovalStatus.APPROVED, ApprovalStatus.EXPIRED)
    assert world.actions(fired)[0][:2] == ("restart", "worker-3-0")


async def test_an_escalation_about_no_incident_is_acknowledged(world: World) -> None:
    escalation = world.book.escalations.escalate("bot", "the canary is stuck")
    await world.run(25)
    taken = world.book.escalations.get(escalation.id)
    assert taken.acknowledged_by == HUMAN
    assert taken.ladder
    assert taken.ladder.level == 1


async def test_an_escalation_of_the_humans_own_incident_is_acknowledged(world: World) -> None:
    world.shop.slow.add("3")
    identity = world.fire(partition="3")
    await world.run(25)
    assert world.book.store.incident(identity).acknowledged_by == HUMAN
    escalation = world.book.escalations.escalate("bot", "I gave up", None, identity)
    await world.run(30)
    assert world.book.escalations.get(escalation.id).acknowledged_by == HUMAN


async def test_the_developers_take_what_the_human_hands_to_them(world: World) -> None:
    world.shop.hung["6"] = False
    world.fire(partition="6")
    await world.run(120)
    taken: list[Escalation] = list(world.book.store.state.escalations.values())
    assert [(one.by, one.acknowledged_by) for one in taken] == [(HUMAN, DEVELOPERS)]


async def test_after_a_hand_over_the_human_rests(world: World) -> None:
    world.book.roster.hand_over(HUMAN, "ann")
    world.shop.hung["3"] = True
    fired = world.fire(partition="3")
    identity = ask(world)
    await world.run(14)
    assert world.shop.deleted == []
    assert answer(world, identity).status is ApprovalStatus.PENDING
    world.book.roster.hand_over("ann", HUMAN)
    await world.run(30)
    assert world.shop.deleted == ["worker-3-0"]
    assert world.book.store.incident(fired).acknowledged_by == HUMAN
