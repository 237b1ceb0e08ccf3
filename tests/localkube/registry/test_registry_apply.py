"""Server-side apply and field ownership."""

import pytest
from registry_manifests import CONFIG_MAPS, DEPLOYMENTS, PODS, container, deployment, pod

from lab.kube.patch import APPLY_PATCH, JSON_PATCH, MERGE_PATCH
from lab.kube.status import StatusError
from lab.localkube.protocols import WriteOptions
from lab.localkube.registry.ownership import Manager, fields_of, track_update
from lab.localkube.registry.schemas import schema_of


def apply(registry, obj: dict, manager: str, **options: bool) -> tuple[dict, bool]:
    name = obj["metadata"]["name"]
    return registry.patch(
        DEPLOYMENTS, "default", name, obj, APPLY_PATCH, options=WriteOptions(field_manager=manager, **options)
    )


def with_image(image: str, **more: object) -> dict:
    spec = {"containers": [container(image=image, **more)]}
    return deployment(template={"metadata": {"labels": {"app": "web"}}, "spec": spec})


def only_replicas(number: int) -> dict:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": number},
    }


def owned(obj: dict, manager: str) -> dict:
    return next((m for m in obj["metadata"]["managedFields"] if m["manager"] == manager), {})


def first_container(obj: dict) -> dict:
    return obj["spec"]["template"]["spec"]["containers"][0]


def test_apply_creates_and_owns_what_it_said(registry) -> None:
    made, created = apply(registry, with_image("x:1"), "a")
    assert created
    assert made["spec"]["replicas"] == 1
    entry = owned(made, "a")
    assert (entry["operation"], entry["fieldsType"]) == ("Apply", "FieldsV1")
    assert entry["fieldsV1"] == {
        "f:spec": {
            "f:selector": {},
            "f:template": {
                "f:metadata": {"f:labels": {"f:app": {}}},
                "f:spec": {
                    "f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}}},
                },
            },
        }
    }


def test_applying_the_same_again_changes_nothing(registry, clock) -> None:
    made, _ = apply(registry, with_image("x:1"), "a")
    clock.instant = clock.instant.replace(year=2031)
    assert apply(registry, with_image("x:1"), "a") == (made, False)


def test_another_manager_conflicts_and_may_force(registry) -> None:
    apply(registry, with_image("x:1"), "a")
    with pytest.raises(StatusError) as caught:
        apply(registry, with_image("x:2"), "b")
    error = caught.value
    field = '.spec.template.spec.containers[name="c"].image'
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == f'Apply failed with 1 conflict: conflict with "a": {field}'
    assert error.details["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": field}
    ]
    forced, _ = apply(registry, with_image("x:2"), "b", force=True)
    assert first_container(forced)["image"] == "x:2"
    with pytest.raises(StatusError, match="Apply failed with 1 conflict"):
        apply(registry, with_image("x:1"), "a")


def test_agreeing_managers_share_a_field(registry) -> None:
    apply(registry, with_image("x:1"), "a")
    apply(registry, with_image("x:1"), "b")
    left, _ = apply(registry, deployment(), "c", force=True)
    assert first_container(left)["image"] == "toil-lab:1"


def test_what_is_no_longer_said_goes_unless_shared(registry) -> None:
    probe = {"httpGet": {"port": 80}}
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    apply(registry, with_image("x:1", livenessProbe=probe, env=env), "a")
    apply(registry, with_image("x:1", env=env[:1]), "b")
    left, _ = apply(registry, with_image("x:1"), "a")
    assert "livenessProbe" not in first_container(left)
    assert first_container(left)["env"] == env[:1]
    left, _ = apply(registry, with_image("x:1"), "b")
    assert "env" not in first_container(left) or first_container(left)["env"] == []


def test_updates_take_ownership_and_their_owner_is_named(registry) -> None:
    apply(registry, deployment(replicas=2), "a")
    options = WriteOptions(field_manager="kubectl-edit")
    edited, _ = registry.patch(
        DEPLOYMENTS, "default", "web", {"spec": {"replicas": 5}}, MERGE_PATCH, options=options
    )
    assert owned(edited, "kubectl-edit")["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in owned(edited, "a")["fieldsV1"]["f:spec"]
    with pytest.raises(StatusError) as caught:
        apply(registry, deployment(replicas=2), "a")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1 '
        "at 2030-01-02T03:04:05Z: .spec.replicas"
    )
    left, _ = apply(registry, deployment(), "a")
    assert left["spec"]["replicas"] == 5


def test_objects_that_nobody_tracked_belong_to_before(registry) -> None:
    registry.create(DEPLOYMENTS, "default", deployment())
    with pytest.raises(StatusError, match=r'conflict with "before-first-apply" using apps/v1: \.spec'):
        apply(registry, only_replicas(3), "a")
    made, created = apply(registry, only_replicas(3), "a", force=True)
    assert (made["spec"]["replicas"], created) == (3, False)


def test_status_is_owned_apart(registry) -> None:
    made, _ = apply(registry, deployment(), "a")
    told = registry.update(
        DEPLOYMENTS, "default", "web", made | {"status": {"replicas": 1}}, subresource="status"
    )
    entry = owned(told, "localkube")
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {"f:replicas": {}}})


def test_a_dry_apply_stores_nothing(registry) -> None:
    rv = registry.rv
    made, created = apply(registry, deployment(), "a", dry_run=True)
    assert (created, made["metadata"]["name"], registry.rv) == (True, "web", rv)


def test_managers_can_be_forgotten(registry) -> None:
    apply(registry, deployment(), "a")
    patch = {"metadata": {"managedFields": [{}]}}
    left, _ = registry.patch(DEPLOYMENTS, "default", "web", patch, MERGE_PATCH)
    assert "managedFields" not in left["metadata"]


def test_a_request_may_hand_fields_over(registry) -> None:
    options = WriteOptions(field_manager="kubectl-client-side-apply")
    made = registry.create(DEPLOYMENTS, "default", deployment(replicas=2), options)
    entry = owned(made, "kubectl-client-side-apply") | {"manager": "kubectl", "operation": "Apply"}
    handover = [
        {"op": "replace", "path": "/metadata/managedFields", "value": [entry]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
    ]
    registry.patch(DEPLOYMENTS, "default", "web", handover, JSON_PATCH, options=options)
    scaled, _ = apply(registry, deployment(replicas=3), "kubectl")
    assert scaled["spec"]["replicas"] == 3
    assert [m["manager"] for m in scaled["metadata"]["managedFields"]] == ["kubectl"]


def test_an_empty_list_of_managers_forgets_nothing(registry) -> None:
    made, _ = apply(registry, deployment(), "a")
    patch = {"metadata": {"managedFields": []}}
    assert registry.patch(DEPLOYMENTS, "default", "web", patch, MERGE_PATCH)[0] == made


def test_own_controllers_leave_no_trace_on_untracked_objects(registry) -> None:
    made = registry.create(PODS, "default", pod())
    assert "managedFields" not in made["metadata"]


def test_maps_are_merged_key_by_key(registry) -> None:
    def data(**values: str) -> dict:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": values}

    def put(manager: str, **values: str) -> dict:
        options = WriteOptions(field_manager=manager)
        return registry.patch(CONFIG_MAPS, "default", "c", data(**values), APPLY_PATCH, options=options)[0]

    put("a", x="1")
    assert put("b", y="2")["data"] == {"x": "1", "y": "2"}
    assert put("a")["data"] == {"y": "2"}


@pytest.mark.parametrize(
    ("obj", "manager", "code", "message"),
    [
        (deployment(), "", 422, "fieldManager: Required value: is required for apply patch"),
        (deployment() | {"kind": "Pod"}, "a", 400, "must be of type Deployment"),
        (deployment(replicas=-1), "a", 422, "must be greater than or equal to 0"),
        (
            deployment() | {"metadata": {"name": "web", "managedFields": [{"manager": "x"}]}},
            "a",
            400,
            "must be nil",
        ),
    ],
)
def test_apply_is_refused(registry, obj, manager, code, message) -> None:
    with pytest.raises(StatusError, match=message) as caught:
        apply(registry, obj, manager)
    assert caught.value.code == code


def test_what_admission_adds_is_nobodys(registry) -> None:
    made = registry.create(PODS, "default", pod("web"), WriteOptions(field_manager="kubectl-create"))
    assert made["spec"]["volumes"]
    assert made["spec"]["tolerations"]
    fields = owned(made, "kubectl-create")["fieldsV1"]["f:spec"]
    assert "f:containers" in fields
    assert not {"f:volumes", "f:tolerations", "f:serviceAccountName"} & fields.keys()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", {}),
        ("labels", {"app": "web"}),
        ("labels", {"app": "web", "more": "x"}),
        ("labels", {"more": "x"}),
        ("annotations", {"a": "b"}),
    ],
)
def test_who_changes_a_part_owns_what_a_look_at_the_whole_would_say(field: str, value: dict) -> None:
    schema = schema_of(PODS)
    old = pod("web")
    old["metadata"]["labels"] = {"app": "web"}
    new = pod("web")
    new["metadata"]["labels"] = {"app": "web"}
    new["metadata"][field] = value
    before = fields_of(old, schema, "", containers=True)
    after = fields_of(new, schema, "", containers=True)
    author = Manager("ann", "Update", "v1")
    other = Manager("bob", "Update", "v1", paths=frozenset(before))
    managers = {each.name: each.paths for each in track_update(old, new, schema, [other], author)}
    assert managers["ann"] == {path for path in after if before.get(path, author) != after[path]}
    assert managers["bob"] == {path for path in before if path in after} - managers["ann"]
