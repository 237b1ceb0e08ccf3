"""Validating admission policies: every write and every stream is held against those that are bound.

    a write ─► match constraints ─► binding ─► match conditions ─► validations ─► 422, Warning, or on

Source: k8s.io/apiserver/pkg/admission/plugin/policy/{generic,validating}.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from lab.kube.objects import KubeObject, name_of
from lab.kube.resources import Resource
from lab.kube.status import StatusError, forbidden
from lab.localkube.protocols import AdmissionRequest
from lab.localkube.registry.policies.fields import namespace_fields
from lab.localkube.registry.policies.matching import namespace_in, read_matcher
from lab.localkube.registry.policies.policy import Binding, Denial, Policy
from lab.localkube.registry.served import NAMESPACES, POLICIES, POLICY_BINDINGS, storage_of
from lab.localkube.store.store import Change, Store

_OWN = frozenset({POLICIES.key, POLICY_BINDINGS.key})
"""Policies do not judge policies: nobody shall lock themselves out."""

_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class Policies:
    """The policies of a store, compiled when they are first needed and again when they change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._active: list[Policy] = []
        self._stale = True
        store.subscribe(self._notice)

    def _notice(self, change: Change) -> None:
        if change.resource in _OWN:
            self._stale = True

    @property
    def idle(self) -> bool:
        """Is no policy bound?"""
        if self._stale:
            self._rebuild()
        return not self._active

    def _rebuild(self) -> None:
        bindings: dict[str, list[Binding]] = defaultdict(list)
        for obj in self._store.values(POLICY_BINDINGS.key):
            bindings[obj["spec"]["policyName"]].append(_binding(obj))
        self._active = [
            Policy(obj, bindings[name_of(obj)])
            for obj in self._store.values(POLICIES.key)
            if name_of(obj) in bindings
        ]
        self._stale = False

    def admit(self, request: AdmissionRequest) -> None:
        """Let a request pass, adding to its warnings, or refuse it.

        Raises StatusError: 422, or the code of the reason that the failed validation names.
        """
        if self.idle or request.resource.key in _OWN:
            return
        concerned = [policy for policy in self._active if not policy.spares(request.write.user)]
        if concerned:
            self._judge(request, concerned)

    def _judge(self, request: AdmissionRequest, policies: Sequence[Policy]) -> None:
        namespace = self._store.get(NAMESPACES.key, "", namespace_in(request))
        refusal: StatusError | None = None
        for policy in policies:
            matched = policy.matcher.match(request, namespace)
            bindings = [] if matched is None else _bindings(policy, request, namespace)
            if matched is None or not bindings:
                continue
            denials, errors = policy.judge(_values(request, matched, namespace, params=policy.has_params))
            for binding in bindings:
                refused = _act(request, policy, binding, denials) or _first(errors)
                if refused is not None and refusal is None:
                    refusal = _refusal(request, policy, binding, refused)
        if refusal is not None:
            raise refusal


def _binding(obj: KubeObject) -> Binding:
    resources = obj["spec"].get("matchResources")
    matcher = read_matcher(resources) if resources is not None else None
    return Binding(name_of(obj), matcher, frozenset(obj["spec"].get("validationActions") or ()))


def _bindings(policy: Policy, request: AdmissionRequest, namespace: KubeObject | None) -> list[Binding]:
    return [
        binding
        for binding in policy.bindings
        if binding.matcher is None or binding.matcher.match(request, namespace) is not None
    ]


def _act(
    request: AdmissionRequest, policy: Policy, binding: Binding, denials: Sequence[Denial]
) -> Denial | None:
    """Do with denials what the binding says; the first one when it says Deny. There is no audit log."""
    if "Warn" in binding.actions:
        head = (
            f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}': "
        )
        request.write.warnings.extend(head + denial.message for denial in denials)
    return _first(denials) if "Deny" in binding.actions else None


def _first(denials: Sequence[Denial]) -> Denial | None:
    return denials[0] if denials else None


def _refusal(request: AdmissionRequest, policy: Policy, binding: Binding, denial: Denial) -> StatusError:
    message = (
        f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}' "
        f"denied request: {denial.message}"
    )
    name = request.name or name_of(request.object or {}) or "Unknown"
    error = forbidden(request.resource.plural, request.resource.group, name, message)
    error.reason = denial.reason or "Invalid"
    error.code = _CODES.get(error.reason, 422)
    error.details = {**(error.details or {}), "causes": [{"message": message}]}
    return error


def _values(
    request: AdmissionRequest, matched: Resource, namespace: KubeObject | None, *, params: bool
) -> dict[str, Any]:
    """The variables of expressions. Fields that are empty are absent, as in upstream's JSON."""
    asked, kind = request.resource, request.kind
    obj, old = request.object, request.old
    if matched is not asked:
        kind = (matched.group, matched.version, matched.kind)
        obj, old = _converted(asked, matched, obj), _converted(asked, matched, old)
    about: KubeObject = {
        "kind": _kind(kind),
        "resource": _resource(matched),
        "requestKind": _kind(request.kind),
        "requestResource": _resource(asked),
        "operation": request.operation,
        "userInfo": request.write.user,
        "dryRun": request.dry_run,
    }
    optional = {
        "name": request.name,
        "namespace": namespace_in(request),
        "subResource": request.subresource,
        "requestSubResource": request.subresource,
        "options": _options(request),
    }
    about |= {key: value for key, value in optional.items() if value}
    of_namespace = namespace if asked.key != NAMESPACES.key else None
    values = {
        "request": about,
        "object": obj,
        "oldObject": old,
        "namespaceObject": namespace_fields(of_namespace),
    }
    return values | {"params": None} if params else values


def _converted(asked: Resource, matched: Resource, obj: KubeObject | None) -> KubeObject | None:
    return None if obj is None else storage_of(matched).read(storage_of(asked).write(obj))


def _kind(kind: tuple[str, str, str]) -> KubeObject:
    return {"group": kind[0], "version": kind[1], "kind": kind[2]}


def _resource(resource: Resource) -> KubeObject:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def _options(request: AdmissionRequest) -> KubeObject | None:
    if request.operation == "CONNECT":
        return None
    options: KubeObject = {"kind": _OPTIONS[request.operation], "apiVersion": "meta.k8s.io/v1"}
    if request.dry_run:
        options["dryRun"] = ["All"]
    if request.delete is None:
        if request.write.field_manager:
            options["fieldManager"] = request.write.field_manager
        return options | {"fieldValidation": request.write.field_validation}
    given = {
        "gracePeriodSeconds": request.delete.grace_period_seconds,
        "propagationPolicy": request.delete.propagation_policy,
        "preconditions": dict(request.delete.preconditions) or None,
    }
    return options | {key: value for key, value in given.items() if value is not None}
