"""Create, read, update, versions, names, generations."""

import pytest
from registry_manifests import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    container,
    deployment,
    job,
    pod,
)

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import Registry, WriteOptions
from lab.localkube.registry.decoding import read_json, thaw

MERGE = "application/merge-patch+json"


def refused(code: int, reason: str):
    return pytest.raises(StatusError, check=lambda e: (e.code, e.reason) == (code, reason))


def test_it_is_a_registry(registry) -> None:
    seen: Registry = registry
    assert {r.key for r in seen.resources()} >= {"pods", "deployments.apps", "events.events.k8s.io"}
    assert seen.resource("apps", "v1", "deployments") == DEPLOYMENTS
    with refused(404, "NotFound"):
        seen.resource("apps", "v1", "nonsense")


def test_a_new_cluster_has_its_namespaces(registry) -> None:
    names = [n["metadata"]["name"] for n in registry.list(NAMESPACES).items]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    default = registry.get(NAMESPACES, "", "default")
    assert default["metadata"]["labels"] == {"kubernetes.io/metadata.name": "default"}
    assert default["spec"] == {"finalizers": ["kubernetes"]}
    assert default["status"] == {"phase": "Active"}


def test_create_fills_what_the_server_owns(registry) -> None:
    made = registry.create(
        PODS, "default", pod(meta={"uid": "mine", "creationTimestamp": "1999-01-01T00:00:00Z"})
    )
    metadata = made["metadata"]
    assert metadata["creationTimestamp"] == "2030-01-02T03:04:05Z"
    assert len(metadata["uid"]) == 36
    assert metadata["namespace"] == "default"
    assert int(metadata["resourceVersion"]) == registry.rv
    assert (made["kind"], made["apiVersion"]) == ("Pod", "v1")
    assert registry.get(PODS, "default", "p") is made


@pytest.mark.parametrize(
    ("namespace", "obj", "code", "reason", "message"),
    [
        ("default", pod("taken"), 409, "AlreadyExists", 'pods "taken" already exists'),
        ("nowhere", pod(), 404, "NotFound", 'namespaces "nowhere" not found'),
        (
            "default",
            pod(meta={"resourceVersion": "3"}),
            500,
            "",
            "resourceVersion should not be set on objects",
        ),
        (
            "default",
            pod(meta={"namespace": "other"}),
            400,
            "BadRequest",
            "the namespace of the provided object",
        ),
        ("default", {"spec": {}}, 422, "Invalid", "name or generateName is required"),
        ("default", pod() | {"kind": "Job"}, 400, "BadRequest", "must be of type Pod"),
        ("default", pod(containers={}), 400, "BadRequest", "cannot unmarshal object into Go struct field"),
        ("default", pod(hostNetwork="yes"), 400, "BadRequest", "of type bool"),
        ("default", pod(terminationGracePeriodSeconds="5"), 400, "BadRequest", "of type int64"),
    ],
)
def test_create_is_refused(registry, namespace, obj, code, reason, message) -> None:
    registry.create(PODS, "default", pod("taken"))
    rv = registry.rv
    with pytest.raises(StatusError) as caught:
        registry.create(PODS, namespace, obj)
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert message in caught.value.message
    assert registry.rv == rv


def test_generate_name_adds_five_characters(registry) -> None:
    obj = pod(meta={"name": "", "generateName": "web-"})
    names = {registry.create(PODS, "default", obj)["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(len(name) == 9 and name.startswith("web-") for name in names)
    long = registry.create(PODS, "default", pod(meta={"name": "", "generateName": "x" * 80}))
    assert len(long["metadata"]["name"]) == 63


def test_stale_version_is_a_conflict_and_none_is_accepted(registry) -> None:
    old = registry.create(DEPLOYMENTS, "default", deployment())
    registry.update(DEPLOYMENTS, "default", "web", thaw(old) | {"spec": old["spec"] | {"replicas": 2}})
    with refused(409, "Conflict") as caught:
        registry.update(DEPLOYMENTS, "default", "web", old)
    assert caught.value.message == (
        'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    fresh = registry.update(DEPLOYMENTS, "default", "web", deployment(replicas=3))
    assert fresh["spec"]["replicas"] == 3
    assert fresh["metadata"]["uid"] == old["metadata"]["uid"]


def test_lease_needs_its_version(registry) -> None:
    leases = builtin("leases")
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}
    registry.create(leases, "default", lease)
    with refused(422, "Invalid") as caught:
        registry.update(leases, "default", "l", lease)
    assert "must be specified for an update" in caught.value.message


def test_another_uid_is_a_conflict(registry) -> None:
    registry.create(DEPLOYMENTS, "default", deployment())
    other = deployment()
    other["metadata"]["uid"] = "other"
    with refused(409, "Conflict") as caught:
        registry.update(DEPLOYMENTS, "default", "web", other)
    assert "Precondition failed: UID in precondition: other" in caught.value.message


def test_name_must_match_the_url(registry) -> None:
    registry.create(DEPLOYMENTS, "default", deployment())
    with refused(400, "BadRequest"):
        registry.update(DEPLOYMENTS, "default", "web", deployment("other"))


def test_generation_counts_changes_of_the_spec_only(registry) -> None:
    made = registry.create(DEPLOYMENTS, "default", deployment())
    assert made["metadata"]["generation"] == 1
    labelled, _ = registry.patch(DEPLOYMENTS, "default", "web", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert labelled["metadata"]["generation"] == 1
    scaled, _ = registry.patch(DEPLOYMENTS, "default", "web", {"spec": {"replicas": 4}}, MERGE)
    assert scaled["metadata"]["generation"] == 2
    status = thaw(scaled) | {"status": {"replicas": 4}}
    told = registry.update(DEPLOYMENTS, "default", "web", status, subresource="status")
    assert told["metadata"]["generation"] == 2
    assert "generation" not in registry.create(PODS, "default", pod())["metadata"]


def test_a_write_that_changes_nothing_keeps_the_version(registry) -> None:
    made = registry.create(DEPLOYMENTS, "default", deployment())
    same, _ = registry.patch(DEPLOYMENTS, "default", "web", {"spec": {"replicas": 1}}, MERGE)
    assert same is made
    assert registry.update(DEPLOYMENTS, "default", "web", thaw(made)) is made
    assert registry.update(DEPLOYMENTS, "default", "web", thaw(made), subresource="status") is made


def test_main_resource_ignores_status_and_status_ignores_spec(registry) -> None:
    made = registry.create(DEPLOYMENTS, "default", deployment() | {"status": {"replicas": 9}})
    assert made["status"] == {}
    patch = {"spec": {"replicas": 2}, "status": {"replicas": 2}}
    main, _ = registry.patch(DEPLOYMENTS, "default", "web", patch, MERGE)
    assert (main["spec"]["replicas"], main["status"]) == (2, {})
    patch = {"spec": {"replicas": 7}, "status": {"replicas": 7}}
    status, _ = registry.patch(DEPLOYMENTS, "default", "web", patch, MERGE, subresource="status")
    assert (status["spec"]["replicas"], status["status"]) == (2, {"replicas": 7})


def test_scale_reads_and_writes_replicas(registry) -> None:
    registry.create(DEPLOYMENTS, "default", deployment())
    scale, created = registry.patch(
        DEPLOYMENTS, "default", "web", {"spec": {"replicas": 5}}, MERGE, subresource="scale"
    )
    assert (scale["kind"], scale["spec"], created) == ("Scale", {"replicas": 5}, False)
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    assert registry.get(DEPLOYMENTS, "default", "web")["spec"]["replicas"] == 5
    stale = thaw(scale) | {"spec": {"replicas": 6}}
    registry.update(DEPLOYMENTS, "default", "web", stale, subresource="scale")
    with refused(409, "Conflict"):
        registry.update(DEPLOYMENTS, "default", "web", stale, subresource="scale")
    with refused(422, "Invalid"):
        registry.patch(DEPLOYMENTS, "default", "web", {"spec": {"replicas": -1}}, MERGE, subresource="scale")
    with refused(404, "NotFound"):
        registry.patch(CONFIG_MAPS, "default", "x", {}, MERGE, subresource="scale")


def test_a_dry_run_does_everything_but_store(registry) -> None:
    rv, dry = registry.rv, WriteOptions(dry_run=True)
    made = registry.create(PODS, "default", pod(meta={"name": "", "generateName": "x-"}), dry)
    assert made["metadata"]["uid"]
    assert made["spec"]["restartPolicy"] == "Always"
    with refused(422, "Invalid"):
        registry.create(PODS, "default", pod("UPPER"), dry)
    registry.create(PODS, "default", pod())
    changed, _ = registry.patch(
        PODS, "default", "p", {"metadata": {"labels": {"x": "y"}}}, MERGE, options=dry
    )
    assert changed["metadata"]["labels"]["x"] == "y"
    assert registry.delete(PODS, "default", "p", options=dry)[1] is True
    assert registry.get(PODS, "default", "p")["metadata"]["labels"] == {"app": "web"}
    assert registry.rv == rv + 1


def test_unknown_fields_are_dropped_warned_about_or_refused(registry) -> None:
    obj = pod(containers=[container(imagee="x")], nodeNam="y")
    options = WriteOptions()
    made = registry.create(PODS, "default", obj, options)
    assert "nodeNam" not in made["spec"]
    assert options.warnings == ['unknown field "spec.containers[0].imagee"', 'unknown field "spec.nodeNam"']
    quiet = WriteOptions(field_validation="Ignore", dry_run=True)
    registry.create(PODS, "default", pod("q", nodeNam="y"), quiet)
    assert quiet.warnings == []
    with refused(400, "BadRequest") as caught:
        registry.create(PODS, "default", pod("s", nodeNam="y"), WriteOptions(field_validation="Strict"))
    assert caught.value.message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.nodeNam"'
    )
    with refused(422, "Invalid"):
        strict = WriteOptions(field_validation="Strict")
        registry.patch(PODS, "default", "p", {"spec": {"nodeNam": "y"}}, MERGE, options=strict)


def test_duplicate_fields_are_reported_by_the_reader() -> None:
    value, complaints = read_json(b'{"spec":{"replicas":1,"replicas":2,"l":[{"a":1,"a":1}]}}')
    assert value["spec"]["replicas"] == 2
    assert complaints == ['duplicate field "spec.replicas"', 'duplicate field "spec.l[0].a"']
    with refused(400, "BadRequest"):
        read_json(b"{nonsense")


def test_nulls_and_whole_floats_are_read_as_go_would(registry) -> None:
    made = registry.create(DEPLOYMENTS, "default", deployment(replicas=2.0, paused=None))
    assert made["spec"]["replicas"] == 2
    assert isinstance(made["spec"]["replicas"], int)
    assert "paused" not in made["spec"]


@pytest.mark.parametrize(
    ("patch", "content_type", "code", "reason"),
    [
        (
            [{"op": "test", "path": "/spec/replicas", "value": 9}],
            "application/json-patch+json",
            422,
            "Invalid",
        ),
        ({"op": "test"}, "application/json-patch+json", 400, "BadRequest"),
        ([], MERGE, 400, "BadRequest"),
        ({}, "application/json", 415, "UnsupportedMediaType"),
        ({"metadata": {"resourceVersion": "1"}}, MERGE, 409, "Conflict"),
    ],
)
def test_patch_is_refused(registry, patch, content_type, code, reason) -> None:
    registry.create(DEPLOYMENTS, "default", deployment())
    with refused(code, reason):
        registry.patch(DEPLOYMENTS, "default", "web", patch, content_type)


def test_a_strategic_patch_of_a_scale_may_name_its_workload(registry) -> None:
    """As Ansible's k8s_scale does: upstream merges into the type, whatever kind the patch names."""
    registry.create(DEPLOYMENTS, "default", deployment("d"))
    patch = {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 2}}
    kind = "application/strategic-merge-patch+json"
    scaled, _ = registry.patch(DEPLOYMENTS, "default", "d", patch, kind, subresource="scale")
    assert (scaled["kind"], scaled["spec"]["replicas"]) == ("Scale", 2)
    with pytest.raises(StatusError, match="expected kind Scale, but got Deployment"):
        registry.patch(DEPLOYMENTS, "default", "d", patch, MERGE, subresource="scale")


def test_strategic_merge_changes_one_container(registry) -> None:
    spec = {"containers": [container(), container(name="side", image="side:1")]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    registry.create(DEPLOYMENTS, "default", deployment(template=template))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:2"}]}}}}
    kind = "application/strategic-merge-patch+json; charset=utf-8"
    made, _ = registry.patch(DEPLOYMENTS, "default", "web", patch, kind)
    images = [c["image"] for c in made["spec"]["template"]["spec"]["containers"]]
    assert images == ["toil-lab:1", "side:2"]


def test_snapshots_are_never_written_to(registry) -> None:
    made = registry.create(DEPLOYMENTS, "default", deployment())
    before = thaw(made)
    registry.patch(DEPLOYMENTS, "default", "web", {"spec": {"template": {"spec": {"nodeName": "n"}}}}, MERGE)
    status = {"status": {"replicas": 1}, "metadata": {"annotations": {"a": "b"}}}
    registry.patch(DEPLOYMENTS, "default", "web", status, MERGE, subresource="status")
    registry.delete(DEPLOYMENTS, "default", "web")
    assert made == before


def test_a_job_selects_its_own_pods(registry) -> None:
    made = registry.create(JOBS, "default", job())
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "once"
    assert made["metadata"]["labels"] == labels
    assert made["spec"]["backoffLimit"] == 6


def test_events_of_both_groups_are_the_same_objects(registry) -> None:
    core, new = builtin("events", ""), builtin("events", "events.k8s.io")
    event = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Killing",
        "note": "bye",
        "type": "Normal",
        "reportingController": "kubelet",
        "eventTime": "2030-01-02T03:04:05.000000Z",
        "action": "Kill",
        "reportingInstance": "node",
    }
    registry.create(new, "default", event)
    stored = registry.get(core, "default", "e")
    assert (stored["apiVersion"], stored["message"], stored["involvedObject"]["name"]) == ("v1", "bye", "p")
    assert "note" not in stored
    assert len(registry.list(core, field_selector="involvedObject.name=p,reason=Killing").items) == 1
    assert len(registry.list(new, field_selector="regarding.name=p").items) == 1
    assert registry.get(new, "default", "e")["note"] == "bye"
