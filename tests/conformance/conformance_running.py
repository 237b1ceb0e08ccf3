"""Carrying cases out against one server: a namespace for each, several at once, and nothing left behind.

run_cases ─► CaseRun (one case, its variables) ─► Wire
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
from conformance_cases import PATCHES, Case, Expected, Step, fill
from conformance_matching import mismatches
from conformance_wire import Answer, Request, Wire, protobuf

from lab.kube.kubeconfig import Connection

PATIENCE = 60.0
"""Seconds until an `eventually` must be true and an event of a watch must have come."""
AT_ONCE = 6
_EVENTUALLY_EVERY = 0.05

Verdict = Literal["passed", "deviates", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case went, and why it did not simply pass."""

    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server before the first case. implementation: `localkube`, else `kubernetes`."""

    version: str
    implementation: str
    abilities: frozenset[str]


class StepError(AssertionError):
    """A step whose answer is not as expected."""

    def __init__(self, step: Step, problems: Sequence[str], answer: Answer | None = None) -> None:
        what = step.request or f"WATCH {step.watch}"
        seen = (
            f"\n  the answer was {answer.code}: {answer.content[:1500].decode(errors='replace')}"
            if answer
            else ""
        )
        super().__init__(f"{what}\n  " + "\n  ".join(problems) + seen)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Report:
    """How all cases went, by name, and the namespaces that they left behind."""

    outcomes: Mapping[str, Outcome]
    left: Sequence[str]


async def run_cases(connection: Connection, cases: Iterable[Case]) -> Report:
    """All cases against one server. Raises ConnectionError when nobody answers there."""
    wire = Wire(connection)
    mine = f"case-{os.getpid():x}-"
    try:
        server = await look_at(wire)
        free, unique = asyncio.Semaphore(AT_ONCE), (f"{mine}{number:x}" for number in itertools.count())

        async def one(case: Case) -> tuple[str, Outcome]:
            async with free:
                return case.case, await run_case(wire, server, case, next(unique))

        try:
            outcomes = dict(await asyncio.gather(*map(one, cases)))
        finally:
            await _remove_namespaces(wire, mine, free)
        return Report(outcomes, await _left_behind(wire, mine))
    finally:
        await wire.close()


async def _namespaces(wire: Wire, mine: str) -> Sequence[str]:
    listed = (await wire.send(Request("GET", "/api/v1/namespaces"))).document["items"]
    return [each["metadata"]["name"] for each in listed if each["metadata"]["name"].startswith(mine)]


async def _remove_namespaces(wire: Wire, mine: str, free: asyncio.Semaphore) -> None:
    """Only when all cases are through: upstream's controller takes a second or two for each."""

    async def remove(name: str) -> None:
        async with free:
            await wire.send(Request("DELETE", f"/api/v1/namespaces/{name}"))

    await asyncio.gather(*map(remove, await _namespaces(wire, mine)))


async def _left_behind(wire: Wire, mine: str) -> Sequence[str]:
    """The namespaces of ours that are still there when for a while none has gone."""
    loop = asyncio.get_running_loop()
    fewest, deadline = len(await _namespaces(wire, mine)), loop.time() + PATIENCE
    while left := await _namespaces(wire, mine):
        if len(left) < fewest:
            fewest, deadline = len(left), loop.time() + PATIENCE
        if loop.time() > deadline:
            break
        await asyncio.sleep(_EVENTUALLY_EVERY)
    return left


async def look_at(wire: Wire) -> Server:
    """Which server it is and what it is able to do."""
    try:
        version = (await wire.send(Request("GET", "/version"))).document
        groups = (await wire.send(Request("GET", "/apis"))).document
        nodes = (await wire.send(Request("GET", "/api/v1/nodes"))).document
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConnectionError(f"no API server answers: {error}") from error
    release = str(version["gitVersion"])
    abilities = set()
    if any(group["name"] == "metrics.k8s.io" for group in groups["groups"]):
        abilities.add("metrics")
    if any(_is_ready(node) for node in nodes["items"]):
        abilities.add("nodes")
    implementation = "localkube" if "+localkube" in release else "kubernetes"
    return Server(release, implementation, frozenset(abilities))


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    ready = any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)
    return ready and not node["spec"].get("unschedulable")


async def run_case(wire: Wire, server: Server, case: Case, unique: str) -> Outcome:
    """One case in a namespace of its own."""
    missing = [need for need in case.needs if need not in server.abilities]
    if missing:
        return Outcome("skipped", f"the server has no {' and no '.join(missing)}")
    run = CaseRun(wire, unique)
    deviation = case.deviates.get(server.implementation)
    try:
        await run.begin(case)
        for number, step in enumerate(case.steps, 1):
            if deviation and number == deviation.step:
                return await run.deviates(step, deviation.expect, deviation.why)
            await run.step(step)
    except (StepError, ConnectionError, aiohttp.ClientError, TimeoutError) as error:
        return Outcome("failed", f"{case.shows}\n  {type(error).__name__}: {error}\n  source: {case.source}")
    finally:
        await run.end(case)
    return Outcome("passed")


class CaseRun:
    """The state of one case: its namespace and what its steps saved."""

    def __init__(self, wire: Wire, unique: str) -> None:
        self._wire = wire
        self._variables: dict[str, Any] = {"ns": unique}

    async def begin(self, case: Case) -> None:
        """Create the namespace, and wait for its ServiceAccount where pods want one."""
        name = self._variables["ns"]
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self.step(Step(request="POST /api/v1/namespaces", body=body))
        if case.has_pods:
            await self.step(Step(request="GET serviceaccounts/default", eventually=True))

    async def end(self, case: Case) -> None:
        """Delete what the case names; its namespace goes with all others."""
        for path in case.removes:
            with suppress(aiohttp.ClientError, TimeoutError):
                await self._wire.send(self._request(Step(request=f"DELETE {path}")))

    async def deviates(self, step: Step, other: Expected, why: str) -> Outcome:
        """Make the step in which the server differs: its answer must be the other one, and not upstream's."""
        try:
            await self.step(step)
        except StepError as error:
            problems = self._problems(other, error.answer) if error.answer else [str(error)]
            if problems:
                raise StepError(
                    step, ["differs otherwise than the case says", *problems], error.answer
                ) from error
            return Outcome("deviates", why)
        raise StepError(step, [f"no longer deviates: take it out of the case ({why})"])

    async def step(self, step: Step) -> None:
        """Make one step. Raises StepError when the answer is not as expected."""
        if step.watch:
            await self._watch(step)
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            answer = await self._wire.send(self._request(step))
            problems = self._problems(step, answer)
            if not problems:
                break
            if not step.eventually or loop.time() > deadline:
                raise StepError(step, problems, answer)
            await asyncio.sleep(_EVENTUALLY_EVERY)
        for name, path in step.save.items():
            self._variables[name] = self._saved(step, answer, path)

    async def _watch(self, step: Step) -> None:
        query = {"watch": "true", **step.query}
        async with self._wire.stream(self._request(step, query)) as (refusal, events):
            if refusal is not None or step.error:
                if refusal is None:
                    raise StepError(step, ["expected a refusal, seen a stream"])
                problems = self._problems(step, refusal)
                if problems:
                    raise StepError(step, problems, refusal)
                return
            for inner in step.during:
                await self.step(inner)
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._expect_events(step, events)
            except TimeoutError as error:
                raise StepError(step, [f"not all events came within {PATIENCE:g} s"]) from error

    async def _expect_events(self, step: Step, events: Any) -> None:
        for number, wanted in enumerate(fill(step.events, self._variables), 1):
            async for event in events:
                if event["type"] == "BOOKMARK" and wanted.get("type") != "BOOKMARK":
                    continue
                problems = mismatches(wanted, event)
                if problems:
                    raise StepError(step, [f"event {number}: {problem}" for problem in problems])
                break
            else:
                raise StepError(step, [f"the stream ended before event {number}"])
        if step.ends:
            async for event in events:
                if event["type"] != "BOOKMARK":
                    raise StepError(step, [f"one event too many: {json.dumps(event)[:600]}"])

    def _problems(self, expected: Expected, answer: Answer) -> list[str]:
        error, codes = expected.error, expected.wanted_codes
        problems = []
        if codes and answer.code not in codes:
            problems.append(f"expected code {' or '.join(map(str, codes))}, seen {answer.code}")
        if error is not None:
            status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", **error}
            if "details" in status:
                status["details"] = {"$exactly": status["details"]}
            problems += mismatches(fill(status, self._variables), answer.document)
        if expected.answer is not None:
            problems += mismatches(fill(expected.answer, self._variables), answer.document)
        if expected.text is not None:
            problems += mismatches(
                fill(expected.text, self._variables), answer.content.decode(errors="replace")
            )
        for name, wanted in expected.header.items():
            seen: Any = answer.headers.get(name.lower(), [])
            problems += mismatches(fill(wanted, self._variables), seen, f"header {name}")
        return problems

    @staticmethod
    def _saved(step: Step, answer: Answer, path: str) -> Any:
        value = answer.document
        for part in path.split("."):
            try:
                value = value[int(part) if isinstance(value, list) else part.replace("~", ".")]
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise StepError(step, [f"the answer has no {path} to save"], answer) from error
        return value

    def _request(self, step: Step, query: Mapping[str, Any] | None = None) -> Request:
        path, _, inline = self._path(fill(step.path, self._variables)).partition("?")
        pairs = [part.partition("=")[::2] for part in inline.split("&") if part]
        for name, value in fill(dict(step.query if query is None else query), self._variables).items():
            pairs += [(name, str(each)) for each in (value if isinstance(value, list) else [value])]
        body, media = self._body(step)
        given = fill(step.headers, self._variables)
        headers = list(({"Content-Type": media} | given if media else given).items())
        if step.user:
            headers.append(("Impersonate-User", fill(step.user, self._variables)))
            headers += [("Impersonate-Group", group) for group in fill(step.groups, self._variables)]
        headers = [(name, value) for name, value in headers if value]
        return Request(step.method, path, pairs, headers, body, fill(step.bearer, self._variables))

    def _body(self, step: Step) -> tuple[bytes | None, str]:
        if step.protobuf is not None:
            fields = fill(step.protobuf.fields, self._variables)
            return protobuf(step.protobuf.kind, fields), "application/vnd.kubernetes.protobuf"
        media = PATCHES[step.patch] if step.patch else "application/json"
        if step.raw is not None:
            return str(fill(step.raw, self._variables)).encode(), media
        if step.body is not None:
            return json.dumps(fill(step.body, self._variables)).encode(), media
        return None, ""

    def _path(self, path: str) -> str:
        if path.startswith("/"):
            return path
        parts, namespaced = path.split("/"), f"namespaces/{self._variables['ns']}"
        if len(parts) > 1 and parts[1][:1] == "v" and parts[1][1:2].isdigit():
            return "/".join(["/apis", *parts[:2], namespaced, *parts[2:]])
        return f"/api/v1/{namespaced}/{path}"
