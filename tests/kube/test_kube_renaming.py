"""Plain names to a cluster's and back: what is renamed, and what is nobody's business."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.core.namespaces import PLAIN, Namespaces, prefix_for
from lab.kube.renaming import AS_IT_IS, Renaming

TEAM = Renaming(Namespaces("team-a"))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("/api/v1/namespaces/shop/pods", "/api/v1/namespaces/team-a-shop/pods"),
        ("/api/v1/namespaces/shop/pods/shop", "/api/v1/namespaces/team-a-shop/pods/shop"),
        ("/apis/apps/v1/namespaces/lab-system/deployments", None),
        ("/api/v1/watch/namespaces/shop/pods", "/api/v1/watch/namespaces/team-a-shop/pods"),
        ("/api/v1/namespaces/shop", "/api/v1/namespaces/team-a-shop"),
        ("/api/v1/namespaces/team-a-shop/pods", "/api/v1/namespaces/team-a-shop/pods"),
        ("/api/v1/namespaces/team-b-shop/pods", "/api/v1/namespaces/team-b-shop/pods"),
        ("/api/v1/namespaces/default/pods/shop", "/api/v1/namespaces/default/pods/shop"),
        ("/api/v1/pods", "/api/v1/pods"),
        ("/openapi/v3", "/openapi/v3"),
        (
            "/api/v1/events?fieldSelector=involvedObject.namespace%3Dshop%2Creason%3Dx&limit=5",
            "/api/v1/events?fieldSelector=involvedObject.namespace%3Dteam-a-shop%2Creason%3Dx&limit=5",
        ),
        ("/api/v1/pods?labelSelector=namespace%3Dshop", "/api/v1/pods?labelSelector=namespace%3Dshop"),
    ],
)
def test_paths(given: str, wanted: str | None) -> None:
    renamed = TEAM.path(given)
    assert renamed == (wanted or given.replace("lab-system", "team-a-lab-system"))
    assert TEAM.path(renamed) == renamed
    assert AS_IT_IS.path(given) == given


def test_a_real_name_is_plain_for_the_lab_and_another_labs_is_not() -> None:
    assert TEAM.plain_path("/api/v1/namespaces/team-a-shop/pods") == "/api/v1/namespaces/shop/pods"
    assert TEAM.plain_path("/api/v1/namespaces/team-b-shop/pods") == "/api/v1/namespaces/team-b-shop/pods"


def test_bodies_are_renamed_where_a_namespace_is_meant_and_answers_are_renamed_back() -> None:
    given: dict[str, Any] = {
        "metadata": {"name": "shop", "namespace": "shop", "labels": {"namespace": "shop"}},
        "involvedObject": {"namespace": "lab-system", "name": "automation"},
        "subjects": [{"kind": "ServiceAccount", "name": "shop", "namespace": "automation"}],
        "spec": {
            "selector": {"namespace": "shop"},
            "url": "http://payments.shop.svc:8080/shop, api.shop.svc.cluster.local",
            "other": "my.shop and payments.shop.svc-x",
        },
        "data": {"namespace": "shop"},
        "numbers": [1, 2.5, None, True],
    }
    real = TEAM.body(given)
    assert real["metadata"] == given["metadata"] | {"namespace": "team-a-shop"}
    assert real["involvedObject"]["namespace"] == "team-a-lab-system"
    assert real["subjects"][0] == given["subjects"][0] | {"namespace": "team-a-automation"}
    assert real["spec"]["selector"] == given["spec"]["selector"]
    assert real["spec"]["url"] == (
        "http://payments.team-a-shop.svc:8080/shop, api.team-a-shop.svc.cluster.local"
    )
    assert real["spec"]["other"] == given["spec"]["other"]
    assert real["data"] == given["data"]
    assert TEAM.body(real) == real
    for text in (json.dumps(real), json.dumps(real, separators=(",", ":")), json.dumps(real, indent=1)):
        assert json.loads(TEAM.answer(text.encode())) == given
    assert AS_IT_IS.body(given) is given


def test_a_json_patch_names_namespaces_too() -> None:
    patch = [
        {"op": "test", "path": "/metadata/namespace", "value": "shop"},
        {"op": "add", "path": "/metadata/labels/x", "value": "shop"},
    ]
    assert TEAM.body(patch) == [patch[0] | {"value": "team-a-shop"}, patch[1]]


def test_a_field_selector_of_a_query() -> None:
    assert TEAM.query({"fieldSelector": "metadata.namespace!=shop", "limit": 1}) == {
        "fieldSelector": "metadata.namespace!=team-a-shop",
        "limit": 1,
    }


def test_a_complaint_speaks_of_plain_names() -> None:
    said = (
        b'pods is forbidden: User "system:serviceaccount:team-a-automation:automation" cannot list resource '
        b'in the namespace "team-a-shop", nor in "team-b-shop" or "my-team-a-shop"'
    )
    assert TEAM.complaint(said) == said.replace(b":team-a-", b":").replace(b'"team-a-', b'"')


@pytest.mark.parametrize("lab", ["lab", "team-a", "grade-123-live", "Team_A", "a" * 80, "-x-", "__", "9"])
def test_every_lab_has_a_prefix_that_makes_names_of_namespaces(lab: str) -> None:
    namespaces = Namespaces(prefix_for(lab))
    for plain, real in zip(PLAIN, namespaces.all, strict=True):
        assert len(real) <= 63
        assert real.replace("-", "").isalnum()
        assert real == real.lower()
        assert real[0] != "-"
        assert (namespaces.plain(real), namespaces.real(plain)) == (plain, real)
    assert namespaces.prefix == lab or namespaces.prefix != prefix_for(lab + "x")


def test_two_labs_never_share_a_name() -> None:
    labs = [Namespaces(name) for name in ("a", "a-shop", "a-lab", "b")]
    names = [real for lab in labs for real in (*lab.all, lab.of_cluster("toil-lab-faults"))]
    assert len(set(names)) == len(names)
    assert Namespaces("a").group("toil-lab:live") == "toil-lab:a:live"
    assert Namespaces().group("toil-lab:live") == "toil-lab:live"
