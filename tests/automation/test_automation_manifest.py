"""automation.yaml: what is accepted, and that every problem is reported at once."""

from pathlib import Path

import pytest

from lab.automation.intended import intended_kubeconfig
from lab.automation.manifest import Runtime, load_automation, parse_automation
from lab.errors import ConfigError
from lab.kube.kubeconfig import load_kubeconfig, write_kubeconfig

GOOD = {
    "apiVersion": "toil-lab/v1",
    "kind": "Automation",
    "name": "restart-hung-workers",
    "runtime": "python",
    "entrypoint": "main.py",
}


def test_complete_document_is_read() -> None:
    automation, problems = parse_automation(
        GOOD | {"args": ["--fast", 3, True], "every": 5, "env": {"LIMIT": 2, "LEVEL": "debug"}}
    )
    assert problems == []
    assert automation is not None
    assert automation.runtime is Runtime.PYTHON
    assert automation.args == ("--fast", "3", "true")
    assert automation.env == {"LIMIT": "2", "LEVEL": "debug"}
    assert automation.every == 5.0


def test_every_problem_is_reported() -> None:
    automation, problems = parse_automation(
        {
            "apiVersion": "v2",
            "kind": "Job",
            "name": "Bad Name",
            "runtime": "perl",
            "entrypoint": "../x",
            "args": "no",
            "every": 0,
            "env": {"PATH": "/x"},
            "shadowReads": "wished",
            "extra": 1,
        }
    )
    assert automation is None
    text = "\n".join(problems)
    assert len(problems) == 10
    for part in (
        "'extra'",
        "apiVersion",
        "kind",
        "name",
        "perl",
        "entrypoint",
        "args",
        "every",
        "PATH",
        "shadowReads",
    ):
        assert part in text


def test_reads_show_what_is_stored_unless_asked() -> None:
    for given, wanted in (({}, "stored"), ({"shadowReads": "intended"}, "intended")):
        automation, problems = parse_automation(GOOD | given)
        assert problems == []
        assert automation is not None
        assert automation.shadow_reads == wanted


def test_the_intended_view_is_part_of_the_server_s_address(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    write_kubeconfig(source, "https://127.0.0.1:8443", b"ca", "token", namespace="shop")
    shown = load_kubeconfig(intended_kubeconfig(source, target))
    assert (shown.server, shown.token) == ("https://127.0.0.1:8443/view/intended", "token")
    assert target.stat().st_mode & 0o077 == 0
    source.write_text("clusters: 3")
    with pytest.raises(ConfigError, match="kubeconfig"):
        intended_kubeconfig(source, target)


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_not_a_mapping(document: object) -> None:
    automation, problems = parse_automation(document)
    assert automation is None
    assert "mapping" in problems[0]


@pytest.mark.parametrize(
    "change",
    [
        {"entrypoint": "/etc/passwd"},
        {"entrypoint": "a/../../b"},
        {"entrypoint": ""},
        {"every": True},
        {"every": "2"},
        {"every": 1e9},
        {"args": [{"a": 1}]},
        {"env": {"1X": "a"}},
        {"env": {"X": ["a"]}},
        {"env": {"X": "a\x00b"}},
        {"runtime": ["python"]},
    ],
)
def test_refused_values(change: dict[str, object]) -> None:
    automation, problems = parse_automation(GOOD | change)
    assert automation is None
    assert len(problems) == 1


def write(folder: Path, text: str) -> Path:
    (folder / "automation.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not YAML"),
        ("\x00\x01", "not YAML"),
        ("[" * 20000, "automation.yaml"),
        ("x: " + "a" * 70000, "larger than"),
        ("!!python/object/apply:os.system [ls]", "not YAML"),
        ("name: x", "not valid"),
    ],
)
def test_broken_files_are_config_errors(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_automation(write(tmp_path, text))
    assert said in caught.value.message


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        load_automation(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"no automation\.yaml"):
        load_automation(tmp_path)
    lines = "\n".join(f"{key}: {value}" for key, value in GOOD.items())
    with pytest.raises(ConfigError, match=r"main\.py' is not a file"):
        load_automation(write(tmp_path, lines))
    (tmp_path / "main.sh").write_text("")
    with pytest.raises(ConfigError, match=r"must end in \.py"):
        load_automation(write(tmp_path, lines.replace("main.py", "main.sh")))
