"""A workspace becomes a ConfigMap and comes back the same; nothing else gets in or out."""

import base64
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.automation.package import MAX_BYTES, decode_key, encode_key, package, unpack
from lab.errors import ConfigError

MANIFEST = """\
apiVersion: toil-lab/v1
kind: Automation
name: demo
runtime: {runtime}
entrypoint: {entrypoint}
"""

part = st.text(
    st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=8
).filter(lambda text: text not in (".", ".."))


@given(st.lists(part, min_size=1, max_size=4).map("/".join))
def test_keys_are_valid_and_come_back(path: str) -> None:
    key = encode_key(path)
    assert re.fullmatch(r"[-._a-zA-Z0-9]+", key)
    assert decode_key(key) == path


@given(st.text("_x25fa/", max_size=8), st.text("_x25fa/", max_size=8))
def test_keys_do_not_collide(one: str, other: str) -> None:
    assert (encode_key(one) == encode_key(other)) == (one == other)


def test_plain_names_stay() -> None:
    assert encode_key("my_module-2.py") == "my_module-2.py"
    assert encode_key("roles/a/main.yml") == "roles_x2fa_x2fmain.yml"


@pytest.mark.parametrize("key", ["_x2e_x2e_x2fa", "_x2fetc", "a_x2f_x2fb", "..", ".", "", "a_x00b", "a_x2f."])
def test_escaping_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        decode_key(key)


def workspace(folder: Path, runtime: str = "python", entrypoint: str = "main.py") -> Path:
    (folder / "automation.yaml").write_text(MANIFEST.format(runtime=runtime, entrypoint=entrypoint))
    (folder / entrypoint).parent.mkdir(parents=True, exist_ok=True)
    (folder / entrypoint).write_text("#!/bin/sh\necho hello\n")
    return folder


def mount(folder: Path, source: Path) -> Path:
    """Write the package as a kubelet mounts it."""
    _, config_map = package(source)
    folder.mkdir()
    for key, text in config_map["data"].items():
        (folder / key).write_text(text)
    for key, encoded in config_map.get("binaryData", {}).items():
        (folder / key).write_bytes(base64.b64decode(encoded))
    return folder


def test_round_trip_keeps_folders_and_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "roles/fix/tasks").mkdir(parents=True)
    workspace(source, "executable", "bin/run")
    (source / "roles/fix/tasks/main.yml").write_text("- debug:\n")
    (source / "table.bin").write_bytes(bytes(range(256)))
    (source / "__pycache__").mkdir()
    (source / "__pycache__/x.pyc").write_bytes(b"\x00")
    (source / ".git").mkdir()
    (source / ".git/config").write_text("secret")
    target = tmp_path / "target"
    automation = unpack(mount(tmp_path / "mounted", source), target)
    assert automation.name == "demo"
    files = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert files == {"automation.yaml", "bin/run", "roles/fix/tasks/main.yml", "table.bin"}
    assert (target / "table.bin").read_bytes() == bytes(range(256))
    assert (target / "bin/run").stat().st_mode & 0o777 == 0o700
    assert (target / "table.bin").stat().st_mode & 0o777 == 0o600


def test_links_and_special_files_are_refused(tmp_path: Path) -> None:
    workspace(tmp_path)
    (tmp_path / "passwords").symlink_to("/etc/passwd")
    (tmp_path / "everything").symlink_to("/etc")
    with pytest.raises(ConfigError) as caught:
        package(tmp_path)
    assert len(caught.value.problems) == 2
    assert "symbolic link" in str(caught.value)


def test_too_large_names_the_largest(tmp_path: Path) -> None:
    workspace(tmp_path)
    (tmp_path / "dump.sql").write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=r"1\.0 MiB in all.*dump\.sql"):
        package(tmp_path)


def test_entry_point_must_be_packaged(tmp_path: Path) -> None:
    workspace(tmp_path, entrypoint="venv/main.py")
    with pytest.raises(ConfigError, match="left out"):
        package(tmp_path)


def test_too_many_files(tmp_path: Path) -> None:
    workspace(tmp_path)
    for number in range(501):
        (tmp_path / f"f{number}").touch()
    with pytest.raises(ConfigError, match="more than 500 files"):
        package(tmp_path)
