import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kube.patch import (
    MalformedPatchError,
    PatchError,
    json_patch,
    merge_patch,
)
from lab.kube.schema import definition_for
from lab.kube.strategic import strategic_merge_patch

DEPLOYMENT = definition_for("apps", "v1", "Deployment")
POD = definition_for("", "v1", "Pod")


def pod(containers: list, **spec: object) -> dict:
    return {"spec": {"containers": containers, **spec}}


def containers(document: dict) -> list:
    return document["spec"]["containers"]


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([{"op": "add", "path": "/b", "value": 2}], {"a": 1, "l": [1], "b": 2}),
        ([{"op": "add", "path": "/l/-", "value": 2}], {"a": 1, "l": [1, 2]}),
        ([{"op": "remove", "path": "/a"}], {"l": [1]}),
        (
            [{"op": "test", "path": "/a", "value": 1}, {"op": "replace", "path": "/a", "value": 5}],
            {"a": 5, "l": [1]},
        ),
        ([{"op": "move", "from": "/a", "path": "/c"}], {"c": 1, "l": [1]}),
        ([{"op": "copy", "from": "/a", "path": "/c"}], {"a": 1, "c": 1, "l": [1]}),
    ],
)
def test_json_patch(operations: list, result: dict) -> None:
    document = {"a": 1, "l": [1]}
    assert json_patch(document, operations) == result
    assert document == {"a": 1, "l": [1]}


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "remove", "path": "/missing"}],
        [{"op": "add", "path": "/x/y/z", "value": 1}],
        [{"op": "add", "path": "/l/9", "value": 1}],
        [{"op": "nonsense", "path": "/a"}],
        [{"path": "/a"}],
    ],
)
def test_json_patch_that_does_not_apply(operations: list) -> None:
    with pytest.raises(PatchError):
        json_patch({"a": 1, "l": [1]}, operations)


@pytest.mark.parametrize("operations", [{}, "x", [1], None])
def test_what_is_no_json_patch(operations: object) -> None:
    with pytest.raises(MalformedPatchError):
        json_patch({}, operations)


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [  # the table of RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(document: object, patch: object, result: object) -> None:
    assert merge_patch(document, patch) == result


def test_lists_merge_by_key() -> None:
    document = pod([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])
    patched = strategic_merge_patch(
        document, pod([{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]), POD
    )
    assert containers(patched) == [
        {"name": "a", "image": "1"},
        {"name": "b", "image": "2"},
        {"name": "c", "image": "3"},
    ]
    assert containers(document)[1]["image"] == "1"


def test_element_is_deleted_by_key() -> None:
    document = pod([{"name": "a"}, {"name": "b"}])
    patched = strategic_merge_patch(document, pod([{"name": "a", "$patch": "delete"}]), POD)
    assert containers(patched) == [{"name": "b"}]


def test_list_is_replaced_on_request() -> None:
    document = pod([{"name": "a"}, {"name": "b"}])
    patched = strategic_merge_patch(document, pod([{"name": "c"}, {"$patch": "replace"}]), POD)
    assert containers(patched) == [{"name": "c"}]


def test_map_is_replaced_or_deleted_on_request() -> None:
    document = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    replaced = strategic_merge_patch(document, {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}, POD)
    assert replaced == {"metadata": {"labels": {"c": "3"}}}
    deleted = strategic_merge_patch(document, {"metadata": {"labels": {"$patch": "delete"}}}, POD)
    assert deleted == {"metadata": {"labels": {}}}


def test_null_deletes() -> None:
    document = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    patch = {"metadata": {"labels": {"a": None, "missing": None}}}
    assert strategic_merge_patch(document, patch, POD) == {"metadata": {"labels": {"b": "2"}}}


def test_order_of_elements_follows_the_directive() -> None:
    document = pod([{"name": "a"}, {"name": "server"}, {"name": "b"}])
    patch = pod([{"name": "b", "image": "x"}])
    patch["spec"]["$setElementOrder/containers"] = [{"name": "b"}, {"name": "a"}]
    names = [item["name"] for item in containers(strategic_merge_patch(document, patch, POD))]
    assert names == ["server", "b", "a"]


def test_order_must_name_every_patched_element() -> None:
    patch = pod([{"name": "b"}])
    patch["spec"]["$setElementOrder/containers"] = [{"name": "a"}]
    with pytest.raises(PatchError, match="setElementOrder"):
        strategic_merge_patch(pod([]), patch, POD)


def test_primitive_lists_merge_and_shrink() -> None:
    document = {"metadata": {"finalizers": ["a", "b"]}}
    grown = strategic_merge_patch(document, {"metadata": {"finalizers": ["b", "c"]}}, POD)
    assert grown["metadata"]["finalizers"] == ["a", "b", "c"]
    shrunk = strategic_merge_patch(
        document, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, POD
    )
    assert shrunk["metadata"]["finalizers"] == ["b"]


def test_atomic_lists_are_replaced() -> None:
    document = pod([{"name": "a", "args": ["1", "2"]}])
    patched = strategic_merge_patch(document, pod([{"name": "a", "args": ["3"]}]), POD)
    assert containers(patched)[0]["args"] == ["3"]


def test_retain_keys_drops_the_others() -> None:
    document = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(document, patch, DEPLOYMENT)["spec"]["strategy"] == {"type": "Recreate"}


def test_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(PatchError, match="merge key: name"):
        strategic_merge_patch(pod([]), pod([{"image": "x"}]), POD)


def test_directives_of_new_elements_are_not_kept() -> None:
    patch = pod(
        [{"name": "a", "env": [{"name": "X", "value": "1"}], "$setElementOrder/env": [{"name": "X"}]}]
    )
    assert containers(strategic_merge_patch({"spec": {}}, patch, POD)) == [
        {"name": "a", "env": [{"name": "X", "value": "1"}]}
    ]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
_objects = st.dictionaries(st.text(max_size=3), _json, max_size=4)


@given(_objects, _objects)
def test_merge_patch_settles_and_is_pure(document: dict, patch: dict) -> None:
    before = copy.deepcopy(document)
    twice = merge_patch(merge_patch(document, patch), patch)
    assert merge_patch(twice, patch) == twice
    assert document == before


_names = st.sampled_from(["a", "b", "c", "d"])
_containers = st.lists(
    st.fixed_dictionaries({"name": _names, "image": st.text(max_size=3)}),
    max_size=4,
    unique_by=lambda item: item["name"],
)


@given(_containers, _containers)
def test_strategic_merge_keeps_every_name_once_and_the_patch_wins(have: list, want: list) -> None:
    document = pod(have)
    patched = containers(strategic_merge_patch(document, pod(want), POD))
    names = [item["name"] for item in patched]
    assert sorted(names) == sorted({item["name"] for item in (*have, *want)})
    images = {item["name"]: item["image"] for item in patched}
    assert all(images[item["name"]] == item["image"] for item in want)
    again = strategic_merge_patch(pod(patched), pod(want), POD)
    assert containers(again) == patched
    assert document == pod(have)


@given(_containers.filter(bool), st.permutations(["a", "b", "c", "d"]))
def test_full_order_directive_sorts_the_list(have: list, order: list) -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": name} for name in order]}}
    names = [item["name"] for item in containers(strategic_merge_patch(pod(have), patch, POD))]
    assert names == [name for name in order if name in names]
