"""Homebrew's way: a scripted brew that installs into a keg and links into its prefix, as Homebrew does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.errors import NotReadyError
from lab.localkube.images.prometheus import find_prometheus
from lab.providers import prometheus

NOWHERE = "http://127.0.0.1:1"
BREW = """\
#!/bin/sh
PATH=/usr/bin:/bin
prefix=%s
keg=Cellar/prometheus/${VERSION:-3.5.0}
echo "$*" >> "$prefix/asked"
case "$*" in
--prefix) echo "$prefix" ;;
"--prefix prometheus") echo "$prefix/opt/prometheus" ;;
"install prometheus" | "upgrade prometheus")
    if [ -e "$prefix/refuses" ]; then
        echo "Error: Running Homebrew as root is extremely dangerous and no longer supported." >&2
        exit 1
    fi
    rm -rf "$prefix/Cellar/prometheus"
    mkdir -p "$prefix/$keg/bin" "$prefix/opt" "$prefix/bin"
    for program in prometheus promtool; do
        [ -e "$prefix/empty" ] && continue
        printf '#!/bin/sh\\necho %%s, version %%s\\n' "$program" "${keg##*/}" > "$prefix/$keg/bin/$program"
        chmod 755 "$prefix/$keg/bin/$program"
        ln -sfn "../$keg/bin/$program" "$prefix/bin/$program"
    done
    ln -sfn "../$keg" "$prefix/opt/prometheus"
    ;;
*) echo "Error: Unknown command: $1" >&2; exit 1 ;;
esac
"""


class Homebrew:
    """A prefix with its brew."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.brew = prefix / "bin" / "brew"
        self.brew.parent.mkdir(parents=True)
        self.brew.write_text(BREW % prefix)
        self.brew.chmod(0o755)

    def asked(self) -> list[str]:
        return (self.prefix / "asked").read_text().splitlines()


@pytest.fixture
def homebrew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Homebrew:
    """Homebrew as on Apple silicon: its folder is not on PATH, and nothing else is there."""
    made = Homebrew(tmp_path / "opt" / "homebrew")
    monkeypatch.setattr(prometheus, "HOMEBREWS", (tmp_path / "usr" / "local" / "bin" / "brew", made.brew))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LAB_PROMETHEUS", raising=False)
    return made


def ensure() -> tuple[Path, list[str]]:
    said: list[str] = []
    return prometheus.ensure_prometheus(said.append, upstream=NOWHERE), said


def test_it_is_found_though_the_prefix_is_not_on_path(homebrew: Homebrew, tmp_path: Path) -> None:
    binary, said = ensure()
    assert said == ["prometheus: installed by Homebrew"]
    assert binary == tmp_path / "cache" / "prometheus" / "prometheus"
    assert binary.resolve() == homebrew.prefix / "Cellar" / "prometheus" / "3.5.0" / "bin" / "prometheus"
    assert (binary.parent / "promtool").resolve().is_file()
    assert find_prometheus() == binary


def test_a_brew_on_path_alone_is_enough(
    homebrew: Homebrew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "brew").symlink_to(homebrew.brew)
    monkeypatch.setattr(prometheus, "HOMEBREWS", ())
    monkeypatch.setenv("PATH", str(shims))
    binary, _ = ensure()
    assert binary == tmp_path / "cache" / "prometheus" / "prometheus"


def test_with_the_prefix_on_path_the_linked_binary_is_used(
    homebrew: Homebrew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(homebrew.brew.parent))
    binary, _ = ensure()
    assert binary == homebrew.brew.parent / "prometheus"


def test_what_homebrew_has_already_is_not_installed_again(homebrew: Homebrew, tmp_path: Path) -> None:
    ensure()
    shutil.rmtree(tmp_path / "cache")
    binary, said = ensure()
    assert binary.is_file()
    assert said == ["prometheus: found in Homebrew"]
    assert homebrew.asked().count("install prometheus") == 1


def test_an_upgrade_is_followed(homebrew: Homebrew, monkeypatch: pytest.MonkeyPatch) -> None:
    binary, _ = ensure()
    monkeypatch.setenv("VERSION", "3.6.0")
    prometheus.run([str(homebrew.brew), "upgrade", "prometheus"], timeout=10)
    assert find_prometheus() == binary
    assert binary.resolve().parts[-3] == "3.6.0"


def test_after_an_uninstall_it_is_fetched_again(homebrew: Homebrew) -> None:
    binary, _ = ensure()
    shutil.rmtree(homebrew.prefix / "Cellar")
    assert prometheus.installed_prometheus() is None
    assert ensure()[0] == binary
    assert homebrew.asked().count("install prometheus") == 2


@pytest.mark.parametrize(
    ("obstacle", "says"),
    [("refuses", "Running Homebrew as root"), ("empty", "opt/prometheus/bin holds none")],
)
def test_what_homebrew_cannot_do_is_said(homebrew: Homebrew, obstacle: str, says: str) -> None:
    (homebrew.prefix / obstacle).touch()
    with pytest.raises(NotReadyError) as caught:
        ensure()
    assert says in caught.value.message
    assert "apt-get is not on this system" in caught.value.message
    assert "brew install prometheus" in caught.value.hint
