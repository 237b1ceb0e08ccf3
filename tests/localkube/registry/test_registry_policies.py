"""Validating admission policies: what they see, whom they concern, how they refuse."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from registry_manifests import CONFIG_MAPS, DEPLOYMENTS, PODS, deployment, pod

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import AdmissionRequest, DeleteOptions, WriteOptions
from lab.localkube.registry.registry import LocalRegistry

POLICIES = builtin("validatingadmissionpolicies")
BINDINGS = builtin("validatingadmissionpolicybindings")
NAMESPACES = builtin("namespaces")
EVENTS, NEW_EVENTS = builtin("events", ""), builtin("events", "events.k8s.io")
EVERYTHING = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
APPLY, JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"
ANN = {"username": "ann", "groups": ["dev", "system:authenticated"], "extra": {"team": ["shop"]}}
SEEN = (
    "request.operation + ' ' + request.resource.resource"
    " + (has(request.subResource) ? '/' + request.subResource : '')"
    " + ' ' + request.kind.kind + ' ' + (has(request.name) ? request.name : '-')"
    " + (object == null ? ' none' : ' ' + object.kind) + (oldObject == null ? ' none' : ' ' + oldObject.kind)"
    " + (request.dryRun ? ' dry' : ' real') + ' ' + request.userInfo.username"
    " + ' ' + (namespaceObject == null ? '-' : namespaceObject.metadata.name)"
)


def policy(*validations: dict[str, Any], name: str = "p", **spec: Any) -> dict[str, Any]:
    constraints = {"resourceRules": [EVERYTHING]} | spec.pop("match", {})
    return {
        "metadata": {"name": name},
        "spec": {"matchConstraints": constraints, "validations": list(validations), **spec},
    }


def bind(registry: LocalRegistry, obj: dict[str, Any], action: str = "Deny", **spec: Any) -> None:
    """Create a policy and a binding to it."""
    registry.create(POLICIES, "", obj)
    name = obj["metadata"]["name"]
    bound = {"policyName": name, "validationActions": [action], **spec}
    registry.create(BINDINGS, "", {"metadata": {"name": f"{name}-binding"}, "spec": bound})


def config(name: str = "c", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": name}}, "data": data or {"other": "1"}}


def ann(**more: Any) -> WriteOptions:
    return WriteOptions(user=ANN, field_manager="ann", **more)


def refusal(call: Callable[[], object]) -> StatusError:
    with pytest.raises(StatusError) as caught:
        call()
    return caught.value


def admits(registry: LocalRegistry, obj: dict[str, Any] | None = None, **more: Any) -> bool:
    """Would a ConfigMap of ann's be let in?"""
    try:
        registry.create(CONFIG_MAPS, "default", obj or config(), ann(dry_run=True, **more))
    except StatusError as error:
        if "denied request" not in error.message:
            raise
        return False
    return True


def test_a_refusal_is_upstreams_to_the_letter(registry: LocalRegistry) -> None:
    no_x = {"expression": "!has(object.data.x)", "message": " no x here "}
    registry.create(POLICIES, "", policy(no_x))
    assert admits(registry, config(x="1"))  # nobody has bound it
    bound = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny", "Audit"]}}
    registry.create(BINDINGS, "", bound)
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config(x="1"), ann()))
    why = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no x here"
    assert error.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'configmaps "c" is forbidden: {why}',
        "reason": "Invalid",
        "code": 422,
        "details": {"name": "c", "kind": "configmaps", "causes": [{"message": why}]},
    }
    assert registry.list(CONFIG_MAPS, "default").items == []
    registry.delete(BINDINGS, "", "b")
    assert admits(registry, config(x="1"))


@pytest.mark.parametrize(
    ("reason", "code"),
    [("Forbidden", 403), ("Unauthorized", 401), ("RequestEntityTooLarge", 413), ("Invalid", 422)],
)
def test_the_reason_gives_the_code(registry: LocalRegistry, reason: str, code: int) -> None:
    bind(registry, policy({"expression": "false", "reason": reason}))
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config(), ann()))
    assert (error.reason, error.code) == (reason, code)


def test_every_kind_of_write_is_seen_as_upstream_shows_it(registry: LocalRegistry) -> None:
    registry.create(DEPLOYMENTS, "default", deployment())
    for name in ("p", "q", "r"):
        registry.create(PODS, "default", pod(name=name))
    bind(registry, policy({"expression": "false", "messageExpression": SEEN}), "Warn")

    def seen(write: Callable[[WriteOptions], object], **more: Any) -> list[str]:
        options = ann(field_validation="Ignore", **more)
        write(options)
        return [warning.partition("'p-binding': ")[2] for warning in options.warnings]

    where = ("default", "web")
    change = {"metadata": {"labels": {"a": "b"}}}
    tail = "Deployment web Deployment Deployment real ann default"
    for media, patch in (
        (MERGE, change),
        (STRATEGIC, change),
        (JSON_PATCH, [{"op": "add", "path": "/metadata/labels", "value": {"c": "d"}}]),
        (APPLY, {"metadata": {"name": "web", "annotations": {"a": "b"}}}),
    ):
        call = lambda o, p=patch, m=media: registry.patch(DEPLOYMENTS, *where, p, m, options=o)  # noqa: E731
        assert seen(call) == [f"UPDATE deployments {tail}"]
    status = {"status": {"replicas": 1}}
    assert seen(
        lambda o: registry.patch(DEPLOYMENTS, *where, status, MERGE, subresource="status", options=o)
    ) == [f"UPDATE deployments/status {tail}"]
    scale = {"spec": {"replicas": 7}}
    assert seen(
        lambda o: registry.patch(DEPLOYMENTS, *where, scale, MERGE, subresource="scale", options=o)
    ) == ["UPDATE deployments/scale Scale web Scale Scale real ann default"]
    assert seen(lambda o: registry.create(CONFIG_MAPS, "default", config(), o), dry_run=True) == [
        "CREATE configmaps ConfigMap c ConfigMap none dry ann default"
    ]
    applied = {"metadata": {"name": "made"}, "data": {}}
    assert seen(lambda o: registry.patch(CONFIG_MAPS, "default", "made", applied, APPLY, options=o)) == [
        "CREATE configmaps ConfigMap made ConfigMap none real ann default"
    ]
    named = seen(lambda o: registry.create(CONFIG_MAPS, "default", {"metadata": {"generateName": "g-"}}, o))
    assert named[0].startswith("CREATE configmaps ConfigMap g-")
    assert seen(lambda o: registry.create(NAMESPACES, "", {"metadata": {"name": "n"}}, o)) == [
        "CREATE namespaces Namespace n Namespace none real ann -"
    ]
    assert seen(lambda o: registry.delete(PODS, "default", "r", DeleteOptions(dry_run=True), o)) == [
        "DELETE pods Pod r none Pod dry ann default"
    ]
    assert seen(lambda o: registry.bind("default", "p", "n1", o)) == [
        "CREATE pods/binding Binding p Binding none real ann default"
    ]
    assert seen(lambda o: registry.evict("default", "q", {"metadata": {"name": "q"}}, o)) == [
        "CREATE pods/eviction Eviction q Eviction none real ann default"
    ]
    stream = AdmissionRequest(
        "CONNECT", PODS, "default", "p", "exec", ("", "v1", "PodExecOptions"), {"kind": "PodExecOptions"}
    )
    registry.admit(stream)
    assert stream.write.warnings[0].endswith(
        "CONNECT pods/exec PodExecOptions p PodExecOptions none real system:localkube default"
    )
    gone = seen(lambda o: registry.delete_collection(CONFIG_MAPS, "default", options=o))
    assert set(gone) == {"DELETE configmaps ConfigMap - none ConfigMap real ann default"}
    assert len(gone) == 2


def test_refusing_a_collection_names_nobody_and_keeps_all(registry: LocalRegistry) -> None:
    registry.create(CONFIG_MAPS, "default", config())
    bind(registry, policy({"expression": "request.operation != 'DELETE'"}))
    error = refusal(lambda: registry.delete_collection(CONFIG_MAPS, "default", options=ann()))
    assert error.message.startswith('configmaps "Unknown" is forbidden: ')
    assert len(registry.list(CONFIG_MAPS, "default").items) == 1


def rule(**fields: Any) -> dict[str, Any]:
    return {"match": {"resourceRules": [EVERYTHING | fields]}}


@pytest.mark.parametrize(
    ("match", "concerned"),
    [
        (rule(), True),
        (rule(apiGroups=["apps"]), False),
        (rule(apiGroups=[""], apiVersions=["v1"], resources=["configmaps"], operations=["CREATE"]), True),
        (rule(apiVersions=["v2"]), False),
        (rule(operations=["UPDATE", "DELETE", "CONNECT"]), False),
        (rule(resources=["configmaps/*"]), True),
        (rule(resources=["configmaps/status"]), False),
        (rule(resources=["*"]), True),
        (rule(resources=["*/scale"]), False),
        (rule(resourceNames=["c"]), True),
        (rule(resourceNames=["d"]), False),
        (rule(scope="Namespaced"), True),
        (rule(scope="Cluster"), False),
        ({"match": {"excludeResourceRules": [EVERYTHING]}}, False),
        ({"match": {"excludeResourceRules": [EVERYTHING | {"resources": ["pods"]}]}}, True),
        ({"match": {"objectSelector": {"matchLabels": {"app": "c"}}}}, True),
        ({"match": {"objectSelector": {"matchLabels": {"app": "d"}}}}, False),
        ({"match": {"namespaceSelector": {"matchLabels": {"tier": "shop"}}}}, True),
        ({"match": {"namespaceSelector": {"matchLabels": {"tier": "bank"}}}}, False),
        ({"matchConditions": [{"name": "a", "expression": "request.userInfo.username == 'ann'"}]}, True),
        ({"matchConditions": [{"name": "a", "expression": "request.userInfo.username == 'bob'"}]}, False),
        ({"matchConditions": [{"name": "a", "expression": "has(object.data.x)"}]}, False),
    ],
)  # fmt: skip
def test_whom_a_policy_concerns(registry: LocalRegistry, match: dict[str, Any], concerned: bool) -> None:
    registry.patch(NAMESPACES, "", "default", {"metadata": {"labels": {"tier": "shop"}}}, MERGE)
    bind(registry, policy({"expression": "false"}, **match))
    assert admits(registry) is not concerned


def test_a_binding_narrows_its_policy(registry: LocalRegistry) -> None:
    registry.create(NAMESPACES, "", {"metadata": {"name": "other"}})
    only = {"resourceRules": [EVERYTHING | {"resources": ["pods"]}]}
    bind(registry, policy({"expression": "false"}), matchResources=only)
    assert admits(registry)
    error = refusal(lambda: registry.create(PODS, "default", pod(name="p"), ann()))
    assert "with binding 'p-binding'" in error.message


def test_cluster_scoped_objects_are_not_exempt_by_namespace_but_namespaces_are_by_their_labels(
    registry: LocalRegistry,
) -> None:
    chosen = {"namespaceSelector": {"matchLabels": {"guarded": "yes"}}}
    bind(registry, policy({"expression": "false"}, match=chosen))
    node = {"metadata": {"name": "n"}}
    assert "denied" in refusal(lambda: registry.create(builtin("nodes"), "", node, ann())).message
    registry.create(NAMESPACES, "", {"metadata": {"name": "free"}}, ann())
    guarded = {"metadata": {"name": "guarded", "labels": {"guarded": "yes"}}}
    assert "denied" in refusal(lambda: registry.create(NAMESPACES, "", guarded, ann())).message


def test_an_object_is_selected_by_what_it_was_too(registry: LocalRegistry) -> None:
    registry.create(CONFIG_MAPS, "default", config("keep"))
    chosen = {"objectSelector": {"matchLabels": {"app": "keep"}}}
    bind(registry, policy({"expression": "false"}, match=chosen))
    strip = {"metadata": {"labels": {"app": "free"}}}
    refused = refusal(lambda: registry.patch(CONFIG_MAPS, "default", "keep", strip, MERGE, options=ann()))
    assert "denied" in refused.message


@pytest.mark.parametrize(("how", "concerned"), [("Equivalent", True), ("Exact", False)])
def test_events_are_one_resource_under_two_groups(registry: LocalRegistry, how: str, concerned: bool) -> None:
    core = EVERYTHING | {"apiGroups": [""], "resources": ["events"]}
    shown = "request.resource.group + '|' + request.requestResource.group + '|' + object.message"
    match = {"resourceRules": [core], "matchPolicy": how}
    bind(registry, policy({"expression": "false", "messageExpression": shown}, match=match))
    event = {
        "metadata": {"name": "e"},
        "note": "hello",
        "type": "Normal",
        "reason": "Said",
        "action": "Saying",
        "eventTime": "2030-01-01T00:00:00.000000Z",
        "reportingController": "example.com/sayer",
        "reportingInstance": "one",
    }
    if concerned:
        error = refusal(lambda: registry.create(NEW_EVENTS, "default", event, ann()))
        assert error.message.endswith("denied request: |events.k8s.io|hello")
    else:
        registry.create(NEW_EVENTS, "default", event, ann())


@pytest.mark.parametrize(
    ("conditions", "outcome"),
    [
        (["object.data.x == '1'"], "fails"),
        (["object.data.x == '1'", "false"], "skipped"),
        (["false", "object.data.x == '1'"], "skipped"),
        (["true", "object.data.x == '1'"], "fails"),
    ],
)
def test_match_conditions_that_cannot_be_evaluated(
    registry: LocalRegistry, conditions: list[str], outcome: str
) -> None:
    listed = [{"name": f"c{at}", "expression": text} for at, text in enumerate(conditions)]
    bind(registry, policy({"expression": "false"}, matchConditions=listed, failurePolicy="Ignore"))
    assert admits(registry)
    bind(registry, policy({"expression": "true"}, name="strict", matchConditions=listed))
    if outcome == "skipped":
        assert admits(registry)
        return
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config(), ann()))
    assert error.message.endswith(
        "denied request: expression 'object.data.x == '1'' resulted in error: no such key: x"
    )


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("object.data.y == '1'", "no such key: y"),
        ("object.data.x > 1", "No matching overloads found : _>_(string, int64)"),
        ("1 / (size(object.data) - 1) == 1", "divide by zero"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_or_ignored(
    registry: LocalRegistry, expression: str, why: str
) -> None:
    bind(registry, policy({"expression": expression}, name="ignored", failurePolicy="Ignore"))
    assert admits(registry, config(x="1"))
    bind(registry, policy({"expression": expression}))
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config(x="1"), ann()))
    assert error.message.endswith(f"denied request: expression '{expression}' resulted in error: {why}")
    assert (error.code, error.reason) == (422, "Invalid")


def test_endless_work_is_cut_short(registry: LocalRegistry) -> None:
    nested = (
        "object.data.x.split('').all(a, object.data.x.split('').all(b, object.data.x.split('').all(c, true)))"
    )
    bind(registry, policy({"expression": nested}))
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config(x="x" * 500), ann()))
    assert "Iteration budget exceeded" in error.message


def test_variables_build_on_each_other_and_only_matter_where_used(registry: LocalRegistry) -> None:
    variables = [
        {"name": "keys", "expression": "object.data.map(key, key)"},
        {"name": "many", "expression": "size(variables.keys) > 1"},
        {"name": "missing", "expression": "object.data.missing"},
    ]
    few = {
        "expression": "!variables.many",
        "messageExpression": "'too many: ' + string(size(variables.keys))",
    }
    bind(registry, policy(few, variables=variables))
    assert admits(registry, config(a="1"))
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config(a="1", b="2"), ann()))
    assert error.message.endswith("denied request: too many: 2")
    uses = {"expression": "variables.missing == 'x'"}
    bind(registry, policy(uses, name="uses", variables=variables))
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config(a="1"), ann()))
    assert (
        "composited variable \"missing\" fails to evaluate: expression 'object.data.missing'" in error.message
    )


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        ({"message": "plain"}, "plain"),
        ({}, "failed expression: object == null"),
        ({"messageExpression": "'made of ' + object.kind", "message": "plain"}, "made of ConfigMap"),
        ({"messageExpression": "'  '", "message": "plain"}, "plain"),
        ({"messageExpression": r"'a\nb'", "message": "plain"}, "plain"),
        ({"messageExpression": "string(object.nothing)", "message": "plain"}, "plain"),
        ({"messageExpression": f"'{'x' * 6000}'"}, "failed expression: object == null"),
    ],
)
def test_what_a_refusal_says(registry: LocalRegistry, validation: dict[str, Any], said: str) -> None:
    bind(registry, policy({"expression": " object == null "} | validation))
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config(), ann()))
    assert error.message.endswith(f"denied request: {said}")


def test_warn_warns_audit_is_silent_and_the_first_refusal_wins(registry: LocalRegistry) -> None:
    bind(registry, policy({"expression": "false", "message": "careful"}, name="w"), "Warn")
    bind(registry, policy({"expression": "false", "message": "noted"}, name="a"), "Audit")
    options = ann()
    registry.create(CONFIG_MAPS, "default", config(), options)
    assert options.warnings == [
        "Validation failed for ValidatingAdmissionPolicy 'w' with binding 'w-binding': careful"
    ]
    for name in ("d2", "d1"):
        bind(registry, policy({"expression": "false", "message": name}, name=name))
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config("other"), ann()))
    assert error.message.endswith("'d1' with binding 'd1-binding' denied request: d1")


def test_audit_annotations_are_dropped_but_must_work(registry: LocalRegistry) -> None:
    said = [{"key": "who", "valueExpression": "string(object.data.x)"}]
    bind(registry, policy(auditAnnotations=said))
    assert admits(registry, config(x="1"))
    assert not admits(registry)


def test_policies_judge_everybody_but_policies(registry: LocalRegistry) -> None:
    bind(registry, policy({"expression": "false"}))
    assert "denied" in refusal(lambda: registry.create(CONFIG_MAPS, "default", config())).message
    registry.patch(POLICIES, "", "p", {"metadata": {"labels": {"a": "b"}}}, MERGE, options=ann())
    registry.delete(POLICIES, "", "p", options=ann())
    registry.create(CONFIG_MAPS, "default", config())


def test_a_changed_policy_is_judged_anew_for_the_same_user(registry: LocalRegistry) -> None:
    only_bob = [{"name": "bob", "expression": "request.userInfo.username == 'bob'"}]
    bind(registry, policy({"expression": "false"}, matchConditions=only_bob))
    assert admits(registry)
    bob = WriteOptions(user={"username": "bob", "groups": []}, dry_run=True)
    assert "denied" in refusal(lambda: registry.create(CONFIG_MAPS, "default", config(), bob)).message
    everybody = [{"name": "bob", "expression": "request.userInfo.username != 'bob'"}]
    registry.patch(POLICIES, "", "p", {"spec": {"matchConditions": everybody}}, MERGE)
    assert not admits(registry)
    registry.create(CONFIG_MAPS, "default", config(), bob)


def test_policies_hold_after_a_restart(reopen: Callable[[], LocalRegistry]) -> None:
    bind(reopen(), policy({"expression": "false"}))
    assert not admits(reopen())


def test_the_options_of_a_request_can_be_read(registry: LocalRegistry) -> None:
    registry.create(CONFIG_MAPS, "default", config())
    seen = (
        "request.options.kind + (has(request.options.fieldManager) ? ' ' + request.options.fieldManager : '')"
        " + (has(request.options.gracePeriodSeconds) ? ' ' + string(request.options.gracePeriodSeconds) : '')"
        " + (has(request.options.dryRun) ? ' ' + request.options.dryRun[0] : '')"
        " + ' ' + request.userInfo.extra.team[0]"
    )
    bind(registry, policy({"expression": "false", "messageExpression": seen}))
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config("d"), ann(dry_run=True)))
    assert error.message.endswith("denied request: CreateOptions ann All shop")
    soon = DeleteOptions(grace_period_seconds=3)
    error = refusal(lambda: registry.delete(CONFIG_MAPS, "default", "c", soon, ann()))
    assert error.message.endswith("denied request: DeleteOptions 3 shop")


@pytest.mark.parametrize(
    "expression",
    [
        "object.?data.?x.orValue('none') == 'none'",
        "object.metadata.name.matches('^[a-z]+$') && 'abc'.indexOf('c') == 2",
        "'a,b'.split(',').join('-') == 'a-b' && 'AbC'.lowerAscii() == 'abc'",
        "object.metadata.labels.all(key, key.startsWith('a')) && object.metadata.name in ['c', 'd']",
        "duration('1h') > duration('59m')",
        "timestamp(object.metadata.creationTimestamp).getFullYear() == 2030",
        "'%s has %d'.format([object.kind, 2]) == 'ConfigMap has 2'",
    ],
)
def test_the_language_has_what_kubernetes_gives_it(registry: LocalRegistry, expression: str) -> None:
    bind(registry, policy({"expression": expression}))
    assert admits(registry)


def test_the_library_takes_no_references_away(registry: LocalRegistry) -> None:
    """A lost reference to None ends a process of Python 3.11, sooner or later."""
    nulls = [{"name": "nulls", "expression": "[oldObject, null, {'a': [null]}]"}]
    shown = {"expression": "oldObject != null || variables.nulls[1] != null", "messageExpression": "null"}
    with pytest.raises(StatusError):
        registry.create(POLICIES, "", policy(shown, name="q", variables=nulls))
    shown["messageExpression"] = "string(size(variables.nulls))"
    bind(registry, policy(shown, variables=nulls))
    assert "denied request: 3" in refusal(lambda: registry.create(CONFIG_MAPS, "default", config())).message
    warn = {"policyName": "p", "validationActions": ["Warn"]}
    registry.create(BINDINGS, "", {"metadata": {"name": "w"}, "spec": warn})
    registry.delete(BINDINGS, "", "p-binding")
    request = AdmissionRequest("CREATE", CONFIG_MAPS, "default", "c", object=config())
    registry.admit(request)
    gc.collect()
    before = sys.getrefcount(None)
    for _ in range(3_000):
        registry.admit(request)
    gc.collect()
    assert sys.getrefcount(None) > before - 1_000


def causes(registry: LocalRegistry, resource: Any, obj: dict[str, Any]) -> dict[str, str]:
    error = refusal(lambda: registry.create(resource, "", obj))
    assert (error.code, error.reason) == (422, "Invalid")
    return {cause["field"]: cause["message"] for cause in (error.details or {})["causes"]}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("object.spec.replicas", "must evaluate to bool but got dyn"),
        ("1", "must evaluate to bool but got int"),
        ("nothing.x == 1", "undeclared reference to 'nothing.x' (in container '')"),
        ("authorizer.group('x')", "undeclared reference to 'authorizer' (in container '')"),
        ("variables.x == 1", "undefined field 'x'"),
        ("request.user == 'ann'", "ERROR: <input>:1:8: undefined field 'user'"),
        ("has(request.userInfo.group)", "ERROR: <input>:1:21: undefined field 'group'"),
        ("namespaceObject.metadata.label == {}", "undefined field 'label'"),
        ("1 + 'a' == 2", "found no matching overload for '_+_' applied to '(int, string)'"),
        ("a b", "Syntax error: extraneous input 'b' expecting <EOF>"),
    ],
)
def test_what_does_not_compile_is_refused(registry: LocalRegistry, expression: str, why: str) -> None:
    found = causes(registry, POLICIES, policy({"expression": expression}))
    assert list(found) == ["spec.validations[0].expression"]
    message = found["spec.validations[0].expression"]
    assert why in message
    assert message.startswith(f"Invalid value: {json.dumps(expression)}: ")


@pytest.mark.parametrize("expression", ["request.dryRun", "request.?dryRun.orValue(false)", "variables.dry"])
def test_what_upstream_gives_a_type_may_stand_alone(registry: LocalRegistry, expression: str) -> None:
    variables = [{"name": "dry", "expression": "request.dryRun"}, {"name": "free", "expression": "object.x"}]
    text = {"expression": expression, "messageExpression": "request.userInfo.username"}
    bind(registry, policy(text, variables=variables))
    assert admits(registry)
    error = refusal(lambda: registry.create(CONFIG_MAPS, "default", config(), ann()))
    assert error.message.endswith("denied request: ann")
    untyped = policy({"expression": "variables.free"}, name="untyped", variables=variables)
    assert (
        "must evaluate to bool but got dyn" in refusal(lambda: registry.create(POLICIES, "", untyped)).message
    )


def test_text_in_quotes_is_no_field(registry: LocalRegistry) -> None:
    registry.create(POLICIES, "", policy({"expression": "'request.nothing' != \"\" // request.nothing"}))


def test_every_problem_of_a_policy_is_told_at_once(registry: LocalRegistry) -> None:
    bad = policy(
        {"expression": " ", "message": "a\nb", "messageExpression": " ", "reason": "Because"},
        match={"resourceRules": [{"operations": ["READ"], "resources": ["pods"]}], "matchPolicy": "Nearly"},
        failurePolicy="Perhaps",
        variables=[{"name": "in", "expression": "1"}, {"name": "", "expression": ""}],
        matchConditions=[{"name": "a", "expression": "true"}, {"name": "a", "expression": "variables.in"}],
        paramKind={"apiVersion": "v1"},
    )
    assert set(causes(registry, POLICIES, bad)) == {
        "spec.failurePolicy",
        "spec.matchConstraints.matchPolicy",
        "spec.matchConstraints.resourceRules[0].apiGroups",
        "spec.matchConstraints.resourceRules[0].apiVersions",
        "spec.matchConstraints.resourceRules[0].operations[0]",
        "spec.paramKind.kind",
        "spec.matchConditions[1].expression",
        "spec.matchConditions[1].name",
        "spec.variables[0].name",
        "spec.variables[1].name",
        "spec.variables[1].expression",
        "spec.validations[0].expression",
        "spec.validations[0].message",
        "spec.validations[0].messageExpression",
        "spec.validations[0].reason",
    }
    assert set(causes(registry, POLICIES, {"metadata": {"name": "p"}})) == {
        "spec.matchConstraints",
        "spec.validations",
        "spec.auditAnnotations",
    }


def test_bindings_are_checked_and_parameters_refused(registry: LocalRegistry) -> None:
    reference = {"name": "settings", "parameterNotFoundAction": "Deny"}
    spec = {"policyName": "p", "paramRef": reference, "validationActions": ["Deny", "Warn", "Warn", "Shout"]}
    found = causes(registry, BINDINGS, {"metadata": {"name": "b"}, "spec": spec})
    assert found["spec.paramRef"] == (
        "Forbidden: parameters are not supported by localkube: write the values into the policy, or use a "
        "real cluster"
    )
    assert set(found) == {
        "spec.paramRef",
        "spec.validationActions",
        "spec.validationActions[2]",
        "spec.validationActions[3]",
    }
    assert set(causes(registry, BINDINGS, {"metadata": {"name": "b"}})) == {
        "spec.policyName",
        "spec.validationActions",
    }


def test_defaults_generation_and_status(registry: LocalRegistry) -> None:
    made = registry.create(
        POLICIES, "", policy({"expression": "true"}) | {"status": {"observedGeneration": 9}}
    )
    assert made["spec"]["failurePolicy"] == "Fail"
    constraints = made["spec"]["matchConstraints"]
    assert constraints["matchPolicy"] == "Equivalent"
    assert (constraints["namespaceSelector"], constraints["objectSelector"]) == ({}, {})
    assert constraints["resourceRules"][0]["scope"] == "*"
    assert (made["metadata"]["generation"], made.get("status")) == (1, {})
    patch = {"spec": {"failurePolicy": "Ignore"}, "status": {"observedGeneration": 9}}
    changed, _ = registry.patch(POLICIES, "", "p", patch, MERGE)
    assert (changed["metadata"]["generation"], changed["status"]) == (2, {})
    told, _ = registry.patch(
        POLICIES, "", "p", {"status": {"observedGeneration": 2}}, MERGE, subresource="status"
    )
    assert (told["status"], told["metadata"]["generation"]) == ({"observedGeneration": 2}, 2)
