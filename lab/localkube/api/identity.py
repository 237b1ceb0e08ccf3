"""Who is asking: bearer tokens, ServiceAccount tokens, and the user that they stand for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.core.clock import Clock
from lab.kube.objects import KubeObject
from lab.kube.resources import builtin
from lab.kube.status import StatusError, unauthorized
from lab.localkube.protocols import Registry

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = "system:anonymous"
SERVICE_ACCOUNT = "system:serviceaccount:"
ISSUER = "https://kubernetes.default.svc"
DEFAULT_SECONDS = 3600
_PUBLIC = frozenset(("/healthz", "/livez", "/readyz", "/version", "/version/"))
"""What is answered without credentials: all that upstream shows to nobody."""

_PODS = builtin("pods")
_SERVICE_ACCOUNTS = builtin("serviceaccounts")


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user as authorization sees it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def info(self) -> KubeObject:
        """authentication/v1 UserInfo."""
        out: KubeObject = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            out["uid"] = self.uid
        if self.extra:
            out["extra"] = {key: list(values) for key, values in self.extra.items()}
        return out


NOBODY = User(ANONYMOUS, (UNAUTHENTICATED,))
ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """The groups that every ServiceAccount of a namespace is in."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def split_service_account(username: str) -> tuple[str, str] | None:
    """(namespace, name) of a ServiceAccount's username, or None when it is not one."""
    if not username.startswith(SERVICE_ACCOUNT):
        return None
    namespace, _, name = username[len(SERVICE_ACCOUNT) :].partition(":")
    return (namespace, name) if namespace and name and ":" not in name else None


class Tokens:
    """Signs and checks ServiceAccount tokens: JSON Web Tokens, HS256, as only this server reads them."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def issue(
        self,
        namespace: str,
        account: KubeObject,
        *,
        audiences: Sequence[str] = (),
        seconds: int = DEFAULT_SECONDS,
        pod: KubeObject | None = None,
    ) -> tuple[str, datetime]:
        """A token for an account, bound to a pod's life if one is given, and when it expires."""
        now = self._clock.now()
        expires = now + timedelta(seconds=seconds)
        metadata = account["metadata"]
        bound: dict[str, Any] = {
            "namespace": namespace,
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if pod is not None:
            bound["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        claims = {
            "aud": list(audiences) or [ISSUER],
            "exp": int(expires.timestamp()),
            "iat": int(now.timestamp()),
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": bound,
            "nbf": int(now.timestamp()),
            "sub": f"{SERVICE_ACCOUNT}{namespace}:{metadata['name']}",
        }
        signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{signed}.{self._signature(signed)}", expires.astimezone(UTC)

    def claims(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that we signed and that has not expired, else None."""
        signed, _, signature = token.rpartition(".")
        if signed.count(".") != 1 or not hmac.compare_digest(
            self._signature(signed).encode(), signature.encode(errors="replace")
        ):
            return None
        try:
            claims: dict[str, Any] = json.loads(_decode(signed.split(".")[1]))
        except ValueError:
            return None
        return claims if claims["exp"] > self._clock.now().timestamp() else None

    def _signature(self, signed: str) -> str:
        return _plain(hmac.new(self._key, signed.encode(errors="replace"), hashlib.sha256).digest())


class Authenticator:
    """Turns a bearer token into a user."""

    def __init__(self, registry: Registry, tokens: Tokens, admin_token: str) -> None:
        self._registry = registry
        self._tokens = tokens
        self._admin = admin_token.encode()

    def authenticate(self, authorization: str, path: str) -> User:
        """The user of an Authorization header. Raises StatusError 401.

        Without one it is nobody, who may come for a few paths alone, as with upstream's
        `anonymous: {enabled: true, conditions: [{path: /healthz}, ...]}`.
        """
        if not authorization and path in _PUBLIC:
            return NOBODY
        scheme, _, token = authorization.partition(" ")
        user = self.user_of(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def user_of(self, token: str, audiences: Sequence[str] = ()) -> User | None:
        """The user that a token stands for, or None when it is not (or no longer) valid."""
        if hmac.compare_digest(token.encode(errors="replace"), self._admin):
            return ADMIN
        claims = self._tokens.claims(token)
        if claims is None or not set(claims["aud"]) & set(audiences or (ISSUER,)):
            return None
        bound = claims["kubernetes.io"]
        namespace, account, pod = bound["namespace"], bound["serviceaccount"], bound.get("pod")
        if not self._exists("serviceaccounts", namespace, account):
            return None
        extra: dict[str, tuple[str, ...]] = {
            "authentication.kubernetes.io/credential-id": ("JTI=" + claims["jti"],)
        }
        if pod is not None:
            if not self._exists("pods", namespace, pod):
                return None
            extra["authentication.kubernetes.io/pod-name"] = (pod["name"],)
            extra["authentication.kubernetes.io/pod-uid"] = (pod["uid"],)
        groups = (*service_account_groups(namespace), AUTHENTICATED)
        return User(claims["sub"], groups, account["uid"], extra)

    def _exists(self, plural: str, namespace: str, bound: Mapping[str, str]) -> bool:
        resource = _PODS if plural == "pods" else _SERVICE_ACCOUNTS
        try:
            found = self._registry.get(resource, namespace, bound["name"])
        except StatusError:
            return False
        return bool(found["metadata"].get("uid") == bound["uid"])


def _encode(value: Mapping[str, Any]) -> str:
    return _plain(json.dumps(value, separators=(",", ":")).encode())


def _plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
