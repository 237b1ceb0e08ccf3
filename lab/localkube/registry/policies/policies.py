"""Validating admission policies: every write and every stream is held against those that are bound.

    a write ─► match constraints ─► binding ─► match conditions ─► validations ─► 422, Warning, or on

Source: k8s.io/apiserver/pkg/admission/plugin/policy/{generic,validating}.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lab.kube.objects import KubeObject, name_of
from lab.kube.status import StatusError, forbidden
from lab.localkube.protocols import AdmissionRequest
from lab.localkube.registry.policies.matching import namespace_in, read_matcher
from lab.localkube.registry.policies.policy import Binding, Denial, Policy
from lab.localkube.registry.policies.values import values_of
from lab.localkube.registry.served import NAMESPACES, POLICIES, POLICY_BINDINGS
from lab.localkube.store.store import Change, Store

_OWN = frozenset({POLICIES.key, POLICY_BINDINGS.key})
"""Policies do not judge policies: nobody shall lock themselves out."""

_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}


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
            denials, errors = policy.judge(values_of(request, matched, namespace, params=policy.has_params))
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
