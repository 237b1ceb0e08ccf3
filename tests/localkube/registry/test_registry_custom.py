"""Custom resources: definitions as they are refused and served, objects as they are completed and judged."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from registry_custom import simple, widgets

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import WriteOptions
from lab.localkube.registry.custom.patterns import compiled_pattern
from lab.localkube.registry.registry import LocalRegistry
from lab.localkube.registry.scale import scale_of

DEFINITIONS = builtin("CustomResourceDefinition")
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
APPLY, JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"
MINE = WriteOptions(field_manager="me")


def establish(registry: LocalRegistry, definition: dict[str, Any]) -> KubeObject:
    """Create a definition, and accept its names as its controller would."""
    made = copy.deepcopy(registry.create(DEFINITIONS, "", definition))
    made["status"]["acceptedNames"] = made["spec"]["names"]
    made["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    return registry.update(DEFINITIONS, "", made["metadata"]["name"], made, subresource="status")


@pytest.fixture
def v1(registry: LocalRegistry) -> Resource:
    establish(registry, widgets())
    return registry.resource("example.com", "v1", "widgets")


def widget(name: str = "one", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"size": "small", **spec}}


def refusal(call: Callable[[], object]) -> list[str]:
    """`field: message` of every cause of a 422."""
    with pytest.raises(StatusError) as caught:
        call()
    assert caught.value.code == 422, caught.value.message
    return [f"{each['field']}: {each['message']}" for each in (caught.value.details or {})["causes"]]


def test_a_definition_gets_its_defaults_and_is_served_once_it_is_established(registry: LocalRegistry) -> None:
    made = registry.create(DEFINITIONS, "", widgets())
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["names"]["listKind"] == "WidgetList"
    assert made["spec"]["names"]["singular"] == "widget"
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"]["storedVersions"] == ["v1"]
    with pytest.raises(StatusError, match="could not find the requested resource"):
        registry.resource("example.com", "v1", "widgets")
    before = registry.resources()
    registry.delete(DEFINITIONS, "", "widgets.example.com")
    assert registry.resources() == before


def test_the_preferred_version_comes_first(registry: LocalRegistry, v1: Resource) -> None:
    versions = [each.version for each in registry.resources() if each.group == "example.com"]
    assert versions == ["v1", "v1beta1"]
    assert (v1.singular, v1.list_kind, v1.short_names, v1.categories) == (
        "widget",
        "WidgetList",
        ("wd",),
        ("all",),
    )
    assert v1.subresources == ("status", "scale")


def test_a_definition_is_there_again_after_a_restart(reopen: Callable[[], LocalRegistry]) -> None:
    registry = reopen()
    establish(registry, widgets())
    registry.create(registry.resource("example.com", "v1", "widgets"), "default", widget())
    registry = reopen()
    found = registry.get(registry.resource("example.com", "v1beta1", "widgets"), "default", "one")
    assert found["apiVersion"] == "example.com/v1beta1"


def changed(**changes: Any) -> dict[str, Any]:
    """A definition with changes by dotted path; a number is an index."""
    definition: Any = widgets()
    for path, value in changes.items():
        at: Any = definition["spec"]
        *way, last = path.split("__")
        for step in way:
            at = at[int(step)] if step.isdigit() else at[step]
        at[last] = value
    return dict(definition)


BAD_DEFINITIONS: list[tuple[dict[str, Any], str]] = [
    (
        changed() | {"metadata": {"name": "gadgets.example.com"}},
        'metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group',
    ),
    (changed(scope="Global"), 'spec.scope: Unsupported value: "Global": supported values: "Cluster", '),
    (changed(names__plural="Widgets"), 'spec.names.plural: Invalid value: "Widgets": a DNS-1035 label'),
    (changed(names__kind=""), "spec.names.kind: Required value"),
    (changed(names__listKind="Widget"), "kind and listKind may not be the same"),
    (changed(versions__0__storage=True), "must have exactly one version marked as storage version"),
    (changed(versions__0__name="v1"), "must contain unique version names"),
    (changed(versions__0__schema={}), "openAPIV3Schema: Required value: schemas are required"),
    (
        changed(conversion={"strategy": "Webhook"}),
        'spec.conversion.strategy: Unsupported value: "Webhook": supported values: "None"',
    ),
    (
        changed(versions__1__subresources={"scale": {"specReplicasPath": ".status.x"}}),
        'specReplicasPath: Invalid value: ".status.x": should be a json path under .spec',
    ),
    (
        changed(versions__1__additionalPrinterColumns=[{"name": "A", "type": "text", "jsonPath": ".x"}]),
        'additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean, date, ',
    ),
]


def test_a_bad_definition_is_refused(registry: LocalRegistry) -> None:
    for definition, complaint in BAD_DEFINITIONS:
        causes = refusal(lambda definition=definition: registry.create(DEFINITIONS, "", definition))
        assert any(complaint in cause for cause in causes), causes


def test_groups_need_a_dot_and_protected_ones_an_approval(registry: LocalRegistry) -> None:
    assert "spec.group: Invalid value: " + '"example": should be a domain with at least one dot' in refusal(
        lambda: registry.create(DEFINITIONS, "", widgets("example"))
    )
    causes = refusal(lambda: registry.create(DEFINITIONS, "", widgets("shop.k8s.io")))
    assert "protected groups must have approval annotation" in causes[0]


BAD_SCHEMAS: list[tuple[dict[str, Any], str]] = [
    ({"properties": {}}, ".type: Required value: must not be empty for specified object fields"),
    ({"type": "array"}, ".items: Required value: must be specified"),
    (
        {"type": "array", "items": {}},
        ".items.type: Required value: must not be empty for specified array",
    ),
    ({"type": "text"}, '.type: Unsupported value: "text": supported values: "array", "boolean", '),
    ({"type": "object", "$ref": "#/x"}, ".$ref: Forbidden: $ref is not supported"),
    (
        {"type": "object", "additionalProperties": False},
        ".additionalProperties: Forbidden: additionalProperties cannot be set to false",
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "additionalProperties": {"type": "string"},
        },
        "Forbidden: additionalProperties and properties are mutual exclusive",
    ),
    (
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity",
    ),
    ({"type": "integer", "default": "x"}, '.default: Invalid value: "string": '),
    ({"type": "string", "pattern": "("}, '.pattern: Invalid value: "(": must be a valid regular expr'),
    (
        {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
        ".x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
    ),
    (
        {"type": "object", "anyOf": [{"properties": {"a": {"type": "string"}}}]},
        ".properties[a]: Required value: because it is defined in ",
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "anyOf": [{"properties": {"a": {"type": "string"}}}],
        },
        ".anyOf[0].properties[a].type: Forbidden: must be empty to be structural",
    ),
    (
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
        ".x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
    ),
    (
        {"type": "object", "x-kubernetes-validations": [{"rule": "self.a +"}]},
        ".x-kubernetes-validations[0].rule: Invalid value: ",
    ),
    (
        {"type": "object", "x-kubernetes-validations": [{"rule": "quantity(self.a).isInteger()"}]},
        "compilation failed: ",
    ),
    (
        {"type": "object", "x-kubernetes-validations": [{"rule": "size('a')"}]},
        "cel expression must evaluate to a bool",
    ),
]


def test_a_schema_must_be_structural(registry: LocalRegistry) -> None:
    place = "spec.versions[0].schema.openAPIV3Schema.properties[spec]"
    for schema, complaint in BAD_SCHEMAS:
        definition = simple("things", "Thing", schema)
        causes = refusal(lambda definition=definition: registry.create(DEFINITIONS, "", definition))
        assert any(complaint in cause for cause in causes), causes
        assert all(cause.startswith(place) for cause in causes)


def test_what_is_established_keeps_its_scope_and_its_stored_versions(registry: LocalRegistry) -> None:
    made = establish(registry, widgets())
    other = copy.deepcopy(made)
    other["spec"]["scope"] = "Cluster"
    assert refusal(lambda: registry.update(DEFINITIONS, "", "widgets.example.com", other)) == [
        'spec.scope: Invalid value: "Cluster": field is immutable'
    ]
    moved = copy.deepcopy(made)
    moved["spec"]["versions"][0]["storage"], moved["spec"]["versions"][1]["storage"] = True, False
    moved = copy.deepcopy(registry.update(DEFINITIONS, "", "widgets.example.com", moved))
    assert moved["status"]["storedVersions"] == ["v1", "v1beta1"]
    assert moved["metadata"]["generation"] == 2
    del moved["spec"]["versions"][1]
    assert 'status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions' in refusal(
        lambda: registry.update(DEFINITIONS, "", "widgets.example.com", moved)
    )


def test_unknown_fields_go_and_defaults_come(registry: LocalRegistry, v1: Resource) -> None:
    options = WriteOptions()
    spec = {"parts": [{"name": "a", "x": 1}], "free": {"any": {"thing": [1]}}, "labels": {"a": "b"}}
    made = registry.create(
        v1, "default", widget(other=1, note=None, when=None, **spec) | {"extra": 1}, options
    )
    assert options.warnings == [
        'unknown field "extra"',
        'unknown field "spec.other"',
        'unknown field "spec.parts[0].x"',
    ]
    assert made["spec"] == {
        "size": "small",
        "replicas": 1,
        "note": None,
        "parts": [{"name": "a", "weight": 1.5}],
        "free": {"any": {"thing": [1]}},
        "labels": {"a": "b"},
    }
    assert "extra" not in made
    strict = WriteOptions(field_validation="Strict")
    with pytest.raises(StatusError, match=r'strict decoding error: unknown field "spec\.other"') as caught:
        registry.create(v1, "default", widget("two", other=1), strict)
    assert caught.value.code == 400


def mistyped(path: str, wanted: str, have: str) -> str:
    return f'{path}: Invalid value: "{have}": {path} in body must be of type {wanted}: "{have}"'


BAD_VALUES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"replicas": "x"},
        [
            mistyped("spec.replicas", "integer", "string"),
        ],
    ),
    (
        {"replicas": 11},
        ["spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"],
    ),
    (
        {"replicas": -1},
        [
            "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
            ".spec.replicas: Invalid value: -1: should be a non-negative integer",
        ],
    ),
    ({"size": "tiny"}, ['spec.size: Unsupported value: "tiny": supported values: "small", "large"']),
    ({"size": None}, ["spec.size: Required value"]),
    (
        {"code": "ABCDEF"},
        [
            "spec.code: Too long: may not be more than 5 bytes",
            "spec.code: Invalid value: \"ABCDEF\": spec.code in body should match '^[a-z]+$'",
        ],
    ),
    (
        {"port": True},
        [
            mistyped("spec.port", "integer,string", "boolean"),
        ],
    ),
    (
        {"when": "noon"},
        ['spec.when: Invalid value: "noon": spec.when in body must be of type date-time: "noon"'],
    ),
    ({"parts": [{"weight": 1}]}, ["spec.parts[0].name: Required value"]),
    (
        {"parts": [{"name": "a"}, {"name": "a"}]},
        ['spec.parts[1]: Duplicate value: {"name":"a"}'],
    ),
    (
        {"parts": [{"name": name} for name in "abcd"]},
        ["spec.parts: Too many: 4: must have at most 3 items"],
    ),
    (
        {"labels": {"a": 1}},
        [
            mistyped("spec.labels.a", "string", "integer"),
        ],
    ),
]


def test_values_are_judged_in_upstreams_words(registry: LocalRegistry, v1: Resource) -> None:
    for spec, complaints in BAD_VALUES:
        assert refusal(lambda spec=spec: registry.create(v1, "default", widget(**spec))) == complaints


def test_a_missing_spec_is_missed(registry: LocalRegistry, v1: Resource) -> None:
    assert refusal(lambda: registry.create(v1, "default", {"metadata": {"name": "x"}})) == [
        "spec: Required value"
    ]


def test_combinations_are_judged(registry: LocalRegistry) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "not": {"required": ["b"], "properties": {"b": {"minimum": 5}}},
    }
    establish(registry, simple("choices", "Choice", schema))
    choices = registry.resource("example.com", "v1", "choices")
    registry.create(choices, "default", {"metadata": {"name": "fits"}, "spec": {"a": 1}})
    for spec, complaint in (
        (
            {"a": 1, "b": 1},
            '"spec" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
        ({}, '"spec" must validate one and only one schema (oneOf). Found none valid'),
        ({"b": 6}, '"spec" must not validate the schema (not)'),
    ):
        causes = refusal(
            lambda spec=spec: registry.create(choices, "default", {"metadata": {"name": "x"}, "spec": spec})
        )
        assert f'<nil>: Invalid value: "": {complaint}' in causes


def test_generation_counts_the_spec_and_status_has_its_own_door(
    registry: LocalRegistry, v1: Resource
) -> None:
    made = registry.create(v1, "default", widget() | {"status": {"replicas": 5}})
    assert made["metadata"]["generation"] == 1
    assert "status" not in made
    patched, _ = registry.patch(v1, "default", "one", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert patched["metadata"]["generation"] == 1
    patched, _ = registry.patch(v1, "default", "one", {"spec": {"replicas": 2}}, MERGE)
    assert patched["metadata"]["generation"] == 2
    both = {"spec": {"replicas": 3}, "status": {"replicas": 2}, "metadata": {"labels": {"a": "c"}}}
    patched, _ = registry.patch(v1, "default", "one", both, MERGE, subresource="status")
    assert (patched["spec"]["replicas"], patched["status"], patched["metadata"]["labels"]) == (
        2,
        {"replicas": 2},
        {"a": "b"},
    )
    assert patched["metadata"]["generation"] == 2
    assert refusal(
        lambda: registry.patch(
            v1, "default", "one", {"status": {"replicas": "x"}}, MERGE, subresource="status"
        )
    ) == [
        'status.replicas: Invalid value: "string": status.replicas in body must be of type integer: "string"'
    ]


def test_scale_reads_and_writes_where_the_definition_says(registry: LocalRegistry, v1: Resource) -> None:
    registry.create(v1, "default", widget())
    status = {"status": {"replicas": 1, "selector": "app=one"}}
    made, _ = registry.patch(v1, "default", "one", status, MERGE, subresource="status")
    scale = scale_of(v1, made)
    assert (scale["spec"], scale["status"]) == ({"replicas": 1}, {"replicas": 1, "selector": "app=one"})
    registry.patch(v1, "default", "one", {"spec": {"replicas": 4}}, MERGE, subresource="scale")
    found = registry.get(v1, "default", "one")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (4, 2)


def test_patches_and_their_limits(registry: LocalRegistry, v1: Resource) -> None:
    registry.create(v1, "default", widget())
    operation = {"op": "replace", "path": "/spec/size", "value": "large"}
    patched, _ = registry.patch(v1, "default", "one", [operation], JSON_PATCH)
    assert patched["spec"]["size"] == "large"
    with pytest.raises(StatusError, match="accepted media types include") as caught:
        registry.patch(v1, "default", "one", {"spec": {"size": "small"}}, STRATEGIC)
    assert caught.value.code == 415
    stale = widget()
    assert refusal(lambda: registry.update(v1, "default", "one", stale)) == [
        "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
    ]


def test_apply_merges_keyed_lists_and_finds_conflicts(registry: LocalRegistry, v1: Resource) -> None:
    registry.patch(v1, "default", "one", widget(parts=[{"name": "a"}]), APPLY, options=MINE)
    theirs = WriteOptions(field_manager="other")
    mine = {"metadata": {"name": "one"}, "spec": {"parts": [{"name": "b", "weight": 2}]}}
    applied, created = registry.patch(v1, "default", "one", mine, APPLY, options=theirs)
    assert not created
    assert applied["spec"]["parts"] == [{"name": "a", "weight": 1.5}, {"name": "b", "weight": 2}]
    with pytest.raises(StatusError, match=r'conflict with "me": \.spec\.size'):
        registry.patch(v1, "default", "one", widget(size="large"), APPLY, options=theirs)
    opened = {"metadata": {"name": "one"}, "spec": {"free": {"theirs": {"a": [1]}}}}
    registry.patch(v1, "default", "one", opened, APPLY, options=WriteOptions(field_manager="third"))
    more = widget(parts=[{"name": "a"}], free={"mine": {"b": 1}})
    shared, _ = registry.patch(v1, "default", "one", more, APPLY, options=MINE)
    assert shared["spec"]["free"] == {"theirs": {"a": [1]}, "mine": {"b": 1}}
    left, _ = registry.patch(v1, "default", "one", widget(), APPLY, options=MINE)
    assert left["spec"]["free"] == {"theirs": {"a": [1]}}
    assert [part["name"] for part in left["spec"]["parts"]] == ["b"]


def test_versions_show_the_same_objects(registry: LocalRegistry, v1: Resource) -> None:
    beta = registry.resource("example.com", "v1beta1", "widgets")
    free = {"metadata": {"name": "one"}, "spec": {"size": "small", "anything": 1}}
    assert registry.create(beta, "default", free)["apiVersion"] == "example.com/v1beta1"
    assert registry.get(v1, "default", "one")["spec"] == {"size": "small", "anything": 1, "replicas": 1}
    assert "replicas" not in registry.get(beta, "default", "one")["spec"]
    assert [each["apiVersion"] for each in registry.list(v1).items] == ["example.com/v1"]


def test_fields_that_may_be_selected(registry: LocalRegistry, v1: Resource) -> None:
    registry.create(v1, "default", widget())
    registry.create(v1, "default", widget("two", size="large"))
    found = registry.list(v1, field_selector="spec.size=large").items
    assert [each["metadata"]["name"] for each in found] == ["two"]
    with pytest.raises(StatusError, match=r"field label not supported: spec\.replicas"):
        registry.list(v1, field_selector="spec.replicas=1")


RULED = {
    "type": "object",
    "x-kubernetes-validations": [
        {"rule": "self.low <= self.high", "message": "low must not exceed high"},
        {"rule": "!has(self.kept) || !has(oldSelf.kept) || self.kept == oldSelf.kept", "fieldPath": ".kept"},
        {
            "rule": "!has(self.wish) || self.wish != 'no'",
            "messageExpression": "'not ' + self.wish",
            "reason": "FieldValueForbidden",
        },
    ],
    "properties": {
        "low": {"type": "integer"},
        "high": {"type": "integer"},
        "kept": {"type": "string"},
        "wish": {"type": "string"},
        "each": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"a-b": {"type": "integer"}, "namespace": {"type": "string"}},
                "x-kubernetes-validations": [
                    {"rule": "self.a__dash__b > 0 && self.__namespace__ != ''"},
                ],
            },
        },
    },
}


def test_rules_are_evaluated(registry: LocalRegistry) -> None:
    establish(registry, simple("ruleds", "Ruled", RULED))
    ruled = registry.resource("example.com", "v1", "ruleds")

    def create(**spec: Any) -> KubeObject:
        return registry.create(ruled, "default", {"metadata": {"name": "x"}, "spec": spec})

    assert refusal(lambda: create(low=2, high=1)) == [
        'spec: Invalid value: "object": low must not exceed high'
    ]
    assert refusal(lambda: create(low=2)) == [
        'spec: Invalid value: "object": no such key: high evaluating rule: self.low <= self.high'
    ]
    assert refusal(lambda: create(low=1, high=1, wish="no")) == ["spec: Forbidden: not no"]
    part = {"a-b": 0, "namespace": "n"}
    assert refusal(lambda: create(low=1, high=1, each=[part])) == [
        'spec.each[0]: Invalid value: "object": '
        "failed rule: self.a__dash__b > 0 && self.__namespace__ != ''"
    ]
    assert refusal(lambda: create(low="x", high=1)) == [
        mistyped("spec.low", "integer", "string"),
        '<nil>: Invalid value: "null": some validation rules were not checked '
        "because the object was invalid; correct the existing errors to complete validation",
    ]
    create(low=1, high=2, kept="a")
    causes = refusal(lambda: registry.patch(ruled, "default", "x", {"spec": {"kept": "b"}}, MERGE))
    assert [cause.partition(":")[0] for cause in causes] == ["spec.kept"]


def test_an_update_tolerates_what_was_wrong_already(registry: LocalRegistry) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    made = copy.deepcopy(establish(registry, simple("olds", "Old", schema)))
    olds = registry.resource("example.com", "v1", "olds")
    registry.create(olds, "default", {"metadata": {"name": "x"}, "spec": {"a": "long", "b": "b"}})
    spec = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["a"]["maxLength"] = 2
    registry.update(DEFINITIONS, "", "olds.example.com", made)
    olds = registry.resource("example.com", "v1", "olds")
    patched, _ = registry.patch(olds, "default", "x", {"spec": {"b": "c"}}, MERGE)
    assert patched["spec"] == {"a": "long", "b": "c"}
    assert refusal(lambda: registry.patch(olds, "default", "x", {"spec": {"a": "longer"}}, MERGE)) == [
        "spec.a: Too long: may not be more than 2 bytes"
    ]


async def test_a_watch_ends_when_the_resource_changes(registry: LocalRegistry, v1: Resource) -> None:
    registry.create(v1, "default", widget())
    watch = registry.watch(v1)
    definition = copy.deepcopy(registry.get(DEFINITIONS, "", "widgets.example.com"))
    definition["spec"]["names"]["shortNames"] = ["w"]
    definition["status"]["acceptedNames"] = definition["spec"]["names"]
    registry.update(DEFINITIONS, "", "widgets.example.com", definition, subresource="status")
    assert [event.type async for event in watch] == ["ADDED"]
    registry.delete(DEFINITIONS, "", "widgets.example.com")
    left = registry.get(DEFINITIONS, "", "widgets.example.com")
    assert left["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert left["status"]["conditions"][-1]["reason"] == "InstanceDeletionPending"


@pytest.mark.parametrize(
    ("pattern", "fits", "fails"),
    [
        ("^[a-z]+$", "abc", "abc\n"),
        (r"^a\z", "a", "a\n"),
        ("^[[:alpha:]_]+$", "aZ_", "a1"),
        (r"^[\]$]+$", "]$", "a"),
        ("^[]a]+$", "]a", "b"),
        ("^[a[]$", "[", "b"),
        (r"^\d$", "5", "\u0665"),
        (r"^\$$", "$", ""),
        ("^(?i)(abort|warn)?$", "ABORT", "aborted"),
        ("^((?i)sun|mon)day$", "MONday", "monDAY"),
        ("^(?:a(?i)b|c)$", "C", "AB"),
        ("^[(?i)]x$", "ix", "Ix"),
    ],
)
def test_patterns_mean_what_they_mean_upstream(pattern: str, fits: str, fails: str) -> None:
    assert compiled_pattern(pattern).search(fits)
    assert not compiled_pattern(pattern).search(fails)


@pytest.mark.parametrize("pattern", [r"\pL", r"\Z", "[[:nothing:]]", r"\Qa\E", "(", "a(?U)b", "a(?i"])
def test_patterns_that_cannot_be_read_are_refused(pattern: str) -> None:
    with pytest.raises(re.error):
        compiled_pattern(pattern)
