"""What the server proves itself with and signs by; made once, kept in the data directory as 0600.

    python -m lab.localkube.credentials DIRECTORY HOST

makes the certificates that are missing. It is a process of its own, as the library for it weighs ten MiB that
the server would keep.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError

_DAYS = 3650


class Credentials:
    """Reads the certificates that `certificates_made` has made; makes the tokens."""

    def __init__(self, directory: Path, host: str) -> None:
        self.ca_file = directory / "ca.crt"
        self.ca_pem = self.ca_file.read_bytes()
        self.admin_token = _secret(directory / "admin.token", 32).decode()
        self.signing_key = _secret(directory / "token.key", 32)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(_serving(directory, host))


@contextlib.contextmanager
def certificates_made(directory: Path, host: str) -> Iterator[None]:
    """Make the certificates that are missing beside what the block does; they are there when it ends.

    Raises LabError when they cannot be made.
    """
    if all(file.exists() for file in (*_authority(directory), _serving(directory, host))):
        yield
        return
    directory.mkdir(mode=0o700, exist_ok=True)
    maker = subprocess.Popen(
        [sys.executable, "-m", "lab.localkube.credentials", str(directory), host],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=own_environment(),
        text=True,
    )
    try:
        yield
    finally:
        said = maker.communicate()[1].strip()
    if maker.returncode:
        why = said.rpartition("\n")[2] or f"exit {maker.returncode}"
        raise LabError(f"cannot make certificates in {directory}: {why}")


def own_environment() -> dict[str, str]:
    """The environment in which a new Python finds this package, wherever it was started."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}


def make_certificates(directory: Path, host: str) -> None:
    """Make the authority and the serving certificate for an address, unless they are there."""
    from lab.kube.pki import Authority, new_authority

    certificate, key = _authority(directory)
    if not (certificate.exists() and key.exists()):
        made = new_authority("localkube")
        write_private(key, made.key_pem)
        write_private(certificate, made.cert_pem)
    serving = _serving(directory, host)
    if not serving.exists():
        authority = Authority(certificate.read_bytes(), key.read_bytes())
        pair = authority.issue(
            "kube-apiserver", dns_names=_dns_names(), ip_addresses=[host, "127.0.0.1"], days=_DAYS
        )
        write_private(serving, b"".join(pair))


def write_private(path: Path, content: bytes) -> None:
    """Write a whole file or none, readable by its owner only."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)


def _authority(directory: Path) -> tuple[Path, Path]:
    return directory / "ca.crt", directory / "ca.key"


def _serving(directory: Path, host: str) -> Path:
    return directory / f"serving-{host}.pem"


def _dns_names() -> list[str]:
    name, names = "kubernetes", ["localhost"]
    for part in ("", ".default", ".svc", ".cluster", ".local"):
        name += part
        names.append(name)
    return names


def _secret(path: Path, size: int) -> bytes:
    if not path.exists():
        write_private(path, secrets.token_urlsafe(size).encode())
    return path.read_bytes()


if __name__ == "__main__":
    make_certificates(Path(sys.argv[1]), sys.argv[2])
