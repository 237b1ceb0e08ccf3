"""The pure pieces: dry-run rewriting, images, settings."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.gateway.database import backend
from lab.gateway.dryrun import stores_nothing, to_dry_run
from lab.gateway.image import MAX_IMAGE_BYTES, MAX_OPERATIONS, bare, image, json_patch
from lab.gateway.settings import GatewaySettings
from lab.gateway.target import read_target
from lab.kube.status import StatusError
from lab.shop import database, warming

POD = "/api/v1/namespaces/shop/pods/w"
JSON = "application/json"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"gracePeriodSeconds": 5, "dryRun": []}'),
        ("application/json; charset=utf-8", b'{"gracePeriodSeconds": 5, "DRYRUN": ["x"]}'),
        ("application/yaml", b"gracePeriodSeconds: 5\ndryRun: []"),
        ("", b'{"gracePeriodSeconds": 5}'),
    ],
)
def test_delete_options_keep_all_but_the_dry_run(content_type: str, body: bytes) -> None:
    outgoing = to_dry_run(read_target("DELETE", f"{POD}?dryRun=&x=1"), body, content_type)
    assert outgoing.target.url == f"{POD}?x=1&dryRun=All"
    assert json.loads(outgoing.body) == {
        "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 5, "dryRun": ["All"],
    }  # fmt: skip
    assert stores_nothing(outgoing)


def test_a_protobuf_body_of_options_is_replaced_and_that_is_noted() -> None:
    outgoing = to_dry_run(
        read_target("DELETE", POD), b"k8s\x00anything", "application/vnd.kubernetes.protobuf"
    )
    assert json.loads(outgoing.body)["dryRun"] == ["All"]
    assert "replaced" in outgoing.note


def test_an_eviction_carries_it_in_its_options() -> None:
    given = {"kind": "Eviction", "metadata": {"name": "w"}, "deleteOptions": {"gracePeriodSeconds": 1}}
    outgoing = to_dry_run(read_target("POST", f"{POD}/eviction"), json.dumps(given).encode(), JSON)
    assert json.loads(outgoing.body)["deleteOptions"] == {
        "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 1, "dryRun": ["All"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        (JSON, b"[]", 400), (JSON, b"not json", 400), ("application/yaml", b"a: &a [1]\nb: *a", 400),
        ("application/yaml", b"{", 400), ("text/plain", b"{}", 415), ("application/cbor", b"\xa0", 415),
    ],
)  # fmt: skip
def test_options_that_cannot_be_read_are_refused(content_type: str, body: bytes, code: int) -> None:
    with pytest.raises(StatusError) as refused:
        to_dry_run(read_target("DELETE", POD), body, content_type)
    assert refused.value.code == code


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)
_objects = st.dictionaries(st.sampled_from(["spec", "status", "a/b", "~"]), _values)


@given(before=_objects, after=_objects)
def test_the_diff_makes_the_one_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    made = jsonpatch.apply_patch(before, json_patch(before, after))
    assert json.dumps(made, sort_keys=True) == json.dumps(after, sort_keys=True)


@pytest.mark.parametrize(("before", "after"), [([False], [0]), ([[True]], [[1]]), ({"a": 1}, {"a": True})])
def test_what_python_holds_for_equal_is_a_difference(before: object, after: object) -> None:
    assert json_patch({"status": before}, {"status": after})


def test_images_and_diffs_are_bounded() -> None:
    big = {
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "n"},
        "data": {"k": "x" * MAX_IMAGE_BYTES},
    }
    assert set(image(big)) == {"apiVersion", "kind", "metadata", "cut"}
    many = {f"k{n}": n for n in range(MAX_OPERATIONS * 3)}
    diff = json_patch({}, many)
    assert len(diff) == MAX_OPERATIONS + 1
    assert diff[-1] == {"op": "test", "path": "", "value": f"cut: {MAX_OPERATIONS * 2} more operations"}


def test_bookkeeping_is_no_difference() -> None:
    old = {"metadata": {"name": "a", "resourceVersion": "1", "managedFields": [1]}}
    new = {"metadata": {"name": "a", "resourceVersion": "2", "managedFields": []}}
    assert json_patch(old, new) == ()
    assert bare(old) == {"metadata": {"name": "a"}}


def test_settings_come_from_the_environment() -> None:
    settings = GatewaySettings.from_environment({"POD_IP": "127.0.0.9", "LAB_HOUR_SECONDS": "30"})
    assert (settings.host, settings.scale.hour_seconds, settings.port) == ("127.0.0.9", 30.0, 8443)
    with pytest.raises(UsageError, match="setting"):
        GatewaySettings.from_environment({"GATEWAY_LISTEN_PORT": "many"})


def test_nobody_waits_for_the_gateway_s_lock_in_the_shop_s_database() -> None:
    """They are numbers in one database, and the gateway holds its own for as long as it lives."""
    locks = [backend._LOCK, warming._LOCK, database._SCHEMA_LOCK]
    assert len(set(locks)) == len(locks)
