"""The lab's manifests under a prefix: no plain name is left, and nothing else is changed."""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lab.core.namespaces import GROUPS, PLAIN, Namespaces
from lab.core.places import data_root
from lab.engine.bringup import load_manifests
from lab.engine.objects import made_objects
from lab.engine.renaming import renamed
from lab.engine.settings import LabSettings

TEAM = Namespaces("team-a")
FOLDERS = [
    folder for folder in ("base", "parts", "boundaries") if (data_root() / "clusters" / folder).is_dir()
]
_HOST = re.compile(rf"\.({'|'.join(PLAIN)})\.svc")
_REFERENCES = ("namespace", "kubernetes.io/metadata.name")


def manifests() -> list[Any]:
    settings = LabSettings(extras="logstore,database-ops")
    addresses = {"lab-system/gateway": "127.9.200.1", "shop/db": "127.9.200.2"}
    files = [m for folder in FOLDERS for m in load_manifests(data_root() / "clusters" / folder)]
    return files + made_objects(settings, "token", addresses, namespaces=TEAM)


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of an object with the name of the field that it is in."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, key)
    elif isinstance(value, str):
        yield key, value


def opened(manifest: Any) -> Any:
    """A manifest with the content of its Secret as text."""
    if manifest["kind"] != "Secret":
        return manifest
    return manifest | {"data": {k: base64.b64decode(v).decode() for k, v in manifest["data"].items()}}


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Any, Any]]:
    """Each manifest as it is, and renamed."""
    return [(copy.deepcopy(given), renamed(given, TEAM)) for given in manifests()]


def test_no_plain_name_is_left(pairs: list[tuple[Any, Any]]) -> None:
    assert len(pairs) > 80
    left = []
    for _, made in pairs:
        metadata = made["metadata"]
        if made["kind"] == "Namespace" or "namespace" not in metadata:
            assert metadata["name"].startswith("team-a-"), metadata
        for key, text in texts(opened(made)):
            plain = key in _REFERENCES and text in PLAIN
            foreign = _HOST.search(text) or any(group in text for group in GROUPS)
            if plain or foreign or (key in ("name", "policyName") and text.startswith("toil-lab-")):
                left.append((made["kind"], metadata["name"], key, text))
    assert left == []


def test_what_refers_to_something_finds_it(pairs: list[tuple[Any, Any]]) -> None:
    """Roles that are bound, policies that are used, accounts that pods and bindings name."""
    there = {(m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]) for _, m in pairs}
    for _, made in pairs:
        namespace = made["metadata"].get("namespace", "")
        if "roleRef" in made:
            role = made["roleRef"]
            assert (role["kind"], namespace if role["kind"] == "Role" else "", role["name"]) in there
            for subject in made["subjects"]:
                if subject["kind"] == "ServiceAccount":
                    assert ("ServiceAccount", subject["namespace"], subject["name"]) in there
        if made["kind"] == "ValidatingAdmissionPolicyBinding":
            assert ("ValidatingAdmissionPolicy", "", made["spec"]["policyName"]) in there
        if made["kind"] == "Deployment":
            account = made["spec"]["template"]["spec"]["serviceAccountName"]
            assert ("ServiceAccount", namespace, account) in there
        if namespace:
            assert ("Namespace", "", namespace) in there


def test_names_inside_of_namespaces_stay(pairs: list[tuple[Any, Any]]) -> None:
    for given, made in pairs:
        assert made["kind"] == given["kind"]
        if "namespace" in given["metadata"]:
            assert made["metadata"]["name"] == given["metadata"]["name"]


def test_without_a_prefix_nothing_is_touched() -> None:
    for manifest in manifests():
        assert renamed(manifest, Namespaces()) is manifest
