"""The OpenAPI document: valid, complete, kept. The harness holds every answer of every test against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator
from pager_harness import Contract, PagerAt, alert, running_pager
from prometheus_client import CollectorRegistry
from test_pager_approvals import ASKED
from test_pager_silences import silence

from lab.core.clock import SystemClock, TimeScale
from lab.metrics.pod import add_probes
from lab.pager.server import pager_app

ADMIN = {"Authorization": "Bearer s3cret"}


def document_of(pager: PagerAt) -> dict[str, Any]:
    assert pager.contract is not None
    return pager.contract.document


async def test_the_document_is_valid_openapi(pager: PagerAt) -> None:
    document = document_of(pager)
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()
    names = [op["operationId"] for methods in document["paths"].values() for op in methods.values()]
    assert len(names) == len(set(names))
    assert all(op["summary"].endswith((".", "?")) for m in document["paths"].values() for op in m.values())


async def test_every_route_is_in_the_document_and_nothing_else(pager: PagerAt) -> None:
    app = pager_app(clock=SystemClock(), scale=TimeScale(60), registry=(registry := CollectorRegistry()))
    add_probes(app, ready=None, registry=registry)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    documented = {
        (method.upper(), path) for path, methods in document_of(pager)["paths"].items() for method in methods
    }
    assert served == documented


async def test_every_operation_answers_what_it_says() -> None:
    async with running_pager(token="s3cret") as pager:
        await _use_everything(pager)
        assert pager.contract is not None
        missing = {
            (method.upper(), path)
            for path, methods in pager.contract.document["paths"].items()
            for method in methods
        } - pager.contract.kept
        assert missing == set()


async def _use_everything(pager: PagerAt) -> None:
    for path in ("/openapi.json", "/healthz", "/readyz", "/metrics"):
        await pager.call("GET", path)
    await _alertmanager(pager)
    await pager.call("POST", "/api/v2/alerts", [alert(partition="4")])
    await pager.call("POST", "/api/v1/alertmanager", {"version": "4", "alerts": []})
    incident = (await pager.incidents("open"))[-1]["id"]
    await _incidents(pager, incident)
    await _approvals(pager)
    await _letters(pager)
    await _channel(pager)


async def _alertmanager(pager: PagerAt) -> None:
    made = (await pager.call("POST", "/api/v2/silences", silence()))["silenceID"]
    await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
    for path in ("alerts", "status", "receivers", "silences", f"silence/{made}"):
        await pager.call("GET", f"/api/v2/{path}")
    await pager.call("DELETE", f"/api/v2/silence/{made}")


async def _incidents(pager: PagerAt, incident: str) -> None:
    path = f"/api/v1/incidents/{incident}"
    await pager.call("GET", path)
    raised = await pager.call("POST", f"{path}/escalations", {"by": "bot", "summary": "help"}, expect=201)
    await pager.call("POST", "/api/v1/escalations", {"by": "bot", "summary": "odd"}, expect=201)
    await pager.call("POST", f"/api/v1/escalations/{raised['id']}/acknowledge", {"by": "ann"})
    await pager.call("GET", "/api/v1/escalations")
    await pager.call("POST", f"{path}/acknowledge", {"by": "ann"})
    await pager.call("POST", f"{path}/notes", {"by": "ann", "text": "hm"})
    await pager.call("POST", f"{path}/actions", {"by": "ann", "action": "none", "target": {"name": "x"}})
    await pager.call("POST", f"{path}/resolve", {"by": "ann"})
    levels = (await pager.call("GET", "/api/v1/ladder"))["levels"]
    await pager.call("PUT", "/api/v1/ladder", {"by": "ann", "levels": levels}, headers=ADMIN)
    body = {"from": "human:manager", "to": "carol"}
    await pager.call("POST", "/api/v1/oncall/handover", body, expect=201)
    await pager.call("GET", "/api/v1/oncall")


async def _approvals(pager: PagerAt) -> None:
    made = [
        (await pager.call("POST", "/api/v1/approvals", ASKED | {"name": name}, expect=201))["id"]
        for name in ("a", "b")
    ]
    await pager.call("GET", "/api/v1/approvals")
    await pager.call("GET", f"/api/v1/approvals/{made[0]}")
    for identity, what in ((made[0], "approve"), (made[0], "use"), (made[1], "refuse")):
        body = {"by": "ann", "reason": "because"}
        await pager.call("POST", f"/api/v1/approvals/{identity}/{what}", body, headers=ADMIN)


async def _letters(pager: PagerAt) -> None:
    for summary, ways in (("a", ("replay", "done")), ("b", ("discard",))):
        body = {"by": "bot", "summary": summary, "payload": {"x": 1}}
        made = (await pager.call("POST", "/api/v1/dead-letters", body, expect=201))["id"]
        await pager.call("GET", f"/api/v1/dead-letters/{made}")
        for way in ways:
            await pager.call("POST", f"/api/v1/dead-letters/{made}/{way}", {"by": "bot", "reason": "x"})
    await pager.call("GET", "/api/v1/dead-letters")


async def _channel(pager: PagerAt) -> None:
    await pager.call("POST", "/api/v1/status", {"by": "bot", "text": "hi"}, expect=201)
    await pager.call("GET", "/api/v1/status")
    for way in ("/bot", "?name=bot"):
        body = {"name": "bot", "url": "http://127.0.0.1:9/x", "matchers": ["a=b"]}
        await pager.call("POST", "/api/v1/webhooks", body, expect=201)
        await pager.call("GET", "/api/v1/webhooks")
        await pager.call("DELETE", f"/api/v1/webhooks{way}")
    await pager.call("GET", "/api/v1/history")
    await pager.call("GET", "/api/v1/history?format=text")


async def test_an_answer_that_breaks_the_contract_is_noticed(pager: PagerAt) -> None:
    contract = Contract(document_of(pager))
    media, path = "application/json", "/api/v1/ladder"
    contract.check("GET", path, 200, media, '{"levels": [{"name": "a", "person": "b", "labMinutes": 1}]}')
    with pytest.raises(ValidationError):
        contract.check("GET", path, 200, media, '{"levels": [{"name": "a", "person": "b"}]}')
    with pytest.raises(ValidationError):
        contract.check("GET", path, 200, media, '{"levels": [], "more": 1}')
    with pytest.raises(AssertionError, match="not documented"):
        contract.check("GET", path, 418, media, "{}")
    with pytest.raises(AssertionError, match="in no table"):
        contract.check("GET", "/api/v1/other", 200, media, "{}")


async def test_a_body_that_the_document_allows_is_taken(pager: PagerAt, tmp_path: Path) -> None:
    """The declared limits are the real ones: one character more is refused."""
    schema = document_of(pager)["paths"]["/api/v1/status"]["post"]["requestBody"]["content"]
    fields = schema["application/json"]["schema"]["properties"]
    longest = {"by": "b" * fields["by"]["maxLength"], "text": "t" * fields["text"]["maxLength"]}
    await pager.call("POST", "/api/v1/status", longest, expect=201)
    for name in longest:
        await pager.call("POST", "/api/v1/status", longest | {name: longest[name] + "x"}, expect=400)
