"""The object store behind the gateway: boto3 in front, moto's S3 behind, the same modes and audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError
from moto.s3.models import s3_backends

from lab.core.clock import SystemClock, TimeScale
from lab.core.fault_row import FaultRow
from lab.faults.board import Board
from lab.faults.registry import SPECS
from lab.gateway.approvals import Approvals
from lab.gateway.audit import AuditLog
from lab.gateway.control import Control
from lab.gateway.faults.hit import Scene
from lab.gateway.identity import Clients
from lab.gateway.ledger import Ledger
from lab.gateway.measures import Measures
from lab.gateway.membership import bucket
from lab.gateway.passage import Passages
from lab.gateway.rehearsals import Rehearsals
from lab.gateway.safeguards import Safeguards
from lab.gateway.sizes import Sizes
from lab.gateway.stages import Audit, CheckControl, Decide
from lab.gateway.store.app import Store
from lab.gateway.store.backend import Backend
from lab.shop.logstore import client_of, start_store

KEY, SECRET, LOGS = "gateway", "a-secret-of-the-store", "logs"


class World:
    """A store with a few objects, a gateway in front of it, and the control in hand."""

    def __init__(self, folder: Path) -> None:
        self.control_data = {"mode": "shadow", "killSwitch": "off"}
        self.clock = SystemClock()
        clients = folder / "clients"
        clients.mkdir()
        (clients / "cleaner").write_text("cleaner-token")
        self.clients = Clients(clients, self.clock)
        self.book = AuditLog(folder / "audit.jsonl")
        self.base = ""
        self.direct: Any = None
        self.board: Board

    async def read_control(self, path: str, headers: Any = None) -> dict[str, Any]:
        return {"data": self.control_data}

    def client(self, actor: str = "cleaner", secret: str = "") -> Any:
        return client_of(self.base, actor, secret or self.clients.secret("cleaner") or "")

    def trouble(self, fault: str, **parameters: Any) -> None:
        """A fault begins."""
        values = SPECS[fault].read(parameters)
        row = FaultRow(f"{fault}-0001", fault, "gateway", values, None, 7)
        self.board.put({row.id: row.as_json()})

    def heal(self) -> None:
        self.board.put({})

    def keys(self) -> list[str]:
        return [item["Key"] for item in self.direct.list_objects_v2(Bucket=LOGS).get("Contents", ())]

    def records(self, decision: str = "") -> list[dict[str, Any]]:
        return [r for r in self.book.read() if r["mutating"] and decision in ("", r["decision"])]


async def called(function: Callable[..., Any], **arguments: Any) -> Any:
    """A call of boto3, in a thread."""
    return await asyncio.to_thread(function, **arguments)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    s3_backends.reset()  # moto keeps its buckets for the whole process
    store = start_store("127.0.0.1", 0, KEY, SECRET, made.clock)
    address = f"http://127.0.0.1:{store.server_port}"
    made.direct = client_of(address, KEY, SECRET)
    made.direct.create_bucket(Bucket=LOGS)
    for number in range(5):
        made.direct.put_object(Bucket=LOGS, Key=f"api/day {number}/ü+{number}.log", Body=b"x" * (number + 1))
    scale, measures = TimeScale(60), Measures()
    control, passages = Control(made.read_control, "lab-system", "control"), Passages()
    rehearsals = Rehearsals(made.clock, 30)
    approvals = Approvals("", "")
    safeguards = Safeguards(
        Ledger(made.clock, scale, 5.0), rehearsals, approvals, Sizes(made.read_control), made.clock
    )
    audit = Audit(made.book, measures, rehearsals, made.clock)
    control.on_stop = passages.stop
    backend = Backend(address, KEY, SECRET, made.clock)
    stages = (audit, CheckControl(control, passages, measures), Decide(made.book))
    made.board = Board("gateway", made.clock)
    scene = Scene(made.board, control, made.clock, measures)
    front = Store(backend, made.clients, stages, control, passages, safeguards, scene, made.clock)
    runner = await front.start("127.0.0.1", 0)
    made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()
    await front.close()
    await approvals.close()
    store.shutdown()
    made.book.close()


async def test_reads_pass_through(world: World) -> None:
    s3 = world.client()
    found = await called(s3.list_objects_v2, Bucket=LOGS)
    assert [item["Key"] for item in found["Contents"]] == world.keys()
    answer = await called(s3.get_object, Bucket=LOGS, Key=world.keys()[2])
    assert await called(answer["Body"].read) == b"xxx"
    page = await called(s3.list_objects_v2, Bucket=LOGS, MaxKeys=2, Prefix="api/day ")
    assert page["IsTruncated"]
    assert (await called(s3.head_object, Bucket=LOGS, Key=world.keys()[0]))["ContentLength"] == 1


async def test_in_shadow_every_change_is_answered_recorded_and_not_made(world: World) -> None:
    s3, before = world.client(), world.keys()
    await called(s3.delete_object, Bucket=LOGS, Key=before[0])
    batch = {"Objects": [{"Key": key} for key in before]}
    answer = await called(s3.delete_objects, Bucket=LOGS, Delete=batch)
    assert [item["Key"] for item in answer["Deleted"]] == before
    await called(s3.put_object, Bucket=LOGS, Key="new", Body=b"content")
    await called(s3.copy_object, Bucket=LOGS, Key="copy", CopySource={"Bucket": LOGS, "Key": before[1]})
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    await called(s3.put_object_tagging, Bucket=LOGS, Key=before[1], Tagging=tags)
    assert world.keys() == before
    records = world.records("shadowed")
    assert [r["verb"] for r in records] == ["delete", "deletecollection", "create", "create", "update"]
    assert [r["risk"] for r in records] == ["irreversible"] * 2 + ["reversible"] * 3
    assert [len(r["diff"]) for r in records] == [1, 5, 1, 1, 1]
    assert (records[0]["group"], records[0]["namespace"], records[0]["name"]) == ("s3", LOGS, before[0])
    assert records[0]["before"]["size"] == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda s3: s3.create_bucket(Bucket="another"),
        lambda s3: s3.delete_bucket(Bucket=LOGS),
        lambda s3: s3.create_multipart_upload(Bucket=LOGS, Key="big"),
        lambda s3: s3.put_bucket_versioning(Bucket=LOGS, VersioningConfiguration={"Status": "Enabled"}),
        lambda s3: s3.put_object_acl(Bucket=LOGS, Key="new", ACL="public-read"),
        lambda s3: s3.put_object_legal_hold(Bucket=LOGS, Key="new", LegalHold={"Status": "ON"}),
    ],
)
async def test_what_cannot_be_rehearsed_is_refused_in_shadow(
    world: World, call: Callable[[Any], Any]
) -> None:
    with pytest.raises(ClientError) as refused:
        await asyncio.to_thread(call, world.client())
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert world.records("refused")[-1]["code"] == 403
    assert len(world.keys()) == 5


def rehearse(request: Any, **_: Any) -> None:
    request.headers["X-Lab-Dry-Run"] = "All"


async def test_live_changes_and_a_dry_run_of_the_clients_own(world: World) -> None:
    world.control_data["mode"] = "live"
    s3, before = world.client(), world.keys()
    s3.meta.events.register("before-send.s3.DeleteObject", rehearse)
    await called(s3.delete_object, Bucket=LOGS, Key=before[0])
    assert world.keys() == before
    assert world.records()[-1]["dry_run"]
    await called(s3.delete_objects, Bucket=LOGS, Delete={"Objects": [{"Key": key} for key in before[:2]]})
    await called(s3.put_object, Bucket=LOGS, Key="new/ü", Body=b"content")
    assert world.keys() == [*before[2:], "new/ü"]
    with pytest.raises(ClientError) as missing:
        await called(s3.put_object, Bucket="nowhere", Key="k", Body=b"")
    assert missing.value.response["Error"]["Code"] == "NoSuchBucket"


async def test_the_kill_switch_stops_the_store_too(world: World) -> None:
    world.control_data |= {"mode": "live", "killSwitch": "on", "by": "ann", "reason": "an incident"}
    with pytest.raises(ClientError, match="engaged by ann"):
        await called(world.client().delete_object, Bucket=LOGS, Key=world.keys()[0])
    assert len(world.keys()) == 5
    assert len((await called(world.client().list_objects_v2, Bucket=LOGS))["Contents"]) == 5


async def test_in_canary_only_members_are_deleted(world: World) -> None:
    world.control_data |= {"mode": "canary", "canaryPercent": "50"}
    s3, before = world.client(), world.keys()
    for key in before:
        await called(s3.delete_object, Bucket=LOGS, Key=key)
    outside = [key for key in before if bucket("cleaner", "s3", "objects", LOGS, key) >= 50]
    assert 0 < len(outside) < len(before)
    assert world.keys() == outside
    assert [r["canary"] for r in world.records()].count("outside") == len(outside)


async def test_irreversible_deletes_need_their_safeguards_when_that_is_enforced(world: World) -> None:
    world.control_data |= {"mode": "live", "risk": '{"enforce": true}'}
    with pytest.raises(ClientError, match="irreversible, and lacks a dry run"):
        await called(world.client().delete_object, Bucket=LOGS, Key=world.keys()[0])
    await called(world.client().put_object, Bucket=LOGS, Key="new", Body=b"1")
    assert len(world.keys()) == 6


async def test_a_budget_answers_as_a_store_that_wants_less(world: World) -> None:
    world.control_data |= {"mode": "live", "budgets": '{"enforce": true, "actionsPerLabHour": 2}'}
    s3, before = world.client(), world.keys()
    await called(s3.delete_object, Bucket=LOGS, Key=before[0])
    await called(s3.delete_object, Bucket=LOGS, Key=before[1])
    with pytest.raises(ClientError) as refused:
        await called(s3.delete_object, Bucket=LOGS, Key=before[2])
    assert refused.value.response["Error"]["Code"] == "SlowDown"
    assert world.keys() == before[2:]


async def test_nobody_gets_in_without_the_right_signature(world: World) -> None:
    world.control_data["mode"] = "live"
    for s3 in (
        world.client(secret="wrong"),
        world.client("stranger", "x"),
        client_of(world.base, KEY, SECRET),
    ):
        with pytest.raises(ClientError) as refused:
            await called(s3.list_objects_v2, Bucket=LOGS)
        assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
        with pytest.raises(ClientError):
            await called(s3.delete_object, Bucket=LOGS, Key=world.keys()[0])
    store = client_of(world.direct.meta.endpoint_url, "cleaner", world.clients.secret("cleaner") or "")
    with pytest.raises(ClientError):
        await called(store.delete_object, Bucket=LOGS, Key=world.keys()[0])
    async with aiohttp.ClientSession() as session, session.delete(f"{world.base}/{LOGS}/x") as answer:
        assert answer.status == 403
    assert len(world.keys()) == 5


async def test_a_body_that_is_not_the_signed_one_is_refused(world: World) -> None:
    world.control_data["mode"] = "live"
    s3 = world.client()

    def swap(request: Any, **_: Any) -> None:
        request.body = b"another"
        request.headers["Content-Length"] = "7"

    s3.meta.events.register("before-send.s3.PutObject", swap)
    with pytest.raises(ClientError, match="not the one that was signed"):
        await called(s3.put_object, Bucket=LOGS, Key="new", Body=b"content")
    assert len(world.keys()) == 5


async def test_a_store_that_throttles_says_slow_down(world: World) -> None:
    s3 = world.client()
    world.trouble("store-slow-down", verbs="list")
    with pytest.raises(ClientError) as refused:
        await called(s3.list_objects_v2, Bucket=LOGS)
    assert refused.value.response["Error"]["Code"] == "SlowDown"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    await called(s3.head_object, Bucket=LOGS, Key=world.keys()[0])
    assert world.book.read()[-2]["fault"] == "store-slow-down"
    world.heal()
    await called(s3.list_objects_v2, Bucket=LOGS)


@pytest.mark.parametrize("mode", ["shadow", "live"])
async def test_a_batch_delete_fails_for_some_keys_and_answers_200(world: World, mode: str) -> None:
    world.control_data["mode"] = mode
    before = world.keys()
    world.trouble("store-partial-delete", share=0.5)
    batch = {"Objects": [{"Key": key} for key in before]}
    answer = await called(world.client().delete_objects, Bucket=LOGS, Delete=batch)
    failed = [item["Key"] for item in answer["Errors"]]
    assert 0 < len(failed) < len(before)
    assert {item["Code"] for item in answer["Errors"]} == {"InternalError"}
    assert sorted([*failed, *(item["Key"] for item in answer["Deleted"])]) == before
    assert world.keys() == (before if mode == "shadow" else failed)
    record = world.records()[-1]
    assert (record["fault"], len(record["diff"])) == ("store-partial-delete", len(before) - len(failed))
    world.heal()
    world.control_data["mode"] = "live"
    rest = {"Objects": [{"Key": key} for key in failed]}
    assert "Errors" not in await called(world.client().delete_objects, Bucket=LOGS, Delete=rest)


async def test_objects_under_hold_stay(world: World) -> None:
    world.control_data["mode"] = "live"
    s3, before = world.client(), world.keys()
    world.trouble("store-hold", share=1.0, prefix="api/day 1")
    held = next(key for key in before if key.startswith("api/day 1"))
    for call in (
        lambda: s3.delete_object(Bucket=LOGS, Key=held),
        lambda: s3.put_object(Bucket=LOGS, Key=held, Body=b"over"),
    ):
        with pytest.raises(ClientError, match="under a legal hold"):
            await asyncio.to_thread(call)
    batch = {"Objects": [{"Key": key} for key in before], "Quiet": True}
    answer = await called(s3.delete_objects, Bucket=LOGS, Delete=batch)
    assert [(item["Key"], item["Code"]) for item in answer["Errors"]] == [(held, "AccessDenied")]
    assert world.keys() == [held]
    world.heal()
    await called(s3.delete_object, Bucket=LOGS, Key=held)
    assert world.keys() == []


async def test_a_stale_listing_shows_what_was_deleted(world: World) -> None:
    world.control_data["mode"] = "live"
    s3, before = world.client(), world.keys()
    world.trouble("store-stale-list", ageSeconds=300)
    listed = [await called(s3.list_objects_v2, Bucket=LOGS)]
    await called(s3.delete_object, Bucket=LOGS, Key=before[0])
    listed.append(await called(s3.list_objects_v2, Bucket=LOGS))
    assert [[item["Key"] for item in found["Contents"]] for found in listed] == [before, before]
    assert world.keys() == before[1:]
    world.heal()
    fresh = await called(s3.list_objects_v2, Bucket=LOGS)
    assert [item["Key"] for item in fresh["Contents"]] == before[1:]


async def test_a_slow_listing_waits_and_no_longer_than_the_fault(world: World) -> None:
    world.trouble("store-slow-list", delaySeconds=60)
    waiting = asyncio.create_task(called(world.client().list_objects_v2, Bucket=LOGS))
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    world.heal()
    assert len((await asyncio.wait_for(waiting, 20))["Contents"]) == 5
