"""The postgres runner: a real server with the official image's variables."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import psycopg
import pytest
from images_bench import Runs

from lab.localkube.images.images import Images
from lab.localkube.images.launch import StartError
from lab.localkube.images.postgres_install import _bundled, find_install
from lab.localkube.images.postgres_start import statements

pytestmark = pytest.mark.skipif(not _bundled(), reason="the PostgreSQL wheel is not installed")
ADDRESS = f"127.99.{os.getpid() % 199 + 1}.7"
PASSWORD = 'it\'s \\ "odd" $(x)'
ENV = {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": PASSWORD}


async def connect(**options: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection, once the server takes them."""
    end = time.monotonic() + 15
    while True:
        try:
            return psycopg.connect(host=ADDRESS, connect_timeout=5, autocommit=True, **options)
        except psycopg.OperationalError as error:
            if time.monotonic() > end or "password" in str(error):
                raise
            await asyncio.sleep(0.02)


async def test_user_password_database_restart_and_clean_stop(images: Images, tmp_path: Path) -> None:
    runs = Runs(images.launcher, tmp_path)
    mounts = {"/var/lib/postgresql": tmp_path / "volume"}
    process, output = await runs.image(images, "postgres:16", ADDRESS, env=ENV, mounts=mounts)
    with await connect(user="shop", password=PASSWORD, dbname="shop") as connection:
        row = connection.execute("select current_user, current_database()").fetchone()
        assert row == ("shop", "shop")
        connection.execute("create table kept (id int)")
    with pytest.raises(psycopg.OperationalError, match="password"):
        await connect(user="shop", password="wrong", dbname="shop")
    with pytest.raises(psycopg.OperationalError, match="password"):
        await connect(user="postgres", password="", dbname="shop")
    process.signal(signal.SIGINT)
    assert await process.wait() == 0
    assert "database system is shut down" in output.read_text()

    process, _ = await runs.image(images, "postgres:16", ADDRESS, env=ENV, mounts=mounts)
    with await connect(user="shop", password=PASSWORD, dbname="shop") as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (0,)
    process.kill()
    assert await process.wait() == 137

    process, _ = await runs.image(images, "postgres:16", ADDRESS, env=ENV, mounts=mounts)
    with await connect(user="shop", password=PASSWORD, dbname="shop") as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (0,)


async def test_arguments_reach_the_server(images: Images, tmp_path: Path) -> None:
    runs = Runs(images.launcher, tmp_path)
    args = ["-c", "max_connections=23"]
    await runs.image(images, "postgres", ADDRESS, env=ENV | {"POSTGRES_DB": "other"}, args=args)
    with await connect(user="shop", password=PASSWORD, dbname="other") as connection:
        assert connection.execute("show max_connections").fetchone() == ("23",)
        names = connection.execute("select datname from pg_database order by 1").fetchall()
        assert names == [("other",), ("postgres",), ("template0",), ("template1",)]


async def test_the_superuser_alone_needs_no_other_database(images: Images, tmp_path: Path) -> None:
    runs = Runs(images.launcher, tmp_path)
    await runs.image(images, "postgres", ADDRESS, env={"POSTGRES_HOST_AUTH_METHOD": "trust"})
    with await connect(user="postgres", dbname="postgres") as connection:
        names = connection.execute("select datname from pg_database order by 1").fetchall()
    assert names == [("postgres",), ("template0",), ("template1",)]


async def test_a_missing_password_is_said(images: Images, tmp_path: Path) -> None:
    runs = Runs(images.launcher, tmp_path)
    process, output = await runs.image(images, "postgres", ADDRESS)
    assert await process.wait() == 1
    assert "POSTGRES_PASSWORD is not set" in output.read_text()


def test_values_of_several_lines_are_refused() -> None:
    with pytest.raises(StartError, match="one line"):
        statements({"POSTGRES_PASSWORD": "a\n; drop database x"})


def test_names_and_passwords_are_quoted() -> None:
    _, sql = statements({"POSTGRES_USER": 'a"b', "POSTGRES_PASSWORD": "c'\\", "POSTGRES_DB": "d"})
    assert sql == [
        'CREATE ROLE "a""b" SUPERUSER LOGIN',
        "ALTER ROLE \"a\"\"b\" PASSWORD E'c''\\\\'",
        'ALTER DATABASE spare RENAME TO "d"',
        'ALTER DATABASE "d" OWNER TO "a""b"',
    ]


def test_the_tag_chooses_the_version_when_it_is_there() -> None:
    newest = max(_bundled())
    assert find_install("16.3-alpine").major == (16 if 16 in _bundled() else newest)
    assert find_install("9.6").major == find_install().major == newest
