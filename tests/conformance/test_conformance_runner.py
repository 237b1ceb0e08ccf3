"""The runner itself: what a case may say, what a matcher refuses, and that a wrong answer fails a case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from conformance_cases import CaseError, fill, load, read
from conformance_matching import mismatches
from conformance_running import Outcome, run_cases
from conformance_wire import protobuf

from lab.kube.kubeconfig import Connection

LEAST_CASES = 200


def test_there_are_enough_cases_and_each_says_where_upstream_says_so() -> None:
    cases = load()
    assert len(cases) >= LEAST_CASES
    assert all(case.source and case.shows for case in cases.values())


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": "$absent"}, {"b": 2}),
        ({"a": "$any"}, {"a": 0}),
        ({"$exactly": {"a": 1}}, {"a": 1}),
        ({"$matches": "^a.c$"}, "abc"),
        ({"$contains": [{"name": "b"}]}, [{"name": "a"}, {"name": "b", "more": 1}]),
        ({"$without": [{"name": "c"}]}, [{"name": "a"}]),
        ({"$not": {"a": 1}}, {"a": 2}),
        ({"$length": 2}, [1, 2]),
        ({"$above": "9"}, "10"),
        ({"$json": {"a": 1}}, '{"a": 1}'),
        ([{"a": 1}], [{"a": 1, "b": 2}]),
        (None, None),
    ],
)
def test_matching(expected: Any, seen: Any) -> None:
    assert mismatches(expected, seen) == []


@pytest.mark.parametrize(
    ("expected", "seen", "problem"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "at .a.b: expected 1, seen 2"),
        ({"a": 1}, {}, "at .a: expected 1, seen nothing"),
        ({"a": 1}, {"a": True}, "at .a: expected 1, seen true"),
        ({"a": "$absent"}, {"a": None}, "seen null"),
        ({"a": "$any"}, {"a": None}, "seen null"),
        ({"$exactly": {"a": 1}}, {"a": 1, "b": 2}, "expected"),
        ({"$matches": "x"}, "abc", "a text with x"),
        ({"$contains": [{"name": "c"}]}, [{"name": "a"}], "an item"),
        ({"$without": [{"name": "a"}]}, [{"name": "a"}], "no item"),
        ({"$not": {"a": 1}}, {"a": 1}, "something other"),
        ({"$length": 2}, [1], "2 of them"),
        ({"$above": "10"}, "9", "a number above"),
        ({"$json": {"a": 1}}, "{", "JSON"),
        ([1], [1, 2], "expected [1], seen [1, 2]"),
        ([], None, "seen null"),
    ],
)
def test_what_does_not_match(expected: Any, seen: Any, problem: str) -> None:
    found = mismatches(expected, seen)
    assert found
    assert problem in found[0]


def test_a_matcher_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no matcher"):
        mismatches({"$nonsense": 1}, 1)


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("[{request: GET a, watch: b}]", "either a request or a watch"),
        ("[{request: GET}]", "a method and a path"),
        ("[{request: POST a, body: {}, raw: x}]", "one body"),
        ("[{watch: a}]", "expects events"),
        ("[{request: GET a, nonsense: 1}]", "nonsense"),
        ("[{request: 'GET a/<rv>'}]", "nothing was saved as rv"),
        ("[{request: GET a, answer: {x: {$nonsense: 1}}}]", "there is no matcher"),
        ("[{request: GET a, text: {$matches: '('}}]", "unterminated subpattern"),
        ("[]", "steps"),
    ],
)
def test_a_case_that_means_nothing_is_refused(steps: str, problem: str) -> None:
    with pytest.raises(CaseError, match=problem):
        read(f"- {{case: a, shows: s, source: u, steps: {steps}}}", "x.yaml")


def test_placeholders() -> None:
    assert fill({"a-<ns>": ["<n>", "x<n>", "<none>"]}, {"ns": "z", "n": 3}) == {"a-z": [3, "x3", "<none>"]}


def test_protobuf_bodies() -> None:
    body = protobuf("apps/v1/Thing", [[1, "x"], [2, [[1, 300]]]])
    assert body == b"k8s\x00\x0a\x10\x0a\x07apps/v1\x12\x05Thing\x12\x08\x0a\x01x\x12\x03\x08\xac\x02"


@pytest.fixture
async def server() -> AsyncIterator[Connection]:
    """Something that answers as no API server would, but for its version."""

    async def answer(request: web.Request) -> web.Response:
        version = {"gitVersion": "v1.32.0+localkube"} if request.path == "/version" else {}
        return web.json_response(
            {"items": [], "groups": [], "x": 1} | version, status=201 if request.method == "POST" else 200
        )

    runner = web.AppRunner(web.Application())
    runner.app.router.add_route("*", "/{path:.*}", answer)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]
    yield Connection(f"http://127.0.0.1:{port}")
    await runner.cleanup()


async def outcome(server: Connection, text: str) -> Outcome:
    case = read(f"- {{case: a, shows: it, source: there, {text}}}", "x.yaml")
    return (await run_cases(server, case)).outcomes["a"]


async def test_right_and_wrong_answers(server: Connection) -> None:
    assert (await outcome(server, "steps: [{request: GET a, answer: {x: 1}}]")).verdict == "passed"
    wrong = await outcome(server, "steps: [{request: GET a, answer: {x: 2}}]")
    assert wrong.verdict == "failed"
    assert "at .x: expected 2, seen 1" in wrong.why
    assert "source: there" in wrong.why
    wrong = await outcome(server, "steps: [{request: GET a, code: 404}]")
    assert "expected code 404, seen 200" in wrong.why
    wrong = await outcome(server, "steps: [{request: GET a, save: {y: z.y}}]")
    assert "has no z.y to save" in wrong.why


async def test_what_a_server_cannot_do_is_skipped_with_the_reason(server: Connection) -> None:
    skipped = await outcome(server, "needs: [nodes, metrics], steps: [{request: GET a, code: 404}]")
    assert skipped == Outcome("skipped", "the server has no nodes and no metrics")


DEVIATION = "deviates: {localkube: {why: because, step: 1, expect: {code: 200, answer: {x: 1}}}}"


async def test_deviations_are_held_too(server: Connection) -> None:
    differs = await outcome(server, f"steps: [{{request: GET a, answer: {{x: 2}}}}], {DEVIATION}")
    assert differs == Outcome("deviates", "because")
    otherwise = await outcome(
        server, f"steps: [{{request: GET a, answer: {{x: 2}}}}], {DEVIATION.replace('x: 1', 'x: 3')}"
    )
    assert otherwise.verdict == "failed"
    assert "differs otherwise than the case says" in otherwise.why
    healed = await outcome(server, f"steps: [{{request: GET a, answer: {{x: 1}}}}], {DEVIATION}")
    assert healed.verdict == "failed"
    assert "no longer deviates" in healed.why
