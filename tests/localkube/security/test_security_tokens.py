"""Tokens open a door only while they, their account and their pod are what they were."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from localkube_process import Served
from security_wire import Wire

from lab.localkube.api.identity import Tokens

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
PODS = "/api/v1/namespaces/default/pods"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


class Then:
    """A clock that stands still at another time."""

    def __init__(self, year: int) -> None:
        self._now = datetime(year, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def account(wire: Wire, name: str) -> dict[str, Any]:
    made = wire.ask("POST", ACCOUNTS, json.dumps({"metadata": {"name": name}}))
    assert made.code == 201, made.body
    return made.status


def token_of(wire: Wire, name: str, **spec: Any) -> str:
    made = wire.ask("POST", f"{ACCOUNTS}/{name}/token", json.dumps({"spec": spec}))
    assert made.code == 201, made.body
    token: str = made.status["status"]["token"]
    return token


def code_of(wire: Wire, token: str) -> int:
    """What the holder of a token gets who asks for his name."""
    return wire.ask("POST", WHO, "{}", token=token).code


def signer(served: Served, year: int) -> Tokens:
    """The server's own signing, at another time."""
    key = (Path(served.kubeconfig).parent / "pki" / "token.key").read_bytes()
    return Tokens(key, Then(year))


def test_a_token_works_until_its_account_is_deleted(wire: Wire) -> None:
    account(wire, "leaver")
    token = token_of(wire, "leaver")
    assert code_of(wire, token) == 201
    assert wire.ask("DELETE", f"{ACCOUNTS}/leaver").code == 200
    assert code_of(wire, token) == 401
    account(wire, "leaver")
    assert code_of(wire, token) == 401, "the namesake is somebody else"


def test_a_token_of_a_pod_works_until_the_pod_is_deleted(wire: Wire) -> None:
    account(wire, "bound")
    spec = {"serviceAccountName": "bound", "containers": [{"name": "c", "image": "x"}]}
    pod = wire.ask("POST", PODS, json.dumps({"metadata": {"name": "bound"}, "spec": spec})).status
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "bound", "uid": pod["metadata"]["uid"]}
    token = token_of(wire, "bound", boundObjectRef=reference)
    assert code_of(wire, token) == 201
    assert wire.ask("DELETE", f"{PODS}/bound?gracePeriodSeconds=0").code == 200
    assert code_of(wire, token) == 401


def test_an_expired_token_and_one_for_somebody_else(attacked: Served, wire: Wire) -> None:
    robot = account(wire, "robot")
    expired, _ = signer(attacked, 2020).issue("default", robot)
    foreign, _ = signer(attacked, 2030).issue("default", robot, audiences=["vault"], seconds=10**9)
    assert code_of(wire, expired) == 401
    assert code_of(wire, foreign) == 401
    asked = {"spec": {"token": foreign, "audiences": ["vault"]}}
    review = wire.ask("POST", REVIEWS, json.dumps(asked)).status["status"]
    assert (review["authenticated"], review["audiences"]) == (True, ["vault"])
    asked = {"spec": {"token": foreign, "audiences": ["other"]}}
    assert not wire.ask("POST", REVIEWS, json.dumps(asked)).status["status"].get("authenticated")


def test_forged_tokens(wire: Wire) -> None:
    account(wire, "victim")
    token = token_of(wire, "victim")
    head, claims, signature = token.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    admin = base64.urlsafe_b64encode(b'{"sub":"system:admin"}').rstrip(b"=").decode()
    guessed = hmac.new(b"", f"{head}.{claims}".encode(), hashlib.sha256).digest()
    forgeries = [
        f"{none}.{claims}.",
        f"{none}.{claims}.{signature}",
        f"{head}.{admin}.{signature}",
        f"{head}.{claims}.{base64.urlsafe_b64encode(guessed).rstrip(b'=').decode()}",
        f"{head}.{claims}",
        f"{claims}.{signature}",
        f"{head}..{signature}",
        "..",
        token[:-2],
        token + "A",
        wire.token[:-1],
        wire.token.upper(),
        "x" * 50_000,
        "\u00e9",
    ]
    for forged in forgeries:
        answer = wire.ask("GET", "/api/v1/pods", token=forged.encode().decode("latin-1"))
        assert (answer.code, answer.status["message"]) == (401, "Unauthorized"), forged[:60]


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Basic YTpi", "bearer", "Token x", "Bearer a b", ","])
def test_other_headers_are_nobody_known(wire: Wire, value: str) -> None:
    answer = wire.ask("GET", "/api/v1/pods", token="", headers={"Authorization": value})
    assert answer.code == 401


def test_without_a_token_there_is_only_what_is_public(wire: Wire) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert wire.ask("GET", path, token="").code == 200
    closed = [
        ("GET", "/"),
        ("GET", "/api"),
        ("GET", "/api/v1/secrets"),
        ("POST", "/api/v1/namespaces"),
        ("GET", "/api/v1/namespaces/kube-system/pods/x/log"),
        ("GET", "/api/v1/namespaces/default/services/kubernetes/proxy/healthz"),
        ("GET", "/openapi/v2"),
        ("GET", "/metrics"),
        ("GET", "/version/x"),
        ("GET", "/healthz/../api/v1/secrets"),
        ("GET", "/healthz/ping"),
        ("GET", "//healthz"),
    ]
    for method, path in closed:
        answer = wire.ask(method, path, "{}" if method == "POST" else None, token="")
        assert (answer.code, answer.status["message"]) == (401, "Unauthorized"), path
    assert wire.ask("POST", "/healthz", "{}", token="").code == 403


def test_a_stranger_learns_nothing_from_bodies_and_names(wire: Wire) -> None:
    account(wire, "stranger")
    token = token_of(wire, "stranger")
    there = wire.ask("GET", "/api/v1/namespaces/default/serviceaccounts/default", token=token)
    absent = wire.ask("GET", "/api/v1/namespaces/default/serviceaccounts/absent", token=token)
    assert (there.code, absent.code) == (403, 403)
    huge = wire.ask("POST", "/api/v1/namespaces", b"x" * 4_000_000, token=token)
    assert huge.code == 403, "who may not write is refused before the body is read"
    for header in ("Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-x"):
        more = {"Impersonate-User": "someone", header: "system:masters"}
        assert wire.ask("GET", "/api/v1/pods", token=token, headers=more).code == 403
