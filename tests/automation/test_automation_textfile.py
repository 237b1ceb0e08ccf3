"""The textfile convention: valid files are merged, the others are left out and said."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from lab.automation.textfile import Merged, _add, merge

GOOD = """\
# HELP toil_remediations_total Remediations
# TYPE toil_remediations_total counter
toil_remediations_total{result="success"} 3
toil_remediations_total{result="fail\\"ure\\n"} 1
# TYPE toil_auto_success_rate gauge
toil_auto_success_rate 0.75
"""


def test_files_are_merged(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text(GOOD)
    (tmp_path / "b.prom").write_text("queue_length 3\nratio NaN\nmost +Inf\n")
    (tmp_path / "c.txt").write_text("not a metric file")
    merged = merge(tmp_path)
    assert merged.errors == {}
    text = merged.text()
    assert 'toil_remediations_total{result="success"} 3.0' in text
    assert "# TYPE toil_remediations_total counter" in text
    assert "most +Inf" in text
    values = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
    assert values["toil_auto_success_rate"] == 0.75


def test_histogram_survives(tmp_path: Path) -> None:
    text = "# TYPE took_seconds histogram\n" + "".join(
        f"took_seconds_{line}\n" for line in ('bucket{le="1"} 2', 'bucket{le="+Inf"} 3', "sum 4", "count 3")
    )
    (tmp_path / "a.prom").write_text(text)
    merged = merge(tmp_path)
    assert merged.errors == {}
    assert "took_seconds_count 3.0" in merged.text()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "decode"),
        (b"no value here\n", ""),
        (b"late 1 1700000000000\n", "time of its own"),
        (b"toil_automation_up 1\n", "may export"),
        (b"a 1\na 2\n", "twice"),
        (b'a{__name__="b"} 1\n', ""),
        (b'a{x="' + b"y" * 600 + b'"} 1\n', "label"),
        (b"".join(b"m%d 1\n" % n for n in range(6000)), "more than 5000"),
        (b"x" * (1024 * 1024 + 1), "larger than"),
    ],
)
def test_bad_file_is_left_out(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "bad.prom").write_bytes(content)
    (tmp_path / "good.prom").write_text("fine 1\n")
    merged = merge(tmp_path)
    assert list(merged.errors) == ["bad.prom"]
    assert said in merged.errors["bad.prom"]
    assert merged.text() == "# TYPE fine untyped\nfine 1.0\n"


def test_special_files_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.prom")
    (tmp_path / "link.prom").symlink_to("/etc/passwd")
    (tmp_path / "folder.prom").mkdir()
    merged = merge(tmp_path)
    assert set(merged.errors) == {"pipe.prom", "link.prom", "folder.prom"}


def test_same_family_in_two_files_keeps_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("x 1\n")
    (tmp_path / "b.prom").write_text("x 2\ny 1\n")
    merged = merge(tmp_path)
    assert list(merged.errors) == ["b.prom"]
    assert merged.text() == "# TYPE x untyped\nx 1.0\n"


def test_missing_directory_is_said(tmp_path: Path) -> None:
    assert "(directory)" in merge(tmp_path / "none").errors


@given(st.text(max_size=200))
def test_any_text_gives_a_valid_exposition_or_an_error(text: str) -> None:
    merged = Merged()
    try:
        _add(merged, text)
    except (ValueError, LookupError, TypeError, AttributeError):
        assert merged.text() == ""
    else:
        list(text_string_to_metric_families(merged.text()))
