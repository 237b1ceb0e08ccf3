"""Questions asked by creating an object: may I, may they, who am I, whose token is it. And token requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from lab.core.clock import Clock, rfc3339
from lab.kube.objects import KubeObject
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError, bad_request, conflict, invalid
from lab.localkube.api.identity import DEFAULT_SECONDS, ISSUER, Authenticator, Tokens, User
from lab.localkube.api.rbac import Attributes, Authorizer
from lab.localkube.protocols import Registry

_SHORTEST, _LONGEST = 600, 1 << 32
_SERVICE_ACCOUNTS = builtin("serviceaccounts")
_PODS = builtin("pods")


class Reviews:
    """Answers reviews; nothing is stored."""

    def __init__(
        self,
        registry: Registry,
        authenticator: Authenticator,
        authorizer: Authorizer,
        tokens: Tokens,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._tokens = tokens
        self._clock = clock

    def answer(self, resource: Resource, namespace: str, obj: KubeObject, user: User) -> KubeObject:
        """The review with its status filled. Raises StatusError 400 or 422 for a malformed one."""
        spec = obj.get("spec") or {}
        if resource.plural == "selfsubjectaccessreviews":
            status = self._access(user, spec)
        elif resource.plural in ("subjectaccessreviews", "localsubjectaccessreviews"):
            status = self._access(self._subject(resource, namespace, spec), spec)
        elif resource.plural == "selfsubjectrulesreviews":
            status = self._rules(user, spec)
        elif resource.plural == "tokenreviews":
            status = self._token_review(spec)
        else:
            status = {"userInfo": user.info()}
        return {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": obj.get("metadata") or {},
            "spec": spec,
            "status": status,
        }

    def token_request(self, namespace: str, name: str, obj: KubeObject) -> KubeObject:
        """serviceaccounts/token: a new token. Raises StatusError 404, 409 and 422."""
        account = self._registry.get(_SERVICE_ACCOUNTS, namespace, name)
        spec = dict(obj.get("spec") or {})
        seconds = spec.get("expirationSeconds")
        if seconds is None:
            seconds = spec["expirationSeconds"] = DEFAULT_SECONDS
        if not isinstance(seconds, int) or not _SHORTEST <= seconds <= _LONGEST:
            why = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            cause = ("spec.expirationSeconds", "FieldValueInvalid", why)
            raise invalid("TokenRequest", "authentication.k8s.io", name, [cause])
        pod = self._bound_pod(namespace, name, spec.get("boundObjectRef"))
        audiences = spec["audiences"] = spec.get("audiences") or [ISSUER]
        token, expires = self._tokens.issue(namespace, account, audiences=audiences, seconds=seconds, pod=pod)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": rfc3339(expires)[:19] + "Z"},
        }

    def _bound_pod(self, namespace: str, name: str, ref: Mapping[str, Any] | None) -> KubeObject | None:
        if not ref:
            return None
        if ref.get("kind") != "Pod":
            raise bad_request(
                f'cannot bind token for serviceaccount "{name}" to {ref.get("kind")}: only pods'
            )
        pod = self._registry.get(_PODS, namespace, str(ref.get("name", "")))
        if ref.get("uid") and ref["uid"] != pod["metadata"]["uid"]:
            raise conflict(
                "pods",
                "",
                str(ref["name"]),
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record",
            )
        if (pod.get("spec") or {}).get("serviceAccountName", "default") != name:
            raise bad_request(
                f'cannot bind token for serviceaccount "{name}" to pod running with '
                "different serviceaccount name."
            )
        return pod

    def _access(self, user: User, spec: Mapping[str, Any]) -> KubeObject:
        reason = self._authorizer.reason(user, _attributes(spec))
        return {"allowed": reason is not None, **({"reason": reason} if reason else {})}

    def _subject(self, resource: Resource, namespace: str, spec: Mapping[str, Any]) -> User:
        if not spec.get("user") and not spec.get("groups"):
            why = "at least one of user or group must be specified"
            raise _invalid_review("spec.user", f'Invalid value: "": {why}')
        asked = (spec.get("resourceAttributes") or {}).get("namespace", "")
        if resource.namespaced and asked != namespace:
            problem = f'Invalid value: "{asked}": must match metadata.namespace'
            raise _invalid_review("spec.resourceAttributes.namespace", problem)
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        return User(
            str(spec.get("user", "")), tuple(spec.get("groups") or ()), str(spec.get("uid", "")), extra
        )

    def _rules(self, user: User, spec: Mapping[str, Any]) -> KubeObject:
        if not spec.get("namespace"):
            raise bad_request("no namespace on request")
        resource_rules, other_rules = [], []
        for rule in self._authorizer.rules(user, spec["namespace"]):
            if rule.get("nonResourceURLs"):
                other_rules.append({"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]})
            else:
                kept = ("verbs", "apiGroups", "resources", "resourceNames")
                resource_rules.append({key: rule[key] for key in kept if rule.get(key)})
        return {"resourceRules": resource_rules, "nonResourceRules": other_rules, "incomplete": False}

    def _token_review(self, spec: Mapping[str, Any]) -> KubeObject:
        token = spec.get("token")
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        audiences = list(spec.get("audiences") or ())
        user = self._authenticator.user_of(str(token), audiences)
        if user is None:
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": user.info(), "audiences": audiences or [ISSUER]}


def _invalid_review(field: str, problem: str) -> StatusError:
    """A 422 without a kind, as upstream's."""
    return invalid("", "authorization.k8s.io", "", [(field, "FieldValueInvalid", problem)])


def _attributes(spec: Mapping[str, Any]) -> Attributes:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource and other:
        shown = orjson.dumps({"Path": other.get("path", ""), "Verb": other.get("verb", "")}).decode()
        problem = f"Invalid value: {shown}: cannot be specified in combination with resourceAttributes"
        raise _invalid_review("spec.nonResourceAttributes", problem)
    if not resource and not other:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise _invalid_review("spec.resourceAttributes", f"Invalid value: null: {why}")
    if other:
        return Attributes(verb=str(other.get("verb", "")), path=str(other.get("path", "")))
    resource = resource or {}
    fields = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Attributes(**{name: str(resource.get(name) or "") for name in fields})
