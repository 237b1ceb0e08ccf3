"""The faults API as its clients meet it: a real process, real HTTP."""

from __future__ import annotations

from typing import Any

import psycopg
from shop_pods import Pods, until

from lab.shop.database import connect


async def test_the_api_from_catalogue_to_journal(pods: Pods, faults_api: Any) -> None:
    with connect(pods.common["DATABASE_URL"], "test") as database:
        database.execute("UPDATE shop.partitions SET holder = 'w' || partition, lease_expires = 'infinity'")
    faults = await faults_api()

    status, answer = await faults.call("GET", "catalogue")
    assert status == 200
    assert {"hung-workers", "slow-worker"} <= {fault["name"] for fault in answer["faults"]}
    decoys = {fault["name"]: fault["decoy"] for fault in answer["faults"]}
    assert (decoys["hung-workers"], decoys["slow-worker"]) == (False, True)

    assert await faults.call("GET", "faults") == (200, {"faults": []})
    entries = await faults.inject("hung-workers", forSeconds=60, parameters={"count": 2})
    assert {entry["state"] for entry in entries} == {"active"}
    assert (await faults.call("GET", "faults"))[1]["faults"] == entries
    assert await faults.call("DELETE", "faults?name=slow-worker") == (200, {"entries": []})
    status, answer = await faults.call("DELETE", f"faults/{entries[0]['id']}")
    assert (status, answer["entries"][0]["state"]) == (200, "undone")
    status, answer = await faults.call("DELETE", "faults")
    assert [entry["undoneBy"] for entry in answer["entries"]] == ["heal"]
    _, answer = await faults.call("GET", "journal")
    assert [entry["state"] for entry in answer["entries"]] == ["undone", "undone"]


async def test_wrong_requests_are_answered_not_obeyed(pods: Pods, faults_api: Any) -> None:
    with connect(pods.common["DATABASE_URL"], "test") as database:
        database.execute("UPDATE shop.partitions SET holder = 'w' || partition, lease_expires = 'infinity'")
    faults = await faults_api()
    await faults.inject("hung-workers", parameters={"partition": 1})
    wrong: list[tuple[str, str, Any, int, str]] = [
        ("POST", "faults", {"name": "flood"}, 400, "there is no fault 'flood'"),
        ("POST", "faults", {}, 400, "there is no fault ''"),
        ("POST", "faults", [1], 400, "the body is a JSON object"),
        ("POST", "faults", {"name": "hung-workers", "for": 3}, 400, "unknown keys: for"),
        ("POST", "faults", {"name": "hung-workers", "forSeconds": "3"}, 400, "forSeconds is a number"),
        ("POST", "faults", {"name": "hung-workers", "parameters": {"count": 99}}, 400, "count is at most 40"),
        ("POST", "faults", {"name": "hung-workers", "parameters": "x"}, 400, "parameters is an object"),
        ("POST", "faults", {"name": "slow-worker", "parameters": {"partition": 1}}, 409, "has a fault"),
        ("POST", "faults", {"name": "hung-workers", "parameters": {"count": 8}}, 409, "only 6 busy ones"),
        ("DELETE", "faults?name=flood", None, 400, "there is no fault 'flood'"),
        ("DELETE", "faults/nobody", None, 404, "there is no entry 'nobody'"),
        ("POST", "schedules", {"steps": 3}, 400, "a schedule is"),
    ]
    for method, path, body, expected, message in wrong:
        status, answer = await faults.call(method, path, body)
        assert (status, message in answer["error"]) == (expected, True), (path, body, status, answer)
    assert (await faults.call("GET", "catalogue", token="other"))[0] == 401
    assert len((await faults.call("GET", "journal"))[1]["entries"]) == 1


async def test_a_schedule_runs_and_is_shown(pods: Pods, faults_api: Any) -> None:
    with connect(pods.common["DATABASE_URL"], "test") as database:
        database.execute("UPDATE shop.partitions SET holder = 'w' || partition, lease_expires = 'infinity'")
    faults = await faults_api()
    steps = [{"atSeconds": 0, "fault": "hung-workers"}, {"atSeconds": 3600, "fault": "slow-worker"}]
    status, answer = await faults.call("POST", "schedules", {"seed": 3, "steps": steps})
    assert (status, answer["schedule"]["seed"]) == (201, 3)

    async def first_step() -> bool:
        return (await faults.call("GET", "schedules"))[1]["schedule"]["done"] == 1

    await until(first_step, "the first step is taken")
    assert len((await faults.call("GET", "faults"))[1]["faults"]) == 1
    assert await faults.call("DELETE", "schedules") == (200, {"removed": True})
    assert await faults.call("GET", "schedules") == (200, {"schedule": None})


async def test_killed_and_started_again_it_still_undoes(pods: Pods, faults_api: Any) -> None:
    with connect(pods.common["DATABASE_URL"], "test") as database:
        database.execute("UPDATE shop.partitions SET holder = 'w' || partition, lease_expires = 'infinity'")
    faults = await faults_api()
    [entry] = await faults.inject("hung-workers", forSeconds=1)
    faults.pod.process.kill()
    await faults.pod.process.wait()
    successor = await faults_api("faults-2")
    await until(lambda: successor.state(entry["id"], "undone"), "the lease ends")
    with psycopg.connect(pods.common["DATABASE_URL"]) as database:
        assert database.execute("SELECT count(*) FROM chaos.directives").fetchone() == (0,)
    assert await successor.pod.stop() == 0
