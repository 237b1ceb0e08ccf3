"""The log store: the same logs for the same seed, a past at once, and growth by lab hours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.s3.models import s3_backends
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock, TimeScale
from lab.shop.logstore import (
    BUCKET,
    DAYS_AT_START,
    EVERY_HOURS,
    SERVICES,
    Writer,
    client_of,
    content_of,
    key_of,
    start_store,
)


@pytest.fixture
def store() -> Iterator[str]:
    s3_backends.reset()  # moto keeps its buckets for the whole process
    server = start_store("127.0.0.1", 0, "gateway", "secret", SystemClock())
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def sample(registry: CollectorRegistry, name: str) -> Any:
    return registry.get_sample_value(name)


def test_the_past_is_there_and_grows(store: str) -> None:
    client, registry = client_of(store, "gateway", "secret"), CollectorRegistry()
    writer = Writer(client, 5, TimeScale(60), registry)
    writer.begin()
    writer.measure()
    past = DAYS_AT_START * 24 // EVERY_HOURS * len(SERVICES)
    assert sample(registry, "shop_logstore_objects") == past
    size = sample(registry, "shop_logstore_bytes")
    writer.write()
    writer.measure()
    assert sample(registry, "shop_logstore_objects") == past + len(SERVICES)
    assert sample(registry, "shop_logstore_bytes") > size
    key = key_of("api", EVERY_HOURS)
    assert key == "api/2030-01-01/04.log"
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == content_of(5, "api", EVERY_HOURS)


def test_only_the_gateways_key_gets_in(store: str) -> None:
    for key, secret in (("gateway", "another"), ("automation", "secret")):
        with pytest.raises(ClientError) as refused:
            client_of(store, key, secret).list_buckets()
        assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_the_seed_alone_decides_what_a_log_holds() -> None:
    assert content_of(1, "api", 4) == content_of(1, "api", 4) != content_of(2, "api", 4)
    assert 200 <= len(content_of(1, "worker", 8)) <= 2100
