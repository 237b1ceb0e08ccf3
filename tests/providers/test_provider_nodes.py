"""When a lost node is given up, and when its pods are: upstream's times, as lab time."""

from __future__ import annotations

import pytest

from lab.localkube.__main__ import parse
from lab.providers.local import node_options


@pytest.mark.parametrize(
    ("hour_seconds", "grace", "toleration"), [(60.0, 4.0, 5), (5.0, 4.0, 1), (3600.0, 40.0, 300)]
)
def test_the_times_follow_the_lab_hour(hour_seconds: float, grace: float, toleration: int) -> None:
    settings = parse(["--data-dir", "x", "--block", "7", *node_options(3, hour_seconds)])
    assert (settings.nodes, settings.node_grace, settings.toleration_seconds) == (3, grace, toleration)


def test_one_node_is_as_it_always_was() -> None:
    assert node_options(1, 60.0) == []


@pytest.mark.parametrize(
    "words",
    [("--nodes", "0"), ("--node-monitor-grace-period", "0.1"), ("--default-toleration-seconds", "-1")],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--data-dir", "x", "--block", "7", *words])
    assert words[0] in capsys.readouterr().err
