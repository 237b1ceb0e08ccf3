"""Whatever is sent wherever by whatever verb: an answer below 500 in the shape of the API, no traceback.

`FUZZ_REQUESTS=20000 pytest ...` sends more of them; `FUZZ_SEED` chooses others.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
from typing import Any

import pytest
import yaml
from security_wire import Wire

from lab.kube.resources import BUILTIN

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "75"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
PROTOBUF = "application/vnd.kubernetes.protobuf"
VERBS = ("GET", "POST", "PUT", "PATCH", "PATCH", "DELETE", "HEAD", "OPTIONS")
TYPES = (
    "application/json",
    "application/yaml",
    PROTOBUF,
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/json; charset=utf-8",
    "text/plain",
    "",
    "application/json-seq;;=,",
)
QUERIES = (
    "dryRun=All",
    "dryRun=Some",
    "fieldManager=fuzz",
    "fieldManager=",
    "force=true",
    "force=maybe",
    "fieldValidation=Strict",
    "fieldValidation=Loose",
    "labelSelector=a%3Db",
    "labelSelector=%21%21",
    "labelSelector=a+in+%28",
    "fieldSelector=metadata.name%3Dx",
    "fieldSelector=spec.nothing%3Dx",
    "limit=1",
    "limit=-1",
    "limit=many",
    "continue=x",
    "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ",
    "resourceVersion=0",
    "resourceVersion=-5",
    "resourceVersion=99999999999999999999999",
    "resourceVersion=1&resourceVersionMatch=Exact",
    "resourceVersionMatch=Never",
    "watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
    "watch=1&timeoutSeconds=x",
    "gracePeriodSeconds=-1",
    "gracePeriodSeconds=99999999999999999999",
    "propagationPolicy=Sideways",
    "orphanDependents=maybe",
    "pretty=true",
    "includeObject=Everything",
    "a=%00&b=%ff",
    "%",
)
ACCEPTS = (
    "application/json",
    "*/*",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io",
    "application/vnd.kubernetes.protobuf",
    "text/html",
    ";;,=",
    "",
)
NAMES = ("x", "default", "kube-root-ca.crt", "a%2Fb", "..", "%00", "x" * 300, "*", "system:node")
WORDS = (
    *("metadata", "name", "namespace", "labels", "annotations", "spec", "status", "containers", "image"),
    *("kind", "apiVersion", "data", "selector", "matchLabels", "template", "replicas", "ports", "port"),
    *("$patch", "$retainKeys", "$setElementOrder/containers", "op", "path", "value", "from", "rules"),
    *("finalizers", "ownerReferences", "managedFields", "resourceVersion", "uid", "gracePeriodSeconds"),
    *("preconditions", "dryRun", "aggregationRule", "subjects", "roleRef", "target", "expirationSeconds"),
)
SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**30, 0.5, -1e300, "", "x", "1", "%s", "a/b"),
    *("v1", "Pod", "List", "Deployment", "apps/v1", "replace", "delete", "add", "remove", "/", "/spec/-"),
    *("\u0000", "é", "2030-01-01T00:00:00Z", "100m", "1e400", "Always", "All", "{{}}", "$(X)"),
)


KNOWN = (
    b"resourceVersion should not be set on objects to be created",  # 500 upstream, too
    b"subresource of nodes is not served here",  # 503, documented
    b"subresource of services is not served here",
    b"subresource of pods is not served here",
)


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth < 6 and kind < 0.5:
        keys = [chance.choice(WORDS) for _ in range(chance.randint(0, 5))]
        return {key: value(chance, depth + 1) for key in keys}
    if depth < 6 and kind < 0.65:
        return [value(chance, depth + 1) for _ in range(chance.randint(0, 3))]
    return chance.choice(SCALARS)


def wish(chance: random.Random, resource: Any) -> Any:
    """Something that begins like an object of a resource, or like nothing."""
    if chance.random() < 0.2:
        return value(chance)
    group = f"{resource.group}/" if resource.group else ""
    start: dict[str, Any] = {
        "apiVersion": f"{group}{resource.version}",
        "kind": resource.kind,
        "metadata": {"name": chance.choice(("x", "x", "y"))},
    }
    more = value(chance)
    if isinstance(more, dict):
        for key, member in more.items():
            if key == "metadata" and isinstance(member, dict):
                start["metadata"].update(member)
            elif chance.random() < 0.8:
                start[key] = member
    if chance.random() < 0.5:
        start.setdefault("spec", value(chance))
    return start


def body(chance: random.Random, content_type: str, resource: Any) -> bytes:
    kind = chance.random()
    if kind < 0.1:
        return chance.randbytes(chance.randint(0, 200))
    if content_type == PROTOBUF:
        text = b"k8s\x00\x0a" + chance.randbytes(chance.randint(0, 80))
        if chance.random() < 0.6:
            named = b"\x0a\x02v1\x12" + bytes([len(resource.kind)]) + resource.kind.encode()
            raw = chance.randbytes(chance.randint(0, 60))
            text = b"k8s\x00\x0a" + bytes([len(named)]) + named + b"\x12" + bytes([len(raw)]) + raw
    else:
        wanted = wish(chance, resource)
        if "json-patch" in content_type and chance.random() < 0.8:
            wanted = [value(chance) for _ in range(chance.randint(0, 4))]
        if "yaml" in content_type and chance.random() < 0.5:
            text = yaml.safe_dump(wanted, allow_unicode=True).encode("utf-8", "replace")
        else:
            text = json.dumps(wanted).encode()
    if chance.random() < 0.15 and text:
        return text[: chance.randrange(len(text))]
    if chance.random() < 0.1 and text:
        at = chance.randrange(len(text))
        return text[:at] + chance.randbytes(1) + text[at + 1 :]
    return text


def path(chance: random.Random, resource: Any) -> str:
    if chance.random() < 0.05:
        return chance.choice(
            ("/", "/api", "/apis", "/openapi/v2", "/openapi/v3/x", "/apis/x/y/z", "//", "/x")
        )
    parts = ["apis", resource.group, resource.version] if resource.group else ["api", resource.version]
    if resource.namespaced and chance.random() < 0.85:
        parts += ["namespaces", chance.choice(("default", "default", "default", "absent", *NAMES))]
    parts.append(resource.plural)
    if chance.random() < 0.6:
        parts.append(chance.choice(("x", "x", "x", *NAMES)))
        if chance.random() < 0.3:
            parts.append(chance.choice((*(resource.subresources or ("status",)), "status", "nothing")))
    if chance.random() < 0.02:
        parts.insert(chance.randrange(len(parts)), chance.choice(("..", "", "proxy")))
    return "/" + "/".join(parts)


def once(connection: http.client.HTTPConnection, wire: Wire, chance: random.Random) -> None:
    resource = chance.choice(BUILTIN)
    method, content_type = chance.choice(VERBS), chance.choice(TYPES)
    target = path(chance, resource)
    if chance.random() < 0.6:
        target += "?" + "&".join(chance.choice(QUERIES) for _ in range(chance.randint(1, 3)))
    content = body(chance, content_type, resource) if method not in ("GET", "HEAD", "OPTIONS") else None
    headers = {"Authorization": f"Bearer {wire.token}", "Accept": chance.choice(ACCEPTS)}
    if content_type:
        headers["Content-Type"] = content_type
    connection.request(method, target, body=content, headers=headers)
    response = connection.getresponse()
    answer = response.read()
    sent = (method, target, headers["Accept"], content_type, content)
    future = response.status == 504  # a resource version that is not there yet, as upstream
    assert response.status < 500 or future or any(known in answer for known in KNOWN), (sent, answer)
    assert b"Traceback" not in answer
    if response.status >= 400 and answer and response.headers["Content-Type"].startswith("application/json"):
        status = json.loads(answer)
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", response.status), (
            sent,
            answer,
        )


@pytest.mark.parametrize("part", range(4))
def test_random_requests(wire: Wire, part: int) -> None:
    chance = random.Random(f"{SEED} {part}")
    fresh = http.client.HTTPSConnection(wire.host, wire.port, context=wire.context, timeout=60)
    with contextlib.closing(fresh) as connection:
        for _ in range(REQUESTS):
            try:
                once(connection, wire, chance)
            except http.client.RemoteDisconnected:
                connection.close()
