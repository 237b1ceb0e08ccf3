"""Service names in texts become cluster IPs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.core.clock import SystemClock
from lab.kube.resources import builtin
from lab.localkube.network.names import rewrite_hosts
from lab.localkube.registry.registry import open_registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Any]:
    opened = open_registry(
        tmp_path / "store", clock=SystemClock(), service_range=["127.9.200.1", "127.9.200.2"]
    )
    outside = {"type": "ExternalName", "externalName": "mail.example.com"}
    services = {"db": {"ports": [{"port": 5432}]}, "quiet": {"clusterIP": "None"}, "mail": outside}
    for name, spec in services.items():
        opened.create(builtin("Service"), "default", {"metadata": {"name": name}, "spec": spec})
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p@db.default.svc:5432/shop", "postgresql://u:p@127.9.200.1:5432/shop"),
        ("http://db.default.svc.cluster.local/x", "http://127.9.200.1/x"),
        ("db.default.svc", "127.9.200.1"),
        ("a=db.default.svc,b=db.default.svc.cluster.local.", "a=127.9.200.1,b=127.9.200.1"),
        ("See db.default.svc.", "See 127.9.200.1."),
        ("pod-1.db.default.svc", "pod-1.db.default.svc"),
        ("http://quiet-0.quiet.default.svc:80/", "http://127.9.1.5:80/"),
        ("quiet-0.quiet.default.svc.cluster.local", "127.9.1.5"),
        ("quiet-0.db.default.svc", "quiet-0.db.default.svc"),
        ("a.quiet-0.quiet.default.svc", "a.quiet-0.quiet.default.svc"),
        ("smtp://mail.default.svc:25", "smtp://mail.example.com:25"),
        ("x.mail.default.svc", "x.mail.default.svc"),
        ("db.other.svc", "db.other.svc"),
        ("nobody.default.svc:80", "nobody.default.svc:80"),
        ("quiet.default.svc", "quiet.default.svc"),
        ("db.default.svc.example.com", "db.default.svc.example.com"),
        ("db.default.svcs", "db.default.svcs"),
        ("nothing here", "nothing here"),
    ],
)
def test_rewrite(registry: Any, text: str, expected: str) -> None:
    addresses = {"quiet-0.quiet.default": "127.9.1.5"}
    assert rewrite_hosts(text, registry, addresses.__getitem__) == expected
