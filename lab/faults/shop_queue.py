"""The injector's hands: who holds which partition, and the rows of chaos.directives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg.types.json import Jsonb

from lab.faults.fault import NAMESPACE, Directive, Partition
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject, name_of

_OPTIONS = "-c statement_timeout=5000"


class ShopQueue:
    """One connection to the shop's database, opened again after it broke. Raises psycopg.Error."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection | None = None
        self._opening = asyncio.Lock()

    async def partitions(self) -> list[Partition]:
        """All partitions; a holder whose lease has run out does not count."""
        rows = await self._rows(
            "SELECT partition, share, CASE WHEN lease_expires > clock_timestamp() THEN holder END"
            " FROM shop.partitions ORDER BY partition"
        )
        return [Partition(*row) for row in rows]

    async def directives(self, *, services: bool = False) -> set[str]:
        """Identities of all that is asked now: of workers, or else of whole services."""
        rows = await self._rows(
            "SELECT id FROM chaos.directives WHERE (service IS NOT NULL) = %s", (services,)
        )
        return {str(row[0]) for row in rows}

    async def done(self) -> set[str]:
        """Identities of those that their victims are through with."""
        return {str(row[0]) for row in await self._rows("SELECT id FROM chaos.directives WHERE done")}

    async def ask(self, directives: Mapping[str, Directive]) -> None:
        """Ask; what is asked already under that identity stays."""
        for identity, directive in directives.items():
            await self._rows(
                "INSERT INTO chaos.directives (id, mode, pod, partition, service, parameters, expires_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, coalesce(%s, 'infinity'::timestamptz))"
                " ON CONFLICT (id) DO NOTHING",
                (
                    identity,
                    directive.mode,
                    directive.pod,
                    directive.partition,
                    directive.service,
                    Jsonb(dict(directive.parameters)),
                    directive.expires_at,
                ),
            )

    async def send_order(self, partition: int, authorization: str) -> None:
        """Put an order of somebody into the queue, unless there is one with this authorization already."""
        await self._rows(
            "INSERT INTO shop.orders (partition, customer, amount_cents, authorization_code)"
            " SELECT %s, 'customer-import', 100, %s WHERE NOT EXISTS"
            " (SELECT FROM shop.orders WHERE authorization_code = %s)",
            (partition, authorization, authorization),
        )

    async def waiting_orders(self) -> set[str]:
        """Authorizations of the orders in the queue that payments has not given."""
        rows = await self._rows(
            "SELECT authorization_code FROM shop.orders"
            " WHERE confirmed_at IS NULL AND authorization_code NOT LIKE 'auth-%%' AND customer = %s",
            ("customer-import",),
        )
        return {str(row[0]) for row in rows}

    async def take_back_orders(self, authorizations: Sequence[str]) -> None:
        """Remove them from the queue; what is not there is no error."""
        if authorizations:
            await self._rows(
                "DELETE FROM shop.orders WHERE authorization_code = ANY(%s) AND customer = 'customer-import'",
                (list(authorizations),),
            )

    async def sessions(self, pids: Sequence[int]) -> tuple[datetime, set[int]]:
        """When the server started, and those of these backends that still live."""
        rows = await self._rows(
            "SELECT pg_postmaster_start_time(),"
            " array(SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s) AND datname = current_database())",
            (list(pids),),
        )
        started, living = rows[0]
        return started, set(living)

    async def withdraw(self, identities: Sequence[str]) -> None:
        """Ask no longer; what is not asked anyway is no error."""
        if identities:
            await self._rows("DELETE FROM chaos.directives WHERE id = ANY(%s)", (list(identities),))

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _rows(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection = await self._open()
        cursor = await connection.execute(statement, parameters or None)
        return await cursor.fetchall() if cursor.description else []

    async def _open(self) -> psycopg.AsyncConnection:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._connection = await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    application_name="faults",
                    connect_timeout=3,
                    tcp_user_timeout=5000,
                    options=_OPTIONS,
                )
            return self._connection


class Victims(Protocol):
    """Who is still there. Raises ConnectionError, TimeoutError, StatusError or psycopg.Error."""

    async def alive(self) -> set[str]:
        """Names of the worker pods that have not ended and are not being deleted."""


class PodVictims:
    """As the Kubernetes API says."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def alive(self) -> set[str]:
        """List the pods of the shop's workers."""
        found = await self._kube.list("pods", NAMESPACE, label_selector="app=worker")
        return {name_of(pod) for pod in found["items"] if not _ended(pod)}


def _ended(pod: KubeObject) -> bool:
    """Whether it is going, or stays only as a record of what it was, as an evicted one does."""
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return over or "deletionTimestamp" in pod["metadata"]


class HolderVictims:
    """Outside a cluster: whoever holds a partition is there."""

    def __init__(self, queue: ShopQueue) -> None:
        self._queue = queue

    async def alive(self) -> set[str]:
        """Read the holders."""
        return {partition.holder for partition in await self._queue.partitions() if partition.holder}
