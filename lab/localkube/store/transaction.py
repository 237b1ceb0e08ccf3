"""One transaction of SQLite that leaves nothing half-open behind."""

from __future__ import annotations

import sqlite3


class Transaction:
    """BEGIN IMMEDIATE … COMMIT, rolled back when the block raises."""

    __slots__ = ("_database",)

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self._database.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error:
            if self._database.in_transaction:  # a full disk, say: leave no half-open transaction behind
                self._database.execute("ROLLBACK")
            raise
