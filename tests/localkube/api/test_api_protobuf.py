"""Protobuf bodies: what is read, and that nonsense is refused and never crashes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.kube.resources import BUILTIN
from lab.kube.schema import definition_name, definitions, reference
from lab.kube.status import StatusError
from lab.localkube.api.discovery import subresource_kind
from lab.localkube.api.protobuf import _SPECIAL, _UNIONS, MAGIC, _table, decode_object
from lab.localkube.api.protobuf.generate import message_name
from lab.localkube.registry.decoding import conform

READ_AS_A_WHOLE = {*_SPECIAL, *_UNIONS}


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + field(1, field(1, api_version.encode()) + field(2, kind.encode())) + field(2, raw)


def test_delete_options_keep_the_zero_that_means_now() -> None:
    raw = field(1, 0) + field(4, b"Background") + field(5, b"All") + field(2, field(1, b"some-uid"))
    assert decode_object(envelope("v1", "DeleteOptions", raw)) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
        "dryRun": ["All"],
        "preconditions": {"uid": "some-uid"},
    }


def test_times_quantities_numbers_or_texts_and_inlined_sources() -> None:
    time = field(1, 1_700_000_000)
    metadata = field(1, b"p") + field(8, time)
    request = field(1, b"cpu") + field(2, field(1, b"250m"))
    probe = field(1, field(2, field(2, field(1, 1) + field(3, b"http"))))
    container = field(1, b"c") + field(8, field(2, request)) + field(10, probe)
    volume = field(1, b"v") + field(2, field(19, field(1, field(1, b"settings"))))
    pod = field(1, metadata) + field(2, field(1, volume) + field(2, container))
    assert decode_object(envelope("v1", "Pod", pod)) == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "creationTimestamp": "2023-11-14T22:13:20Z"},
        "spec": {
            "volumes": [{"name": "v", "configMap": {"name": "settings"}}],
            "containers": [
                {
                    "name": "c",
                    "resources": {"requests": {"cpu": "250m"}},
                    "livenessProbe": {"httpGet": {"port": "http"}},
                }
            ],
        },
    }


def test_a_downward_projection_is_no_bare_list() -> None:
    reference = field(1, b"v1") + field(2, b"metadata.namespace")
    item = field(1, b"namespace") + field(2, reference)
    volume = field(1, b"v") + field(2, field(26, field(1, field(2, field(1, item)))))
    (seen,) = decode_object(envelope("v1", "Pod", field(2, field(1, volume))))["spec"]["volumes"]
    path = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    assert seen == {"name": "v", "projected": {"sources": [{"downwardAPI": {"items": [path]}}]}}


def test_what_is_inlined_twice() -> None:
    rule = field(1, b"apps") + field(2, b"v1") + field(3, b"deployments") + field(4, b"*")
    named = field(1, b"web") + field(2, field(1, b"CREATE") + field(1, b"UPDATE") + field(2, rule))
    spec = field(2, field(3, named)) + field(3, field(1, b"true")) + field(4, b"Fail")
    raw = field(1, field(1, b"p")) + field(2, spec)
    body = envelope("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", raw)
    assert decode_object(body)["spec"] == {
        "matchConstraints": {
            "resourceRules": [
                {
                    "resourceNames": ["web"],
                    "operations": ["CREATE", "UPDATE"],
                    "apiGroups": ["apps"],
                    "apiVersions": ["v1"],
                    "resources": ["deployments"],
                    "scope": "*",
                }
            ]
        },
        "validations": [{"expression": "true"}],
        "failurePolicy": "Fail",
    }


def test_negative_numbers_and_empty_map_values() -> None:
    raw = field(1, field(1, b"x")) + field(2, field(1, b"key"))
    assert decode_object(envelope("v1", "ConfigMap", raw))["data"] == {"key": ""}
    raw = field(1, field(1, b"low")) + field(2, -5)
    assert decode_object(envelope("scheduling.k8s.io/v1", "PriorityClass", raw))["value"] == -5


def test_a_definition_with_its_schema() -> None:
    def named(name: bytes, schema: bytes) -> bytes:
        return field(29, field(1, name) + field(2, schema))

    integer = field(5, b"integer") + field(8, field(1, b"0")) + field(16, 0)
    closed = field(5, b"object") + field(30, field(1, 0))
    free = field(5, b"object") + field(30, field(1, 1) + field(2, field(5, b"string"))) + field(38, 1)
    many = field(5, b"array") + field(24, field(1, field(5, b"string"))) + field(20, field(1, b'"x"'))
    schema = field(5, b"object") + named(b"n", integer) + named(b"c", closed) + named(b"f", free)
    schema += named(b"m", many) + field(44, field(1, b"true") + field(2, b"why")) + field(43, b"atomic")
    version = field(1, b"v1") + field(2, 0) + field(3, 1) + field(4, field(1, schema))
    raw = field(1, field(1, b"d")) + field(2, field(1, b"g") + field(7, version))
    body = envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", raw)
    assert decode_object(body)["spec"]["versions"] == [
        {
            "name": "v1",
            "served": False,
            "storage": True,
            "schema": {
                "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "n": {"type": "integer", "default": 0, "maxItems": 0},
                        "c": {"type": "object", "additionalProperties": False},
                        "f": {
                            "type": "object",
                            "additionalProperties": {"type": "string"},
                            "x-kubernetes-preserve-unknown-fields": True,
                        },
                        "m": {"type": "array", "items": {"type": "string"}, "enum": ["x"]},
                    },
                    "x-kubernetes-validations": [{"rule": "true", "message": "why"}],
                    "x-kubernetes-map-type": "atomic",
                }
            },
        }
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", 400),
        (b"k8s\x00\xff", 400),
        (b"{}", 400),
        (envelope("v1", "Pod", b"\x0a\xff"), 400),
        (envelope("v1", "Pod", field(1, 7)), 400),
        (envelope("v1", "Nonsense", b""), 415),
    ],
)
def test_nonsense_is_a_status(content: bytes, code: int) -> None:
    with pytest.raises(StatusError) as caught:
        decode_object(content)
    assert caught.value.code == code


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60),
    st.sampled_from(
        [
            ("v1", "Pod"),
            ("apps/v1", "Deployment"),
            ("v1", "DeleteOptions"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ]
    ),
)
def test_random_bytes_never_crash(raw: bytes, kind: tuple[str, str]) -> None:
    for content in (MAGIC + raw, envelope(*kind, raw)):
        try:
            outcome = decode_object(content)
        except StatusError as error:
            outcome = error.status()
        assert outcome["kind"] in ("Status", kind[1])


def test_every_field_of_every_served_kind_has_its_number() -> None:
    """Against the schema: what a client may send is read, whichever field it is."""
    served = [each for each in BUILTIN if "create" in each.verbs]
    kinds = [(each.group, each.version, each.kind) for each in served]
    kinds += [subresource_kind(each, name) for each in served for name in each.subresources]
    pending = {name for kind in kinds if (name := definition_name(*kind)) is not None}
    absent, seen = [], set[str]()
    while pending:
        name = pending.pop()
        seen.add(name)
        schema, known = definitions()[name], numbered(message_name(name))
        for field_name, field_schema in schema.get("properties", {}).items():
            if field_name not in known and field_name not in ("kind", "apiVersion"):
                absent.append(f"{name}.{field_name}")
            inner = (field_schema, field_schema.get("items"), field_schema.get("additionalProperties"))
            types = {reference(each) for each in inner if isinstance(each, dict)} - {None}
            pending |= {each for each in types if each and message_name(each) not in READ_AS_A_WHOLE} - seen
    assert absent == []
    assert len(seen) > 300


def numbered(message: str) -> set[str]:
    """The names of a message's fields, those of inlined messages included."""
    names = set[str]()
    for name, kind, flag in _table()["messages"].get(message, {}).values():
        names |= numbered(kind) if flag == "i" else {name}
    return names


def test_zeros_that_are_a_choice_are_kept() -> None:
    """hostUsers and the others are pointers; stdin, hostNetwork and replicas of a status are not."""
    container = field(1, b"c") + field(16, 0) + field(15, field(2, 0)) + field(2, b"")
    raw = field(2, field(2, container) + field(37, 0) + field(11, 0) + field(4, 0))
    spec = conform(decode_object(envelope("v1", "Pod", raw)), "", "v1", "Pod")[0]["spec"]
    assert spec == {
        "containers": [{"name": "c", "resources": {}, "securityContext": {"privileged": False}}],
        "hostUsers": False,
        "terminationGracePeriodSeconds": 0,
    }
