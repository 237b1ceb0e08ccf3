"""CronJobs: the schedule language, and starting, forbidding, replacing and forgetting Jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from controllers_cluster import Cluster, ManualClock, template
from hypothesis import given
from hypothesis import strategies as st

from lab.localkube.controllers.schedule import parse_schedule

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)  # a Thursday


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * * *", "2026-01-01T12:01"),
        ("*/15 * * * *", "2026-01-01T12:15"),
        ("5 3 * * *", "2026-01-02T03:05"),
        ("0 9-17/4 * * *", "2026-01-01T13:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 * * sun", "2026-01-04T00:00"),
        ("0 0 * * 7", "2026-01-04T00:00"),
        ("0 0 13 * fri", "2026-01-02T00:00"),
        ("30 6 1 feb,mar *", "2026-02-01T06:30"),
        ("@hourly", "2026-01-01T13:00"),
        ("@monthly", "2026-02-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@every 1h30m", "2026-01-01T13:30"),
        ("10/20 * * * *", "2026-01-01T12:10"),
    ],
)
def test_next(schedule: str, expected: str) -> None:
    found = parse_schedule(schedule).next(NOON)
    assert found is not None
    assert found.isoformat(timespec="minutes") == f"{expected}+00:00"


def test_time_zone_and_skipped_hour() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert parse_schedule("0 9 * * *").next(NOON, berlin) == datetime(2026, 1, 2, 8, 0, tzinfo=UTC)
    before = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    found = parse_schedule("30 2 * * *").next(before, berlin)
    assert found == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "schedule",
    [
        *("", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "*/0 * * * *", "5-1 * * * *", "x * * * *"),
        *("@every", "@every 5", "@often", "* * * * 8", "1,,2 * * * *"),
    ],
)
def test_refuses(schedule: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_schedule(schedule)


@given(st.integers(0, 59), st.integers(0, 23), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))
def test_daily_is_the_next_such_time(minute: int, hour: int, after: datetime) -> None:
    after = after.replace(tzinfo=UTC)
    found = parse_schedule(f"{minute} {hour} * * *").next(after)
    assert found is not None
    assert (found.minute, found.hour) == (minute, hour)
    assert timedelta() < found - after <= timedelta(days=1)


def cronjob(cluster: Cluster, **spec: Any) -> None:
    pod = template("tick", restartPolicy="Never")
    body = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": pod}}} | spec
    cluster.create("CronJob", "tick", spec=body)


async def test_starts_jobs_and_keeps_history(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    cluster.verdict = lambda pod: "Succeeded"
    cronjob(cluster, successfulJobsHistoryLimit=2)
    await clock.advance(cluster, 30)
    assert cluster.list("Job") == []
    await clock.advance(cluster, 240, step=5)
    names = [job["metadata"]["name"] for job in cluster.list("Job")]
    minute = int(NOON.timestamp()) // 60
    assert names == [f"tick-{minute + 3}", f"tick-{minute + 4}"]
    status = cluster.get("CronJob", "tick")["status"]
    assert status["lastScheduleTime"] == "2026-01-01T12:04:00Z"
    assert status["lastSuccessfulTime"] >= status["lastScheduleTime"]
    assert "active" not in status
    assert len(cluster.list("Pod")) == 2


async def test_forbid_and_replace(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    cronjob(cluster, concurrencyPolicy="Forbid")
    await clock.advance(cluster, 70, step=5)
    [job] = cluster.list("Job")
    assert cluster.get("CronJob", "tick")["status"]["active"][0]["name"] == job["metadata"]["name"]
    await clock.advance(cluster, 60, step=5)
    assert len(cluster.list("Job")) == 1
    assert "JobAlreadyActive" in cluster.reasons("tick")
    cluster.patch("CronJob", "tick", {"spec": {"concurrencyPolicy": "Replace"}})
    await clock.advance(cluster, 60, step=5)
    [other] = cluster.list("Job")
    assert other["metadata"]["name"] != job["metadata"]["name"]


async def test_suspended_starts_nothing(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    cronjob(cluster, suspend=True)
    await clock.advance(cluster, 130, step=10)
    assert cluster.list("Job") == []


async def test_a_job_that_somebody_made_by_hand_is_not_its_own(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    cronjob(cluster, concurrencyPolicy="Forbid")
    owner = cluster.get("CronJob", "tick")["metadata"]
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": owner["uid"]}
    cluster.create(
        *("Job", "by-hand"),
        metadata={"ownerReferences": [reference | {"controller": True}]},
        spec={"template": template("tick", restartPolicy="Never")},
    )
    await clock.advance(cluster, 70, step=5)
    [mine] = cluster.get("CronJob", "tick")["status"]["active"]
    assert mine["name"] != "by-hand"
    assert "UnexpectedJob" in cluster.reasons("tick")
