"""Jobs: completions, failure, deadlines, suspension, indexes, expiry."""

from __future__ import annotations

from typing import Any

from controllers_cluster import Cluster, ManualClock, active, condition, template

from lab.kube.objects import KubeObject

TRACKING = "batch.kubernetes.io/job-tracking"


def job(cluster: Cluster, name: str = "task", **spec: Any) -> KubeObject:
    policy = spec.pop("restartPolicy", "Never")
    body = {"template": template(name, restartPolicy=policy)} | spec
    body["template"]["metadata"]["labels"] = {"app": name}
    return cluster.create("Job", name, spec=body)


def status(cluster: Cluster, name: str = "task") -> dict[str, Any]:
    return cluster.get("Job", name).get("status", {})


def is_true(cluster: Cluster, type: str, name: str = "task") -> bool:
    return condition(cluster.get("Job", name), type).get("status") == "True"


async def test_completes(cluster: Cluster) -> None:
    cluster.verdict = lambda pod: "Succeeded"
    job(cluster, completions=5, parallelism=2)
    await cluster.until(lambda: is_true(cluster, "Complete"))
    await cluster.settle()
    found = status(cluster)
    assert found["succeeded"] == 5
    assert found["completionTime"] >= found["startTime"]
    assert "active" not in found
    assert condition(cluster.get("Job", "task"), "SuccessCriteriaMet")["reason"] == "CompletionsReached"
    assert all(TRACKING not in pod["metadata"].get("finalizers", []) for pod in cluster.list("Pod"))
    assert "Completed" in cluster.reasons("task")


async def test_never_more_than_parallelism(cluster: Cluster) -> None:
    job(cluster, completions=6, parallelism=3)
    await cluster.until(lambda: status(cluster).get("ready") == 3)
    await cluster.settle()
    assert len(cluster.list("Pod")) == 3
    cluster.mark(cluster.list("Pod")[0], "Succeeded")
    await cluster.until(lambda: status(cluster).get("succeeded") == 1 and status(cluster).get("active") == 3)
    assert len(active(cluster.list("Pod"))) == 3


async def test_backoff_limit(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    cluster.verdict = lambda pod: "Failed"
    job(cluster, backoffLimit=2)
    await clock.advance(cluster, 5)
    assert status(cluster)["failed"] == 1
    await clock.advance(cluster, 8)
    assert status(cluster)["failed"] == 2
    await clock.advance(cluster, 25)
    assert status(cluster)["failed"] == 3
    failed = condition(cluster.get("Job", "task"), "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "BackoffLimitExceeded")
    assert failed["message"] == "Job has reached the specified backoff limit"


async def test_deadline_ends_running_pods(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    job(cluster, activeDeadlineSeconds=5)
    await clock.advance(cluster, 3)
    assert status(cluster)["active"] == 1
    await clock.advance(cluster, 4)
    assert condition(cluster.get("Job", "task"), "Failed")["reason"] == "DeadlineExceeded"
    assert cluster.list("Pod") == []


async def test_ttl_removes_the_job_and_its_pods(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    cluster.verdict = lambda pod: "Succeeded"
    job(cluster, ttlSecondsAfterFinished=10)
    await clock.advance(cluster, 5)
    assert is_true(cluster, "Complete")
    await clock.advance(cluster, 10)
    assert cluster.gone("Job", "task")
    assert cluster.list("Pod") == []


async def test_suspend_and_resume(cluster: Cluster) -> None:
    job(cluster, completions=2, parallelism=2)
    await cluster.until(lambda: status(cluster).get("ready") == 2)
    cluster.patch("Job", "task", {"spec": {"suspend": True}})
    await cluster.until(lambda: not cluster.list("Pod") and is_true(cluster, "Suspended"))
    await cluster.settle()
    assert "startTime" not in status(cluster)
    assert not status(cluster).get("failed")
    cluster.patch("Job", "task", {"spec": {"suspend": False}})
    await cluster.until(lambda: status(cluster).get("ready") == 2)
    assert condition(cluster.get("Job", "task"), "Suspended")["status"] == "False"


async def test_a_deleted_pod_counts_as_failed_and_is_replaced(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    job(cluster)
    await clock.advance(cluster, 1)
    [pod] = cluster.list("Pod")
    cluster.delete("Pod", pod["metadata"]["name"])
    await clock.advance(cluster, 15)
    [other] = cluster.list("Pod")
    assert other["metadata"]["uid"] != pod["metadata"]["uid"]
    assert status(cluster)["failed"] == 1


async def test_indexed_job_completes_every_index(cluster: Cluster) -> None:
    cluster.verdict = lambda pod: "Succeeded"
    job(cluster, completions=4, parallelism=2, completionMode="Indexed")
    await cluster.until(lambda: is_true(cluster, "Complete"))
    await cluster.settle()
    assert status(cluster)["completedIndexes"] == "0-3"
    assert status(cluster)["succeeded"] == 4
    label = "batch.kubernetes.io/job-completion-index"
    assert sorted(pod["metadata"]["annotations"][label] for pod in cluster.list("Pod")) == list("0123")


async def test_work_queue_ends_when_one_succeeded_and_all_stopped(cluster: Cluster) -> None:
    job(cluster, parallelism=2)
    await cluster.until(lambda: status(cluster).get("ready") == 2)
    first, second = cluster.list("Pod")
    cluster.mark(first, "Succeeded")
    await cluster.settle()
    assert not is_true(cluster, "Complete")
    cluster.mark(second, "Succeeded")
    await cluster.until(lambda: is_true(cluster, "Complete"))
    assert len(cluster.list("Pod")) == 2


async def test_failure_policy_fails_at_once(cluster: Cluster) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    job(cluster, podFailurePolicy={"rules": [rule]})
    await cluster.until(lambda: status(cluster).get("ready") == 1)
    [pod] = cluster.list("Pod")
    ended = {"exitCode": 42, "reason": "Error"}
    body = {"phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": ended}}]}
    cluster.registry.patch(
        cluster.registry.resource("", "v1", "pods"),
        "default",
        pod["metadata"]["name"],
        {"status": body},
        "application/merge-patch+json",
        subresource="status",
    )
    await cluster.until(lambda: is_true(cluster, "Failed"))
    assert condition(cluster.get("Job", "task"), "Failed")["reason"] == "PodFailurePolicy"


async def test_deleting_a_job_frees_its_pods(cluster: Cluster) -> None:
    job(cluster, parallelism=2, completions=2)
    await cluster.until(lambda: status(cluster).get("ready") == 2)
    cluster.delete("Job", "task", policy="Background")
    await cluster.until(lambda: not cluster.list("Pod"))
    assert cluster.gone("Job", "task")
