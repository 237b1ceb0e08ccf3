"""Requests of every verb, resource, subresource, content type and spelling, good and hostile."""

from __future__ import annotations

from typing import Any

from gateway_rig import TOKEN
from hypothesis import strategies as st

METHODS = (
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "GET",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "LOCK",
    "delete",
    "Post",
)
RESOURCES = (
    "api/v1/namespaces/shop/pods",
    "api/v1/namespaces/shop/pods/worker-1",
    "api/v1/pods",
    "api/v1/namespaces/shop",
    "api/v1/namespaces",
    "api/v1/nodes/node-1",
    "api/v1/namespaces/shop/secrets/db",
    "api/v1/namespaces/shop/serviceaccounts/default",
    "api/v1/namespaces/shop/bindings",
    "apis/apps/v1/namespaces/shop/deployments/worker",
    "apis/apps/v1/namespaces/shop/deployments",
    "apis/policy/v1/namespaces/shop/poddisruptionbudgets/worker",
    "apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "apis/authorization.k8s.io/v1/namespaces/shop/pods/worker-1",
    "apis/example.com/v1/things/one",
    "apis/apps/v1",
    "api/v1",
    "healthz",
    "logs/kubelet.log",
)
SUBRESOURCES = (
    "", "", "", "/status", "/scale", "/eviction", "/binding", "/token", "/finalize", "/ephemeralcontainers",
    "/exec", "/attach", "/portforward", "/proxy", "/proxy/admin", "/log", "/approval", "/unknown",
)  # fmt: skip
PREFIXES = ("", "", "", "watch/", "proxy/")
QUERIES = (
    "", "", "dryRun=All", "dryRun=", "dryRun=None", "dryRun=All&dryRun=", "dryRun=All&dryRun=All",
    "DRYRUN=All", "dry%52un=None", "watch=true", "watch=false", "dryRun=All;dryRun=None",
    "fieldManager=x&force=true", "command=ls&stdin=true", "gracePeriodSeconds=0",
    "labelSelector=app%3Dworker",
    "%zz=1", "a=%ff",
)  # fmt: skip
HEADERS = (
    ("Content-Type", "application/json"),
    ("Content-Type", "application/yaml"),
    ("Content-Type", "application/vnd.kubernetes.protobuf"),
    ("Content-Type", "application/merge-patch+json"),
    ("Content-Type", "application/apply-patch+yaml"),
    ("Content-Type", "text/plain"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Http-Method", "DELETE"),
    ("Impersonate-User", "system:admin"),
    ("Impersonate-Group", "system:masters"),
    ("Impersonate-Extra-Scopes", "all"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Upgrade", "SPDY/3.1"),
    ("X-Remote-User", "system:admin"),
)
BODIES = (
    b"",
    b"{}",
    b"   ",
    b"null",
    b"[]",
    b'{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}',
    b'{"kind":"DeleteOptions","apiVersion":"v1","dryRun":[]}',
    b'{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"],"dryRun":[]}',
    b'{"dryrun":["None"],"DryRun":[]}',
    b"kind: DeleteOptions\napiVersion: v1\ndryRun: []\n",
    b"a: &a [x]\nb: *a\n",
    b"k8s\x00\x0a\x04\x0a\x00\x12\x00",
    b"\xff\xfe\x00",
    b'{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"worker-1"},"deleteOptions":{"dryRun":[]}}',
    b'{"kind":"Eviction","deleteOptions":[],"DeleteOptions":{"dryRun":[]}}',
    b'{"spec":{"replicas":0}}',
)


def _spell(draw: Any, path: str) -> str:
    """One of the ways to write a path that some server reads as the same."""
    way = draw(
        st.sampled_from(
            ("plain", "plain", "doubled", "slash", "letters", "encoded", "dots", "absolute", "tail", "view")
        )
    )
    if way == "doubled":
        return "//" + path.replace("/", "//")
    if way == "slash":
        return "/" + path.replace("/", "%2F", 1 + draw(st.integers(0, 4)))
    if way == "letters":
        at = draw(st.integers(0, len(path) - 1))
        return "/" + path[:at] + f"%{ord(path[at]):02x}" + path[at + 1 :]
    if way == "encoded":
        return "/" + path.replace("/", "%252F")
    if way == "dots":
        return "/version/../" + path
    if way == "view":
        return "/view/intended/" + path
    if way == "absolute":
        return "http://elsewhere/" + path
    return "/" + path + ("/" if way == "tail" else "")


@st.composite
def requests(draw: Any) -> tuple[str, str, list[tuple[str, str]], bytes]:
    """A request of any verb, resource, subresource and encoding."""
    path = draw(st.sampled_from(RESOURCES)) + draw(st.sampled_from(SUBRESOURCES))
    prefix = draw(st.sampled_from(PREFIXES))
    parts = path.split("/")
    at = 2 if parts[0] == "api" else 3
    path = "/".join(parts[:at]) + "/" + prefix + "/".join(parts[at:]) if len(parts) > at else path
    query = draw(st.sampled_from(QUERIES))
    target = _spell(draw, path) + (f"?{query}" if query else "")
    headers = draw(st.lists(st.sampled_from(HEADERS), max_size=3, unique_by=lambda pair: pair[0]))
    headers.append(("Authorization", f"Bearer {TOKEN}"))
    return draw(st.sampled_from(METHODS)), target, headers, draw(st.sampled_from(BODIES))
