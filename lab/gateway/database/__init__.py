"""The database's side of the gateway: guarded operations under the same modes, in the same audit log.

    client: CALL ops.terminate_backend(…)        gateway
      insert into ops.requests ── commit, NOTIFY ──► take ── audit ── entrance ── control ── decide ── forward
      wait for its row         ◄── answer ────────── record on disk ◄───────────────── pg_terminate_backend

A request is a row, and the gateway acts on it. A function that acted by itself could be undone in the log and
not in the world: `BEGIN; SELECT …; ROLLBACK` would end a session and take the row that says so back. Here a
request counts once it is committed, and one that is rolled back has never been. So the guarded operations are
procedures, which may commit: one CALL is a request, its commit, and the wait for the answer.
"""
