"""What a request for a log may ask, as upstream refuses it."""

from __future__ import annotations

import pytest
from multidict import MultiDict

from lab.kube.status import StatusError
from lab.localkube.api.podstreams import log_options


@pytest.mark.parametrize(
    ("query", "code", "sentence"),
    [
        ({"limitBytes": "0"}, 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "0"}, 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"tailLines": "-1"}, 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        (
            {"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"},
            422,
            "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        (
            {"sinceTime": "x"},
            400,
            'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
        ),
    ],
)
def test_refused(query: dict[str, str], code: int, sentence: str) -> None:
    with pytest.raises(StatusError) as refused:
        log_options(MultiDict(query), "p")
    assert refused.value.code == code
    assert refused.value.message == (f'PodLogOptions "p" is invalid: {sentence}' if code == 422 else sentence)


def test_nothing_is_asked_by_default() -> None:
    assert set(log_options(MultiDict(), "p").values()) == {None, False}
