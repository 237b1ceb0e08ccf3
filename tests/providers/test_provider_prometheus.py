"""Fetching Prometheus: upstream's release is held against its published checksum before it is used."""

from __future__ import annotations

import hashlib
import io
import platform
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.errors import NotReadyError
from lab.providers import prometheus


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream(tmp_path: Path):
    """A release server; call it with the checksum to publish (None: the right one)."""
    folder = tmp_path / "www" / f"v{prometheus.UPSTREAM_VERSION}"
    folder.mkdir(parents=True)
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0),
        lambda *a: _Quiet(*a, directory=str(tmp_path / "www")),  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def publish(checksum: str | None) -> str:
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        stem = f"prometheus-{prometheus.UPSTREAM_VERSION}.{platform.system().lower()}-{machine}"
        binary = b"#!/bin/sh\necho prometheus, version 3.5.0\n"
        with tarfile.open(folder / f"{stem}.tar.gz", "w:gz") as archive:
            for program in prometheus.PROGRAMS:
                entry = tarfile.TarInfo(f"{stem}/{program}")
                entry.size = len(binary)
                archive.addfile(entry, io.BytesIO(binary))
        content = (folder / f"{stem}.tar.gz").read_bytes()
        published = checksum or hashlib.sha256(content).hexdigest()
        (folder / "sha256sums.txt").write_text(f"{published}  {stem}.tar.gz\n")
        return f"http://127.0.0.1:{server.server_port}"

    yield publish
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """Neither Prometheus nor a package manager on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(prometheus, "HOMEBREWS", ())
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LAB_PROMETHEUS", raising=False)


def test_a_release_with_the_right_checksum_is_installed(upstream, tmp_path):
    said: list[str] = []
    binary = prometheus.ensure_prometheus(said.append, upstream=upstream(None))
    assert binary == tmp_path / "cache" / "prometheus" / "prometheus"
    assert binary.stat().st_mode & 0o111
    assert "upstream" in said[0]


def test_a_release_with_another_checksum_is_refused_and_nothing_is_left(upstream, tmp_path):
    with pytest.raises(NotReadyError) as caught:
        prometheus.ensure_prometheus(lambda _: None, upstream=upstream("0" * 64))
    assert "checksum" in caught.value.message
    assert "apt-get is not on this system" in caught.value.message
    assert "apt-get install prometheus" in caught.value.hint
    assert list((tmp_path / "cache" / "prometheus").iterdir()) == []


def test_what_is_there_is_used_without_fetching(tmp_path):
    binary = tmp_path / "cache" / "prometheus" / "prometheus"
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    assert prometheus.ensure_prometheus(lambda _: None, upstream="http://127.0.0.1:1") == binary
