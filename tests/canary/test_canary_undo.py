"""Taking a change back: field by field, never over somebody else's later change."""

from __future__ import annotations

import copy

import pytest
from canary_stage import BEFORE, DIFF, record
from hypothesis import given
from hypothesis import strategies as st

from lab.canary.merge import MISSING, apply_diff, same, take_back, wanted
from lab.canary.undo import Kind, acted, change_of
from lab.core.audit import Decision
from lab.gateway.image import json_patch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c/d", "e~f"]), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.sampled_from(["spec", "data", "x"]), JSON, max_size=3)


@given(before=OBJECT, after=OBJECT)
def test_the_image_and_the_diff_of_the_audit_log_give_the_object_after(before, after):
    assert same(apply_diff(before, json_patch(before, after)), after)


@given(before=OBJECT, after=OBJECT)
def test_an_object_that_nobody_touched_since_becomes_exactly_what_it_was(before, after):
    merge = take_back(after, before, after)
    assert same(merge.value, before)
    assert merge.conflicts == []
    again = take_back(merge.value, before, after)
    assert same(again.value, before)
    if not same(before, after):
        assert (again.restored, again.conflicts) == ([], [])


@given(before=OBJECT, after=OBJECT, now=OBJECT)
def test_nothing_is_changed_but_what_is_as_the_automation_left_it(before, after, now):
    given = copy.deepcopy(now)
    merge = take_back(now, before, after)
    assert same(now, given)
    if same(merge.value, now):
        return
    assert merge.restored
    for key in set(now) | set(before) | set(after):
        if same(before.get(key, MISSING), after.get(key, MISSING)):
            assert same(merge.value.get(key, MISSING), now.get(key, MISSING))


def test_fields_of_others_stay_and_the_same_field_is_a_conflict():
    before = {"spec": {"replicas": 8, "paused": False}, "metadata": {"labels": {"a": "1"}}}
    after = {
        "spec": {"replicas": 2, "paused": True},
        "metadata": {"labels": {"a": "1"}, "annotations": {"auto": "yes"}},
    }
    now = {
        "spec": {"replicas": 5, "paused": True, "new": 1},
        "metadata": {"labels": {"a": "2"}, "annotations": {"auto": "yes", "ann": "was here"}},
    }
    merge = take_back(now, before, after)
    assert merge.value == {
        "spec": {"replicas": 5, "paused": False, "new": 1},
        "metadata": {"labels": {"a": "2"}, "annotations": {"ann": "was here"}},
    }
    assert merge.conflicts == ["/spec/replicas"]
    assert merge.restored == ["/spec/paused", "/metadata/annotations/auto"]


def test_a_container_is_found_by_its_name_and_not_by_its_place():
    def pod(*containers):
        return {"spec": {"containers": [{"name": name, "image": image} for name, image in containers]}}

    before, after = pod(("a", "1"), ("b", "1")), pod(("a", "1"), ("b", "2"))
    moved = take_back(pod(("b", "2"), ("a", "1")), before, after)
    assert moved.conflicts == ["/spec/containers"]
    other = take_back(pod(("a", "9"), ("b", "2")), before, after)
    assert (other.value, other.conflicts) == (pod(("a", "9"), ("b", "1")), [])


def test_false_is_not_zero_and_null_is_not_nothing():
    assert take_back({"a": False}, {"a": True}, {"a": 0}).conflicts == ["/a"]
    assert take_back({"a": None}, {}, {"a": None}).value is not None
    assert take_back({"b": 1, "a": None}, {"b": 1}, {"b": 1, "a": None}).value == {"b": 1}


def test_what_servers_write_is_not_wanted_by_anybody():
    obj = {
        "kind": "Deployment",
        "metadata": {
            "name": "x",
            "uid": "1",
            "generation": 4,
            "annotations": {"deployment.kubernetes.io/revision": "3"},
        },
        "spec": {},
        "status": {"replicas": 1},
    }
    assert wanted(obj) == {"kind": "Deployment", "metadata": {}, "spec": {}}


@pytest.mark.parametrize(
    ("more", "did"),
    [
        ({}, True),
        ({"dry_run": True}, False),
        ({"decision": Decision.SHADOWED}, False),
        ({"decision": Decision.REFUSED, "code": 403}, False),
        ({"code": 409}, False),
        ({"code": 503}, True),
        ({"code": 0}, True),
        ({"mutating": False, "verb": "get"}, False),
    ],
)
def test_only_what_happened_or_may_have_counts(more, did):
    assert acted(record(**more)) is did


@pytest.mark.parametrize(
    ("more", "kind", "says"),
    [
        ({"before": BEFORE, "diff": DIFF}, Kind.MODIFIED, ""),
        ({"before": BEFORE, "diff": DIFF, "subresource": "scale"}, Kind.MODIFIED, ""),
        ({"before": BEFORE, "diff": DIFF, "subresource": "status"}, Kind.NOTHING, "status"),
        ({"before": BEFORE, "verb": "delete"}, Kind.DELETED, ""),
        (
            {"before": BEFORE, "verb": "create", "subresource": "eviction", "resource": "pods", "code": 201},
            Kind.DELETED,
            "",
        ),
        ({"verb": "delete"}, Kind.LOST, "no image"),
        ({"diff": ({"op": "add", "path": "", "value": BEFORE},), "code": 201}, Kind.CREATED, ""),
        ({"diff": ({"op": "add", "path": "", "value": BEFORE},)}, Kind.LOST, "no image"),
        ({"before": BEFORE, "code": 503}, Kind.UNCERTAIN, ""),
        ({"before": BEFORE, "code": 0}, Kind.UNCERTAIN, ""),
        ({"before": BEFORE, "diff": DIFF, "code": 0}, Kind.MODIFIED, ""),
        (
            {"before": BEFORE, "diff": (*DIFF, {"op": "test", "path": "", "value": "cut"})},
            Kind.LOST,
            "too large",
        ),
        ({"before": BEFORE | {"cut": "larger than 65536 bytes"}}, Kind.LOST, "larger than"),
        ({"before": BEFORE, "diff": ({"op": "remove", "path": "/no/such"},)}, Kind.LOST, "does not fit"),
        ({"resource": "secrets", "group": "", "before": {"kind": "Secret"}}, Kind.LOST, "masks"),
        ({"verb": "deletecollection", "name": ""}, Kind.LOST, "only the names"),
        ({"verb": "create", "resource": "pods", "subresource": "exec"}, Kind.LOST, "exec"),
    ],
)
def test_what_a_record_did(more, kind, says):
    change = change_of(record(**more))
    assert change.kind is kind
    assert says in change.reason
