"""Autoscalers look as often as the lab's time asks, within reason."""

from __future__ import annotations

import pytest

from lab.localkube.__main__ import parse
from lab.providers.local import scaling_options


@pytest.mark.parametrize(
    ("hour_seconds", "sync", "window"), [(60.0, 3.0, 5.0), (1800.0, 7.5, 7.5), (3600.0, 15.0, 15.0)]
)
def test_autoscalers_follow_the_time_scale(hour_seconds: float, sync: float, window: float) -> None:
    settings = parse(["--data-dir", "x", "--block", "7", *scaling_options(hour_seconds)])
    assert (settings.autoscaler_sync, settings.metrics_window) == (sync, window)


@pytest.mark.parametrize("option", ["--autoscaler-sync=0.5", "--metrics-window=31", "--metrics-window=0"])
def test_what_cannot_be_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--data-dir", "x", "--block", "7", option])
    assert ended.value.code == 2
    assert "must be" in capsys.readouterr().err
