"""The object store behind the gateway: boto3 in front, moto's S3 behind, the same modes and audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError
from store_world import KEY, LOGS, SECRET, World, called, world

from lab.gateway.membership import bucket
from lab.shop.logstore import client_of

__all__ = ["world"]


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
