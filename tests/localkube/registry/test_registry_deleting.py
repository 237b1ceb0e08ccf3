"""Grace, finalizers, propagation, namespaces, eviction."""

import pytest
from registry_manifests import BUDGETS, CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, budget, deployment, pod

from lab.kube.status import StatusError
from lab.localkube.protocols import DeleteOptions, WriteOptions
from lab.localkube.registry.decoding import thaw

MERGE = "application/merge-patch+json"


def put_status(registry, resource, name: str, status: dict) -> dict:
    obj = thaw(registry.get(resource, "default", name)) | {"status": status}
    return registry.update(resource, "default", name, obj, subresource="status")


@pytest.fixture
def running(registry):
    registry.create(PODS, "default", pod())
    registry.bind("default", "p", "node-1")
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    put_status(registry, PODS, "p", ready)
    return registry


def exists(registry, resource, name: str) -> bool:
    return bool(registry.list(resource, "default", field_selector=f"metadata.name={name}").items)


def test_a_running_pod_is_marked_and_goes_when_the_kubelet_says_so(running) -> None:
    marked, gone = running.delete(PODS, "default", "p")
    assert not gone
    assert marked["metadata"]["deletionTimestamp"] == "2030-01-02T03:04:35Z"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert running.delete(PODS, "default", "p") == (marked, False)
    shorter, gone = running.delete(PODS, "default", "p", DeleteOptions(grace_period_seconds=5))
    assert shorter["metadata"]["deletionTimestamp"] == "2030-01-02T03:04:10Z"
    longer, gone = running.delete(PODS, "default", "p", DeleteOptions(grace_period_seconds=60))
    assert longer is shorter
    _, gone = running.delete(PODS, "default", "p", DeleteOptions(grace_period_seconds=0))
    assert gone
    assert not exists(running, PODS, "p")


def test_status_may_still_be_written_while_terminating(running) -> None:
    running.delete(PODS, "default", "p")
    put_status(running, PODS, "p", {"phase": "Failed"})
    assert exists(running, PODS, "p")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_finished_pods_vanish_at_once(running, phase) -> None:
    put_status(running, PODS, "p", {"phase": phase})
    assert running.delete(PODS, "default", "p")[1]


def test_unscheduled_pods_vanish_at_once(registry) -> None:
    registry.create(PODS, "default", pod())
    assert registry.delete(PODS, "default", "p")[1]


def test_finalizers_hold_an_object_until_the_last_is_removed(registry) -> None:
    registry.create(
        CONFIG_MAPS, "default", {"metadata": {"name": "c", "finalizers": ["example.com/a", "example.com/b"]}}
    )
    marked, gone = registry.delete(CONFIG_MAPS, "default", "c")
    assert not gone
    assert marked["metadata"]["deletionTimestamp"]
    patch = {"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}}
    with pytest.raises(StatusError, match="no new finalizers can be added"):
        registry.patch(CONFIG_MAPS, "default", "c", patch, MERGE)
    registry.patch(CONFIG_MAPS, "default", "c", {"metadata": {"finalizers": ["example.com/a"]}}, MERGE)
    assert exists(registry, CONFIG_MAPS, "c")
    registry.patch(CONFIG_MAPS, "default", "c", {"metadata": {"finalizers": None}}, MERGE)
    assert not exists(registry, CONFIG_MAPS, "c")


@pytest.mark.parametrize(
    ("policy", "finalizer"),
    [("Foreground", "foregroundDeletion"), ("Orphan", "orphan"), ("Background", None)],
)
def test_propagation_policies(registry, policy, finalizer) -> None:
    registry.create(DEPLOYMENTS, "default", deployment())
    left, gone = registry.delete(DEPLOYMENTS, "default", "web", DeleteOptions(propagation_policy=policy))
    assert gone is (finalizer is None)
    if finalizer:
        assert left["metadata"]["finalizers"] == [finalizer]
        assert left["metadata"]["generation"] == 2
        _, gone = registry.delete(
            DEPLOYMENTS, "default", "web", DeleteOptions(propagation_policy="Background")
        )
        assert gone


def test_unknown_policy_is_refused(registry) -> None:
    registry.create(DEPLOYMENTS, "default", deployment())
    with pytest.raises(StatusError, match="Unsupported value") as caught:
        registry.delete(DEPLOYMENTS, "default", "web", DeleteOptions(propagation_policy="Later"))
    assert caught.value.code == 422


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
def test_preconditions(registry, field) -> None:
    made = registry.create(PODS, "default", pod())
    with pytest.raises(StatusError, match="in the precondition") as caught:
        registry.delete(PODS, "default", "p", DeleteOptions(preconditions={field: "other"}))
    assert caught.value.code == 409
    right = DeleteOptions(preconditions={field: made["metadata"][field]})
    assert registry.delete(PODS, "default", "p", right)[1]


def test_delete_collection_honours_selectors(registry) -> None:
    for name, app in (("a", "web"), ("b", "db"), ("c", "web")):
        registry.create(PODS, "default", pod(name, labels={"app": app}))
    gone = registry.delete_collection(PODS, "default", label_selector="app=web")
    assert [item["metadata"]["name"] for item in gone.items] == ["a", "c"]
    assert [item["metadata"]["name"] for item in registry.list(PODS).items] == ["b"]


def test_a_namespace_terminates_until_it_is_finalized(registry) -> None:
    registry.create(NAMESPACES, "", {"metadata": {"name": "n"}})
    registry.create(CONFIG_MAPS, "n", {"metadata": {"name": "c"}})
    left, gone = registry.delete(NAMESPACES, "", "n")
    assert (gone, left["status"]["phase"]) == (False, "Terminating")
    with pytest.raises(StatusError) as caught:
        registry.create(PODS, "n", pod())
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    assert caught.value.message == (
        'pods "p" is forbidden: unable to create new content in namespace n because it is being terminated'
    )
    assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"
    registry.patch(NAMESPACES, "", "n", {"spec": {"finalizers": []}}, MERGE)
    assert registry.get(NAMESPACES, "", "n")["spec"]["finalizers"] == ["kubernetes"]
    registry.update(NAMESPACES, "", "n", thaw(left) | {"spec": {}}, subresource="finalize")
    with pytest.raises(StatusError, match='namespaces "n" not found'):
        registry.get(NAMESPACES, "", "n")


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_some_namespaces_stay(registry, name) -> None:
    with pytest.raises(StatusError, match="this namespace may not be deleted") as caught:
        registry.delete(NAMESPACES, "", name)
    assert caught.value.code == 403


def set_budget(registry, allowed: int, **more) -> None:
    registry.create(BUDGETS, "default", budget(minAvailable=1, **more))
    status = {
        "disruptionsAllowed": allowed,
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "expectedPods": 1,
        "observedGeneration": 1,
    }
    put_status(registry, BUDGETS, "web", status)


def test_eviction_spends_the_budget(running) -> None:
    set_budget(running, 1)
    running.evict("default", "p", {"metadata": {"name": "p"}})
    assert running.get(PODS, "default", "p")["metadata"]["deletionTimestamp"]
    status = running.get(BUDGETS, "default", "web")["status"]
    assert status["disruptionsAllowed"] == 0
    assert status["disruptedPods"] == {"p": "2030-01-02T03:04:05Z"}
    conditions = running.get(PODS, "default", "p")["status"]["conditions"]
    assert conditions[-1]["type"] == "DisruptionTarget"


def test_eviction_checks_its_preconditions_once(running) -> None:
    metadata = running.get(PODS, "default", "p")["metadata"]
    seen = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    with pytest.raises(StatusError, match="in the precondition"):
        running.evict("default", "p", {"deleteOptions": {"preconditions": {"uid": "other"}}})
    running.evict("default", "p", {"deleteOptions": {"preconditions": seen}})
    assert running.get(PODS, "default", "p")["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_spent_budget_refuses_even_in_a_dry_run(running, dry_run) -> None:
    set_budget(running, 0)
    with pytest.raises(StatusError) as caught:
        running.evict("default", "p", {}, WriteOptions(dry_run=dry_run))
    error = caught.value
    assert (error.code, error.reason) == (429, "TooManyRequests")
    assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert error.details["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget web needs 1 healthy pods and has 1 currently",
        }
    ]
    assert "Retry-After" not in error.headers
    assert "deletionTimestamp" not in running.get(PODS, "default", "p")["metadata"]


def test_a_dry_eviction_spends_nothing(running) -> None:
    set_budget(running, 1)
    rv = running.rv
    running.evict("default", "p", {}, WriteOptions(dry_run=True))
    running.evict("default", "p", {"deleteOptions": {"dryRun": ["All"]}})
    assert running.rv == rv


def test_a_budget_that_nobody_has_looked_at_asks_to_wait(running) -> None:
    running.create(BUDGETS, "default", budget(minAvailable=1))
    with pytest.raises(StatusError) as caught:
        running.evict("default", "p", {})
    assert caught.value.headers == {"Retry-After": "10"}
    assert "still being processed" in caught.value.details["causes"][0]["message"]


def test_two_budgets_are_an_error(running) -> None:
    running.create(BUDGETS, "default", budget("one", minAvailable=1))
    running.create(BUDGETS, "default", budget("two", minAvailable=1))
    with pytest.raises(StatusError, match="more than one PodDisruptionBudget") as caught:
        running.evict("default", "p", {})
    assert caught.value.code == 500


@pytest.mark.parametrize("phase", ["Pending", "Failed"])
def test_pods_that_serve_nobody_need_no_budget(running, phase) -> None:
    set_budget(running, 0)
    put_status(running, PODS, "p", {"phase": phase})
    running.evict("default", "p", {})
    assert running.get(BUDGETS, "default", "web")["status"]["disruptionsAllowed"] == 0


def test_unready_pods_may_go_while_the_budget_is_healthy(running) -> None:
    set_budget(running, 0)
    unready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    put_status(running, PODS, "p", unready)
    running.evict("default", "p", {})
    assert running.get(PODS, "default", "p")["metadata"]["deletionTimestamp"]


def test_binding_happens_once(registry) -> None:
    registry.create(PODS, "default", pod())
    registry.bind("default", "p", "n1")
    bound = registry.get(PODS, "default", "p")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    with pytest.raises(StatusError, match='pod p is already assigned to node "n1"') as caught:
        registry.bind("default", "p", "n2")
    assert caught.value.code == 409
