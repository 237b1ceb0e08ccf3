"""A store with a few objects, a gateway in front of it, and the control in hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from moto.s3.models import s3_backends
from yarl import URL

from lab.core.clock import SystemClock, TimeScale
from lab.core.fault_row import FaultRow
from lab.core.sigv4 import Request, sign
from lab.faults.board import Board
from lab.faults.registry import SPECS
from lab.gateway.approvals import Approvals
from lab.gateway.audit import AuditLog
from lab.gateway.control import Control
from lab.gateway.faults.hit import Scene
from lab.gateway.identity import Clients
from lab.gateway.ledger import Ledger
from lab.gateway.measures import Measures
from lab.gateway.passage import Passages
from lab.gateway.rehearsals import Rehearsals
from lab.gateway.safeguards import Safeguards
from lab.gateway.sizes import Sizes
from lab.gateway.stages import Audit, CheckControl, Decide
from lab.gateway.store.app import Store
from lab.gateway.store.backend import Backend
from lab.shop.logstore import client_of, start_store

KEY, SECRET, LOGS = "gateway", "a-secret-of-the-store", "logs"


class World:
    """A store with a few objects, a gateway in front of it, and the control in hand."""

    def __init__(self, folder: Path) -> None:
        self.control_data = {"mode": "shadow", "killSwitch": "off"}
        self.clock = SystemClock()
        clients = folder / "clients"
        clients.mkdir()
        (clients / "cleaner").write_text("cleaner-token")
        self.clients = Clients(clients, self.clock)
        self.book = AuditLog(folder / "audit.jsonl")
        self.base = ""
        self.direct: Any = None
        self.board: Board

    async def read_control(self, path: str, headers: Any = None) -> dict[str, Any]:
        return {"data": self.control_data}

    def client(self, actor: str = "cleaner", secret: str = "") -> Any:
        return client_of(self.base, actor, secret or self.clients.secret("cleaner") or "")

    def trouble(self, fault: str, **parameters: Any) -> None:
        """A fault begins."""
        values = SPECS[fault].read(parameters)
        row = FaultRow(f"{fault}-0001", fault, "gateway", values, None, 7)
        self.board.put({row.id: row.as_json()})

    def heal(self) -> None:
        self.board.put({})

    def keys(self) -> list[str]:
        return [item["Key"] for item in self.direct.list_objects_v2(Bucket=LOGS).get("Contents", ())]

    def content(self) -> dict[str, Any]:
        """All that is in the store: buckets, objects, tags."""
        found: dict[str, Any] = {}
        for bucket_ in self.direct.list_buckets()["Buckets"]:
            name = bucket_["Name"]
            found[name] = self.direct.get_bucket_versioning(Bucket=name).get("Status")
            for item in self.direct.list_objects_v2(Bucket=name).get("Contents", ()):
                tags = self.direct.get_object_tagging(Bucket=name, Key=item["Key"])["TagSet"]
                found[f"{name}/{item['Key']}"] = (item["ETag"], item["LastModified"], tags)
            uploads = self.direct.list_multipart_uploads(Bucket=name).get("Uploads", ())
            found[f"{name} uploads"] = [upload["Key"] for upload in uploads]
        return found

    async def ask(
        self, session: aiohttp.ClientSession, method: str, path: str, query: str, body: bytes, source: str
    ) -> int:
        """The status of a request that is signed well, whatever it asks for."""
        headers = {"Host": self.base.removeprefix("http://")} | (
            {"x-amz-copy-source": source} if source else {}
        )
        asked = Request(method, path, query, headers)
        headers |= sign(asked, "cleaner", self.clients.secret("cleaner") or "", self.clock.now())
        url = URL(f"{self.base}{path}{'?' + query if query else ''}", encoded=True)
        async with session.request(method, url, data=body, headers=headers) as answer:
            await answer.read()
            return answer.status

    def records(self, decision: str = "") -> list[dict[str, Any]]:
        return [r for r in self.book.read() if r["mutating"] and decision in ("", r["decision"])]


async def called(function: Callable[..., Any], **arguments: Any) -> Any:
    """A call of boto3, in a thread."""
    return await asyncio.to_thread(function, **arguments)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    s3_backends.reset()  # moto keeps its buckets for the whole process
    store = start_store("127.0.0.1", 0, KEY, SECRET, made.clock)
    address = f"http://127.0.0.1:{store.server_port}"
    made.direct = client_of(address, KEY, SECRET)
    made.direct.create_bucket(Bucket=LOGS)
    for number in range(5):
        made.direct.put_object(Bucket=LOGS, Key=f"api/day {number}/ü+{number}.log", Body=b"x" * (number + 1))
    scale, measures = TimeScale(60), Measures()
    control, passages = Control(made.read_control, "lab-system", "control"), Passages()
    rehearsals = Rehearsals(made.clock, 30)
    approvals = Approvals("", "")
    safeguards = Safeguards(
        Ledger(made.clock, scale, 5.0), rehearsals, approvals, Sizes(made.read_control), made.clock
    )
    audit = Audit(made.book, measures, rehearsals, made.clock)
    control.on_stop = passages.stop
    backend = Backend(address, KEY, SECRET, made.clock)
    stages = (audit, CheckControl(control, passages, measures), Decide(made.book))
    made.board = Board("gateway", made.clock)
    scene = Scene(made.board, control, made.clock, measures)
    front = Store(backend, made.clients, stages, control, passages, safeguards, scene, made.clock)
    runner = await front.start("127.0.0.1", 0)
    made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()
    await front.close()
    await approvals.close()
    store.shutdown()
    made.book.close()
