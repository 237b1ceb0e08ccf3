"""The pager's own API over a socket: the life of an incident, and every refusal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pager_harness import PagerAt, alert, running_pager

INCIDENT_KEYS = {
    "id",
    "fingerprint",
    "alertname",
    "labels",
    "annotations",
    "severity",
    "status",
    "startsAt",
    "openedAt",
    "acknowledgedAt",
    "acknowledgedBy",
    "resolvedAt",
    "resolvedBy",
    "escalatedAt",
    "endsAt",
    "actions",
    "notes",
    "escalations",
    "ladder",
}


async def open_incident(pager: PagerAt, **labels: str) -> dict[str, Any]:
    await pager.call("POST", "/api/v2/alerts", [alert(**labels)])
    return (await pager.incidents())[-1]


async def test_an_incident_lives_from_page_to_resolution(pager: PagerAt) -> None:
    incident = await open_incident(pager, partition="3")
    assert set(incident) == INCIDENT_KEYS
    assert (incident["status"], incident["acknowledgedAt"], incident["severity"]) == (
        "triggered",
        None,
        "critical",
    )
    path = f"/api/v1/incidents/{incident['id']}"
    await pager.call("POST", f"{path}/acknowledge", {"by": "ann"})
    again = await pager.call("POST", f"{path}/acknowledge", {"by": "bob"})
    assert (again["status"], again["acknowledgedBy"]) == ("acknowledged", "ann")
    await pager.call("POST", f"{path}/notes", {"by": "ann", "text": "looking"})
    action = {
        "by": "ann",
        "action": "restart",
        "target": {"kind": "Pod", "namespace": "shop", "name": "worker-1"},
        "reason": "hung",
        "startedAt": "2026-03-01T12:00:00Z",
        "endedAt": "2026-03-01T12:05:00.5Z",
        "outcome": "success",
    }
    await pager.call("POST", f"{path}/actions", action)
    await pager.call(
        "POST", f"{path}/escalations", {"by": "ann", "summary": "help", "evidence": {"a": 1}}, expect=201
    )
    done = await pager.call("POST", f"{path}/resolve", {"by": "ann", "note": "works"})
    assert (done["status"], done["resolvedBy"]) == ("resolved", "ann")
    assert done["actions"] == [
        action | {"startedAt": "2026-03-01T12:00:00.000000Z", "endedAt": "2026-03-01T12:05:00.500000Z"}
    ]
    assert done["escalatedAt"]
    assert done["escalations"][0]["evidence"] == {"a": 1}
    kinds = [entry["kind"] for entry in (await pager.call("GET", "/api/v1/history"))["entries"]]
    assert kinds == ["opened", "acknowledged", "note", "action", "escalated", "resolved"]
    await pager.call("POST", f"{path}/acknowledge", {"by": "bob"}, expect=409)


async def test_incidents_are_listed_by_status(pager: PagerAt) -> None:
    first = await open_incident(pager, partition="1")
    second = await open_incident(pager, partition="2")
    await pager.call("POST", f"/api/v1/incidents/{second['id']}/acknowledge", {"by": "ann"})
    third = await open_incident(pager, partition="3")
    await pager.call("POST", f"/api/v1/incidents/{third['id']}/resolve", {"by": "ann"})
    listed = {
        status: [incident["id"] for incident in await pager.incidents(status)]
        for status in ("open", "all", "triggered", "acknowledged", "resolved")
    }
    assert listed == {
        "open": [first["id"], second["id"]],
        "all": [first["id"], second["id"], third["id"]],
        "triggered": [first["id"]],
        "acknowledged": [second["id"]],
        "resolved": [third["id"]],
    }
    await pager.call("GET", "/api/v1/incidents?status=lost", expect=400)


async def test_status_posts_and_escalations_stand_alone(pager: PagerAt) -> None:
    await pager.call("POST", "/api/v1/status", {"by": "bot", "text": "hello"}, expect=201)
    await pager.call(
        "POST", "/api/v1/escalations", {"by": "bot", "summary": "odd", "evidence": ["x"]}, expect=201
    )
    posts = (await pager.call("GET", "/api/v1/status"))["posts"]
    assert [(post["by"], post["text"], post["incident"]) for post in posts] == [("bot", "hello", None)]
    found = (await pager.call("GET", "/api/v1/escalations"))["escalations"]
    assert [(item["summary"], item["incident"]) for item in found] == [("odd", None)]


@pytest.mark.parametrize(
    ("path", "body", "code", "says"),
    [
        ("/api/v1/incidents/inc-x/acknowledge", {"by": "a"}, 404, "inc-x"),
        ("/api/v1/incidents/inc-x/acknowledge", {}, 400, "by is missing"),
        ("/api/v1/incidents/inc-x/notes", {"by": "a", "text": 7}, 400, "must be a string"),
        ("/api/v1/incidents/inc-x/notes", {"by": "a", "text": "x" * 9000}, 400, "9000 characters"),
        ("/api/v1/incidents/inc-x/actions", {"by": "a"}, 400, "action is missing"),
        ("/api/v1/incidents/inc-x/actions", {"by": "a", "action": "b", "target": "pod"}, 400, "target"),
        ("/api/v1/incidents/inc-x/actions", {"by": "a", "action": "b", "startedAt": "noon"}, 400, "RFC 3339"),
        (
            "/api/v1/incidents/inc-x/actions",
            {
                "by": "a",
                "action": "b",
                "startedAt": "2026-01-02T00:00:00Z",
                "endedAt": "2026-01-01T00:00:00Z",
            },
            400,
            "after endedAt",
        ),
        (
            "/api/v1/incidents/inc-x/actions",
            {"by": "a", "action": "b", "endedAt": "2999-01-01T00:00:00Z"},
            400,
            "future",
        ),
        ("/api/v1/status", [], 400, "must be an object"),
        ("/api/v1/status", {"by": "a", "text": "b", "incident": "inc-y"}, 404, "inc-y"),
        ("/api/v1/escalations", {"by": "a"}, 400, "summary is missing"),
        ("/api/v1/escalations", {"by": "a", "summary": "b", "evidence": "x" * 70000}, 400, "evidence"),
        ("/api/v1/webhooks", {"name": "a", "url": "file:///etc/passwd"}, 400, "http address"),
        ("/api/v1/webhooks", {"name": "a", "url": "http://h:1", "matchers": ["x=~(a+)+"]}, 400, "refused"),
        ("/api/v1/webhooks", {"name": "a", "url": "http://h:1", "matchers": "x"}, 400, "list"),
        ("/api/v1/nothing", {}, 404, "Not Found"),
    ],
)
async def test_bad_requests_are_refused_with_a_reason(
    pager: PagerAt, path: str, body: Any, code: int, says: str
) -> None:
    answer = await pager.call("POST", path, body, expect=code)
    assert says in answer["error"]


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"by": "\\ud800"}', b"[" * 100_000])
async def test_a_body_that_is_not_json_is_refused(pager: PagerAt, data: bytes) -> None:
    code, text = await pager.raw("POST", "/api/v1/status", data)
    assert (code, "not JSON" in text) == (400, True)


async def test_a_body_without_end_is_refused(pager: PagerAt) -> None:
    code, _ = await pager.raw("POST", "/api/v1/status", io.BytesIO(b" " * (2 * 1024 * 1024)))
    assert code == 413


async def test_an_incident_takes_only_so_many_notes(pager: PagerAt) -> None:
    incident = await open_incident(pager)
    path = f"/api/v1/incidents/{incident['id']}/notes"
    for _ in range(200):
        await pager.call("POST", path, {"by": "bot", "text": "spam"})
    answer = await pager.call("POST", path, {"by": "bot", "text": "spam"}, expect=409)
    assert "no more are taken" in answer["error"]


async def test_nobody_else_speaks_as_the_human() -> None:
    async with running_pager(token="s3cret") as pager:
        body = {"by": "human:oncall", "text": "all good"}
        answer = await pager.call("POST", "/api/v1/status", body, expect=403)
        assert "use your own" in answer["error"]
        await pager.call("POST", "/api/v1/status", body | {"by": " Human:OnCall "}, expect=403)
        await pager.call(
            "POST", "/api/v1/status", body, expect=201, headers={"Authorization": "Bearer s3cret"}
        )
        await pager.call("POST", "/api/v1/status", body | {"by": "human:ann"}, expect=201)


async def test_the_readable_history_cannot_move_a_cursor(pager: PagerAt) -> None:
    incident = await open_incident(pager, partition="3")
    text = "fine\n\x1b[2Jall is well\u202e"
    await pager.call(
        "POST", "/api/v1/status", {"by": "bot\r", "text": text, "incident": incident["id"]}, expect=201
    )
    page = await pager.call("GET", "/api/v1/history?format=text")
    lines = page.splitlines()
    assert len(lines) == 2
    assert "[critical] OrdersWaitingTooLong{partition=3}: Orders wait" in lines[0]
    assert lines[1].endswith(r"by bot\r: fine\n\x1b[2Jall is well\u202e")
    await pager.call("GET", "/api/v1/history?format=pdf", expect=400)


async def test_metrics_count_what_happened(pager: PagerAt) -> None:
    incident = await open_incident(pager, partition="3")
    await open_incident(pager, partition="4", severity="warning")
    await pager.call("POST", f"/api/v1/incidents/{incident['id']}/acknowledge", {"by": "ann"})
    await pager.call("POST", f"/api/v1/incidents/{incident['id']}/resolve", {"by": "ann"})
    await pager.call("POST", "/api/v1/escalations", {"by": "bot", "summary": "odd"}, expect=201)
    await pager.call("POST", "/api/v1/status", {"by": "bot", "text": "hi"}, expect=201)
    lines = (await pager.call("GET", "/metrics")).splitlines()
    assert {
        'toil_pages_total{alertname="OrdersWaitingTooLong",severity="critical"} 1.0',
        "toil_incidents_open 1.0",
        "toil_incident_time_to_acknowledge_seconds_count 1.0",
        "toil_incident_time_to_resolve_seconds_count 1.0",
        "toil_escalations_total 1.0",
        "toil_status_posts_total 1.0",
    } <= set(lines)
    assert not [line for line in lines if 'severity="warning"' in line]
