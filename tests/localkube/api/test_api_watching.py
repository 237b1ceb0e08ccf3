"""How events become lines: encoded once, several in one piece."""

from __future__ import annotations

from lab.localkube.api import watching


def test_an_event_is_encoded_once_for_all_watches() -> None:
    encoded, obj = watching._Encoded(), {"kind": "Pod"}
    line = encoded.line("ADDED", obj)
    assert line == b'{"type":"ADDED","object":{"kind":"Pod"}}\n'
    assert encoded.line("ADDED", obj) is line
    assert encoded.line("MODIFIED", obj) == b'{"type":"MODIFIED","object":{"kind":"Pod"}}\n'
    assert encoded.line("ADDED", {"kind": "Pod"}) is not line


def test_old_lines_are_forgotten() -> None:
    encoded, objects = watching._Encoded(), [{"number": number} for number in range(watching.REMEMBERED + 5)]
    for obj in objects:
        encoded.line("ADDED", obj)
    assert len(encoded._lines) == watching.REMEMBERED
    assert encoded.line("ADDED", objects[0]) == b'{"type":"ADDED","object":{"number":0}}\n'
