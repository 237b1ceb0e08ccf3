"""The first process of a `postgres` container: prepare the data, then become the server.

    python -m lab.localkube.images.postgres_start MAJOR ADDRESS [argument of postgres ...]

A lab's data are disposable: fsync is off, so a crash of the machine may lose them; a crash of the server
does not.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.localkube.images.launch import StartError
from lab.localkube.images.postgres_install import (
    SPARE,
    Install,
    create_data,
    drop_to,
    find_install,
    prepare_install,
    prepare_template,
    run_statements,
    seen,
)
from lab.localkube.images.prctl import die_with_parent

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "16MB",
    "max_wal_size": "256MB",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "huge_pages": "off",
    "jit": "off",
    "shared_memory_type": "mmap",
    "dynamic_shared_memory_type": "mmap",  # inside the data directory: nothing stays in /dev/shm after a kill
    "unix_socket_directories": "",
    "logging_collector": "off",
    "log_destination": "stderr",
}


def statements(env: Mapping[str, str]) -> tuple[str, list[str]]:
    """How clients authenticate, and the SQL that makes the official image's user and database.

    Raises StartError when a variable is missing or cannot be used.
    """
    method = env.get("POSTGRES_HOST_AUTH_METHOD") or "scram-sha-256"
    password = env.get("POSTGRES_PASSWORD", "")
    if method not in ("scram-sha-256", "trust"):
        raise StartError(f"POSTGRES_HOST_AUTH_METHOD={method} is not supported: use scram-sha-256 or trust")
    if not password and method != "trust":
        raise StartError("POSTGRES_PASSWORD is not set: the superuser needs a password")
    user = env.get("POSTGRES_USER") or "postgres"
    database = env.get("POSTGRES_DB") or user
    for value in (user, database, password):
        if any(character in value for character in "\n\r\0"):
            raise StartError("POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD must each be one line")
    sql = [] if user == "postgres" else [f"CREATE ROLE {_name(user)} SUPERUSER LOGIN"]
    if password:
        sql.append(f"ALTER ROLE {_name(user)} PASSWORD {_literal(password)}")
    if database not in ("postgres", "template1"):
        sql.append(f"ALTER DATABASE {SPARE} RENAME TO {_name(database)}")
        sql.append(f"ALTER DATABASE {_name(database)} OWNER TO {_name(user)}")
    else:
        sql.append(f"DROP DATABASE {SPARE}")
    return method, sql


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def _options(**extra: str) -> list[str]:
    return [word for key, value in (SETTINGS | extra).items() for word in ("-c", f"{key}={value}")]


def prepare(install: Install, data: Path, env: Mapping[str, str]) -> None:
    """Make the data directory unless it is one already. Raises StartError."""
    prepare_install(install)
    if (data / "PG_VERSION").exists():
        # Of a run that was killed: its pid may be somebody else's now.
        (data / "postmaster.pid").unlink(missing_ok=True)
        return
    method, sql = statements(env)
    options = _options()
    create_data(prepare_template(install, options), data, method)
    run_statements(install, data, sql, options)


def become_server(install: Install, data: Path, address: str, arguments: Sequence[str]) -> None:
    """Change the user if need be and execute postgres. Does not return."""
    parent = os.getppid()
    user = drop_to()
    os.chdir(data)
    os.umask(0o077)
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        die_with_parent(parent)
    options = _options(listen_addresses=address, port=os.environ.get("PGPORT", "5432"))
    program = str(install.bin / "postgres")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(program, [program, "-D", seen(user, data), *options, *arguments])


def main(argv: Sequence[str]) -> int:
    """See the module's text."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    install = find_install(argv[0])
    data = Path(os.environ["PGDATA"])
    try:
        prepare(install, data, os.environ)
    except (StartError, OSError) as error:
        print(f"postgres: {error}", file=sys.stderr, flush=True)
        return 1
    become_server(install, data, argv[1], argv[2:])
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
