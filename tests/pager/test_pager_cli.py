"""The pager in the command line: a person's whole evening, against a real pager and then in a whole lab."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pager_harness import PagerAt, alert, running_pager
from test_pager_approvals import ASKED

from lab.cli import app as cli
from lab.engine import lab as labs
from lab.engine.bringup import bring_up
from lab.engine.clients import PagerClient, wait_until
from lab.engine.lab import Lab
from lab.engine.settings import LabSettings
from lab.localkube.images.launch import StartError
from lab.localkube.images.prometheus import find_prometheus

LAB = Path(sys.executable).with_name("lab")


class Terminal:
    """Runs commands of `lab` in this process, against one pager."""

    def __init__(self, pager: PagerAt, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        client = PagerClient(pager.base, "pager", "s3cret")
        patch.setattr(labs, "open_lab", lambda name: SimpleNamespace(pager=client))
        patch.setattr(cli.interrupt, "install", lambda _: None)
        patch.setattr(cli.interrupt, "ignore", lambda: None)

    async def run(self, *arguments: str, code: int = 0) -> Any:
        def command() -> int:
            with pytest.raises(SystemExit) as end:
                cli.main(list(arguments))
            return int(end.value.code or 0)

        got = await asyncio.to_thread(command)
        self.out, self.err = self._capsys.readouterr()
        assert got == code, self.err
        return json.loads(self.out)["data"] if "--json" in arguments and not code else self.out


@pytest.fixture
async def evening(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("USER", "ann")
    async with running_pager(token="s3cret") as pager:
        yield pager, Terminal(pager, capsys, monkeypatch)


async def test_incidents_are_listed_and_taken(evening: Any) -> None:
    pager, terminal = evening
    assert await terminal.run("incidents") == "ID  STATUS  SEVERITY  ALERT  SINCE  WHO\n"
    assert "no incident is open" in terminal.err
    await pager.call(
        "POST", "/api/v2/alerts", [alert(partition="3"), alert(severity="warning", partition="4")]
    )
    shown = await terminal.run("incidents")
    assert "OrdersWaitingTooLong partition=3" in shown
    assert "calling human:oncall" in shown
    assert "nobody: a ticket" in shown
    (first, _) = (await terminal.run("incidents", "--json"))["incidents"]
    assert "is taken by ann" in await terminal.run("acknowledge", first["id"])
    assert "ann" in await terminal.run("incidents", "--status", "acknowledged")
    raised = await pager.call("POST", "/api/v1/escalations", {"by": "bot", "summary": "odd"}, expect=201)
    assert "is taken by bob" in await terminal.run("acknowledge", raised["id"], "--by", "bob")
    await terminal.run("incidents", "--status", "lost", code=2)
    assert "none of: open, all" in terminal.err
    await terminal.run("acknowledge", "inc-none", code=2)
    assert "no incident 'inc-none'" in terminal.err


async def test_approvals_are_given_and_refused(evening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pager, terminal = evening
    one, two = [
        (await pager.call("POST", "/api/v1/approvals", ASKED | {"name": name}, expect=201))["id"]
        for name in ("cache\x1b[2J", "other")
    ]
    shown = await terminal.run("approvals")
    assert "the cache holds poisoned entries" in shown
    assert "\x1b" not in shown
    assert f"lab approve {one}" in terminal.err
    assert "approved by bob until" in await terminal.run("approve", one, "--by", "bob", "--lab-minutes", "3")
    refused = await terminal.run("refuse", two, "--reason", "not today", "--json")
    assert (refused["status"], refused["decidedBy"], refused["note"]) == ("refused", "ann", "not today")
    await terminal.run("approve", two, "--by", "bob", code=2)
    assert "refused by ann already" in terminal.err
    assert [
        a["id"] for a in (await terminal.run("approvals", "--status", "approved", "--json"))["approvals"]
    ] == [one]
    for name in ("USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    await terminal.run("approve", one, code=2)
    assert "--by NAME" in terminal.err


async def test_dead_letters_are_replayed_and_discarded(evening: Any) -> None:
    pager, terminal = evening
    one, two = [
        (await pager.call("POST", "/api/v1/dead-letters", {"by": "bot", "summary": word}, expect=201))["id"]
        for word in ("first", "second")
    ]
    shown = await terminal.run("dead-letters", "--replay", one, "--json")
    assert {x["id"]: x["status"] for x in shown["deadLetters"]} == {one: "replayed", two: "open"}
    await terminal.run("dead-letters", "--discard", two, code=2)
    assert "--reason TEXT" in terminal.err
    await terminal.run("dead-letters", "--discard", two, "--replay", one, "--reason", "x", code=2)
    shown = await terminal.run("dead-letters", "--discard", two, "--reason", "gone")
    assert "discarded" in shown
    assert "first" in await terminal.run("dead-letters", "--status", "replayed")


async def test_posts_hand_overs_and_silences(evening: Any) -> None:
    pager, terminal = evening
    assert "all is well" in await terminal.run("post", "all is well")
    assert (await terminal.run("post", "--json"))["posts"][0]["by"] == "ann"
    shown = await terminal.run("oncall", "--to", "ann", "--note", "calm night")
    assert "primary on-call      ann" in shown
    assert "0 open incidents." in shown
    on_call = await terminal.run("oncall", "--to", "bob", "--json")
    assert [(h["from"], h["to"]) for h in on_call["handovers"]] == [("human:oncall", "ann"), ("ann", "bob")]
    await terminal.run("oncall", "--note", "x", code=2)
    shown = await terminal.run("silence", "partition=3", "severity!=info", "--for", "5m", "--comment", "calm")
    assert "partition=3 severity!=info" in shown
    (made,) = (await terminal.run("silence", "--json"))["silences"]
    assert (made["createdBy"], made["status"]["state"]) == ("ann", "active")
    await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
    assert await pager.incidents() == []
    assert "expired" in await terminal.run("silence", "--expire", made["id"])
    await terminal.run("silence", "partition", code=2)
    assert "the pager refused: matchers: 'partition' is not a matcher" in terminal.err
    await terminal.run("silence", "a=b", "--for", "soon", code=2)


# A whole lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    try:
        find_prometheus()
    except StartError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(tmp_path_factory.mktemp("home")))
        running = bring_up(LabSettings(name="pager", toil="off"), throw_away=True)
        try:
            yield running
        finally:
            running.down()


def run(*arguments: str) -> Any:
    done = subprocess.run(
        [LAB, *arguments, "--name", "pager", "--json"],
        capture_output=True,
        text=True,
        env=os.environ | {"USER": "ann"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


@pytest.mark.slow
def test_in_a_lab_the_human_consents_and_a_person_takes_over(lab: Lab) -> None:
    asked = lab.pager.call("POST", "/api/v1/approvals", body=ASKED | {"decideWithinLabMinutes": 120})
    secret = ASKED | {"decideWithinLabMinutes": 120, "group": "", "resource": "secrets", "name": "db"}
    lab.pager.call("POST", "/api/v1/approvals", body=secret)
    assert wait_until(lambda: not run("approvals", "--status", "pending")["approvals"], seconds=30)
    first, second = run("approvals")["approvals"]
    assert (first["id"], first["decidedBy"]) == (asked["id"], "human:oncall")
    assert first["note"] == "it can be taken back: manifest clusters/base/shop/cache.yaml"
    assert (second["status"], second["note"]) == ("refused", "secrets are their owner's")
    assert run("oncall", "--to", "ann", "--note", "mine now")["primary"] == "ann"
    patient = ASKED | {"name": "later", "decideWithinLabMinutes": 120}
    lab.pager.call("POST", "/api/v1/approvals", body=patient)
    (waiting,) = run("approvals", "--status", "pending")["approvals"]
    assert run("approve", waiting["id"])["decidedBy"] == "ann"
    assert lab.pager.call("GET", "/openapi.json")["info"]["title"] == "toil-lab pager"
