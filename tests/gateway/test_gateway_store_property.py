"""Whatever is asked of the object store in shadow, outside the canary or when stopped: nothing changes."""

from __future__ import annotations

import random
from urllib.parse import quote

import aiohttp
import pytest
from store_world import LOGS, World, world

__all__ = ["world"]


METHODS = ("PUT", "POST", "DELETE", "PATCH", "MKCOL", "put")
QUERIES = (
    "", "delete", "tagging", "uploads", "uploadId=1", "partNumber=1&uploadId=1", "acl", "policy",
    "versioning", "lifecycle", "cors", "restore", "legal-hold", "retention", "delete&tagging", "Delete",
    "website", "logging", "notification", "versionId=null", "x-id=DeleteObject", "select&select-type=2",
    "object-lock", "torrent", "renameObject", "encryption", "replication", "attributes",
)  # fmt: skip
BODIES = (
    b"",
    b"content",
    b"<Delete><Object><Key>api/day 0/\xc3\xbc+0.log</Key></Object></Delete>",
    b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
)


@pytest.mark.parametrize("stop", ["shadow", "kill switch", "outside the canary"])
async def test_nothing_that_is_asked_in_shadow_or_when_stopped_changes_the_store(
    world: World, stop: str
) -> None:
    changes = {
        "shadow": {},
        "kill switch": {"mode": "live", "killSwitch": "on"},
        "outside the canary": {"mode": "canary", "canaryPercent": "0"},
    }
    world.control_data |= changes[stop]
    before, chance = world.content(), random.Random(3)
    keys = ["", "new", "x//y", "..", "%2e%2e/logs", *world.keys()]
    paths = [f"/{bucket_}/{quote(key)}" for bucket_ in (LOGS, "other") for key in keys] + ["/", "//logs/new"]
    tried = [
        (method, path, query, body, source)
        for method in METHODS
        for path in paths
        for query in QUERIES
        for body in BODIES
        for source in ("", f"/{LOGS}/new")
    ]
    answered = set()
    async with aiohttp.ClientSession() as session:
        for asked in chance.sample(tried, 120):
            answered.add(await world.ask(session, *asked))
    assert world.content() == before
    assert {status for status in answered if status >= 500} <= {501}
    assert (200 in answered) == (stop != "kill switch")
