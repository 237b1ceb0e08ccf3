"""Guarded operations of the database in a whole lab: from the candidate's pod to the audit log."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import psycopg
import pytest
from e2e_bench import Bench, until
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lab.core.audit import AuditRecord
from lab.engine.lab import open_lab

pytestmark = pytest.mark.slow

ENDER = """\
import time
import psycopg
while True:
    try:
        with psycopg.connect("", autocommit=True) as ops:
            while True:
                for (pid,) in ops.execute(
                    "SELECT pid FROM ops.activity WHERE application_name = 'reporting'"
                    " AND state = 'idle in transaction'"
                ).fetchall():
                    answer = ops.execute("CALL ops.terminate_backend(%s, 'it blocks')", (pid,))
                    print(answer.fetchone(), flush=True)
                time.sleep(0.5)
    except psycopg.Error as error:
        print(error, flush=True)
        time.sleep(0.5)
"""


class Database:
    """The lab's database, as its superuser and as the role ops."""

    def __init__(self, bench: Bench) -> None:
        self._kubeconfig = bench.lab("env", "--json").data["KUBECONFIG"]
        self.ops = self._secret("automation", "automation-database")["OPS_DATABASE_URL"]
        host = conninfo_to_dict(self.ops)["host"]
        self.admin = make_conninfo(self._secret("lab-system", "db")["url"], host=host)

    def _secret(self, namespace: str, name: str) -> dict[str, str]:
        command = [
            "kubectl",
            "--kubeconfig",
            self._kubeconfig,
            "-n",
            namespace,
            "get",
            "secret",
            name,
            "-o",
            "json",
        ]
        found: Any = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}

    def lives(self, session: psycopg.Connection) -> bool:
        """Has the server the session still?"""
        with psycopg.connect(self.admin) as admin:
            query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            row = admin.execute(query, (session.info.backend_pid,)).fetchone()
            return bool(row and row[0])


def test_an_automation_ends_a_blocking_session_in_live_mode_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = bench.lab("up", "--toil", "off", "--with", "database-ops")
    assert up.code == 0, up.err
    database, candidate = Database(bench), bench.candidate("ender", ENDER)
    monkeypatch.setenv("LAB_HOME", str(bench.home))

    def records(decision: str) -> list[AuditRecord]:
        found = open_lab("lab").gateway.audit()
        return [r for r in found if r.group == "database" and r.decision.value == decision]

    with psycopg.connect(database.admin, application_name="reporting") as victim:
        victim.execute("SELECT 1")
        assert bench.lab("run", candidate, "--mode", "shadow").code == 0
        until(lambda: records("shadowed"))
        assert database.lives(victim)
        assert bench.lab("run", candidate, "--mode", "live").code == 0
        until(lambda: not database.lives(victim))
        (record,) = until(lambda: records("allowed"))
        assert (record.name, record.note, record.risk) == ("reporting/shop", "it blocks", "disruptive")
        assert "the session was ended" in bench.lab("logs", "automation").out
        victim.close()
