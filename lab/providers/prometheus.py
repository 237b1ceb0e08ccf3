"""Getting the real Prometheus into the lab's cache, when there is none on PATH.

In this order: the system's package, fetched and unpacked without root and without leaving a service running;
Homebrew, whose binary is linked into the cache, because its folder need not be on PATH; upstream's release,
checked against the checksums that upstream publishes beside it.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lab.core.places import cache_home
from lab.errors import NotReadyError
from lab.localkube.images.launch import StartError
from lab.localkube.images.prometheus import find_prometheus
from lab.process import RunError, run

UPSTREAM_VERSION = "3.5.0"
UPSTREAM = "https://github.com/prometheus/prometheus/releases/download"
FETCH_SECONDS = 300.0
PROGRAMS = ("promtool", "prometheus")
HOMEBREWS = (
    Path("/opt/homebrew/bin/brew"),  # Apple silicon
    Path("/usr/local/bin/brew"),  # Intel
    Path("/home/linuxbrew/.linuxbrew/bin/brew"),
)
"""Where Homebrew lives when its folder is not on PATH."""

Say = Callable[[str], None]


def installed_prometheus() -> Path | None:
    """The binary that a lab would use: LAB_PROMETHEUS, then PATH, then the cache; None when there is none."""
    try:
        return find_prometheus()
    except StartError:
        return None


def ensure_prometheus(say: Say, *, upstream: str = UPSTREAM) -> Path:
    """The Prometheus binary, fetched into the cache if need be.

    Raises NotReadyError with what was tried and how to install one by hand.
    """
    found = installed_prometheus()
    if found is not None:
        return found
    tried: list[str] = []
    for way in (_system_package, _homebrew, lambda target: _release(target, upstream)):
        target = cache_home() / "prometheus"
        target.mkdir(parents=True, exist_ok=True)
        try:
            what = way(target)
        except (RunError, NotReadyError, OSError, tarfile.TarError) as error:
            tried.append(" ".join(str(error).split())[:300])
            continue
        say(f"prometheus: {what}")
        found = installed_prometheus()
        if found is not None:
            return found
    raise NotReadyError(
        "there is no Prometheus and it could not be fetched:" + "".join(f"\n  - {line}" for line in tried),
        hint="install it (Debian: apt-get install prometheus; macOS: brew install prometheus) and try again",
    )


def _system_package(target: Path) -> str:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise NotReadyError(f"{tool} is not on this system")
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        run(["apt-get", "download", "prometheus"], timeout=FETCH_SECONDS, cwd=Path(scratch))
        (package,) = Path(scratch).glob("prometheus_*.deb")
        run(["dpkg", "-x", str(package), scratch], timeout=FETCH_SECONDS)
        _install(Path(scratch) / "usr" / "bin", target)
        return f"unpacked {package.name} into the cache"


def _homebrew(target: Path) -> str:
    brew = shutil.which("brew") or next((str(path) for path in HOMEBREWS if path.is_file()), None)
    if brew is None:
        raise NotReadyError("brew is not on this system")
    # Homebrew's own link to the formula: it follows upgrades, and exists whether or not `brew link` does.
    formula = Path(run([brew, "--prefix", "prometheus"], timeout=FETCH_SECONDS).stdout.strip())
    what = "found in Homebrew"
    if not (formula / "bin" / "prometheus").is_file():
        run([brew, "install", "prometheus"], timeout=FETCH_SECONDS)
        what = "installed by Homebrew"
    if not (formula / "bin" / "prometheus").is_file():
        raise NotReadyError(f"brew installed prometheus, but {formula}/bin holds none")
    for program in PROGRAMS:
        if (formula / "bin" / program).is_file():
            (target / program).unlink(missing_ok=True)
            (target / program).symlink_to(formula / "bin" / program)
    return what


def _release(target: Path, upstream: str) -> str:
    """Fetch upstream's tarball and hold it against upstream's sha256sums.txt before unpacking."""
    system = platform.system().lower()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    stem = f"prometheus-{UPSTREAM_VERSION}.{system}-{machine}"
    base = f"{upstream}/v{UPSTREAM_VERSION}"
    sums = _download(f"{base}/sha256sums.txt").decode()
    wanted = next((line.split()[0] for line in sums.splitlines() if line.endswith(f"{stem}.tar.gz")), None)
    if wanted is None:
        raise NotReadyError(f"upstream has no {stem}.tar.gz")
    content = _download(f"{base}/{stem}.tar.gz")
    if hashlib.sha256(content).hexdigest() != wanted:
        raise NotReadyError(f"{stem}.tar.gz does not have the checksum that upstream publishes")
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        archive = Path(scratch) / "release.tar.gz"
        archive.write_bytes(content)
        with tarfile.open(archive) as opened:
            for program in PROGRAMS:  # upstream has both in one archive
                opened.extract(f"{stem}/{program}", scratch, filter="data")
        _install(Path(scratch) / stem, target)
    return f"fetched upstream's {UPSTREAM_VERSION} into the cache"


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, TimeoutError) as error:
        raise NotReadyError(f"{url}: {error}") from error


def _install(source: Path, target: Path) -> None:
    """Move the programs into the cache. Newer Debian packages promtool apart; a lab runs without it."""
    for program in PROGRAMS:
        if program != "prometheus" and not (source / program).exists():
            continue
        (source / program).chmod(0o755)
        (source / program).replace(target / program)
