"""The object store's own trouble: throttling, partial failure, slow and stale listings, holds."""

from __future__ import annotations

import asyncio

import pytest
from botocore.exceptions import ClientError
from store_world import LOGS, World, called, world

__all__ = ["world"]


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
