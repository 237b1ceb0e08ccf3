"""Rolls out Deployments through ReplicaSets. Source: pkg/controller/deployment."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from lab.kube.objects import KubeObject, controller_of, labels_of, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers import rollout
from lab.localkube.controllers.base import (
    Controller,
    controller_keys,
    deleting,
    key_of,
    owner_reference,
)
from lab.localkube.controllers.claiming import claim
from lab.localkube.controllers.deployment_status import (
    calculate,
    complete,
    paused_condition,
    rollout_status,
    set_progress,
)
from lab.localkube.controllers.queue import Key
from lab.localkube.controllers.replicaset import REPLICASETS
from lab.localkube.controllers.selectors import matches
from lab.localkube.protocols import WatchEvent

DEPLOYMENTS = builtin("Deployment")


class DeploymentController(Controller):
    """Deployment → ReplicaSets."""

    name = "deployment-controller"
    listens = frozenset({"deployments.apps", "replicasets.apps", "pods"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "deployments":
            return [key_of(event.object)]
        if resource.plural == "replicasets":
            return self._of_replica_set(event)
        if event.type == "DELETED":  # Recreate waits for the last old pod
            return self._of_pod(event.object)
        return ()

    def _of_replica_set(self, event: WatchEvent) -> Iterable[Key]:
        owners = list(controller_keys(event, "Deployment"))
        if owners or controller_of(event.object) or event.type == "DELETED":
            return owners
        return [
            key_of(each)
            for each in self.cache.all("deployments.apps", namespace_of(event.object))
            if matches(each["spec"]["selector"], labels_of(event.object))
        ]

    def _of_pod(self, pod: KubeObject) -> Iterable[Key]:
        reference = controller_of(pod)
        if reference is None or reference.get("kind") != "ReplicaSet":
            return ()
        replica_set = self.cache.get("replicasets.apps", namespace_of(pod), str(reference["name"]))
        owner = controller_of(replica_set) if replica_set else None
        return [(namespace_of(pod), str(owner["name"]))] if owner else ()

    def reconcile(self, key: Key) -> float | None:
        deployment = self.cache.get("deployments.apps", *key)
        if deployment is None:
            return None
        sets = self._claim(deployment)
        if deleting(deployment):
            self._write(deployment, calculate(deployment, sets, self._newest(deployment, sets), self.now()))
            return None
        paused_condition(self, deployment)
        deployment = self.cache.get("deployments.apps", *key) or deployment
        if deployment["spec"].get("paused") or self._scaled(deployment, sets):
            return self._scale_only(deployment, sets)
        if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            return self._recreate(deployment, sets)
        return self._roll(deployment, sets)

    # Claiming and finding ReplicaSets

    def _claim(self, owner: KubeObject) -> list[KubeObject]:
        """Its ReplicaSets, oldest first, after adopting orphans and releasing strangers."""
        mine = claim(self, REPLICASETS, DEPLOYMENTS, owner)
        return sorted(
            mine, key=lambda each: (each["metadata"]["creationTimestamp"], rollout.revision_of(each))
        )

    def _newest(self, deployment: KubeObject, sets: list[KubeObject]) -> KubeObject | None:
        """The ReplicaSet of the present template."""
        template = deployment["spec"]["template"]
        digest = self._hash(deployment)
        for each in sets:
            if labels_of(each).get(rollout.HASH) == digest or rollout.same_template(
                each["spec"].get("template") or {}, template
            ):
                return each
        return None

    def _hash(self, deployment: KubeObject) -> str:
        collisions = int((deployment.get("status") or {}).get("collisionCount") or 0)
        return rollout.template_hash(deployment["spec"]["template"], collisions)

    def _sync_newest(self, deployment: KubeObject, sets: list[KubeObject], create: bool) -> KubeObject | None:
        """Find or create the newest ReplicaSet, with its revision and inherited annotations in order."""
        new = self._newest(deployment, sets)
        older = [each for each in sets if each is not new]
        revision = max((rollout.revision_of(each) for each in older), default=0) + 1
        if new is None:
            if not create:
                return None
            new = self._create(deployment, sets, revision)
        else:
            patch = self._inheritance(deployment, new, revision)
            if patch:
                new = self.patch(REPLICASETS, new, patch)
            if not (deployment.get("status") or {}).get("conditions"):
                message = f'Found new replica set "{name_of(new)}"'
                set_progress(self, deployment, "True", "FoundNewReplicaSet", message)
        self.annotate(DEPLOYMENTS, deployment, {rollout.REVISION: str(rollout.revision_of(new))})
        return new

    def _inheritance(self, deployment: KubeObject, new: KubeObject, revision: int) -> KubeObject:
        """What must change in an existing newest ReplicaSet: annotations, revision, minReadySeconds."""
        present = new["metadata"].get("annotations") or {}
        wanted = {
            key: value
            for key, value in (deployment["metadata"].get("annotations") or {}).items()
            if key not in rollout.NOT_COPIED
        }
        old = rollout.revision_of(new)
        if old < revision:
            wanted[rollout.REVISION] = str(revision)
            if old:
                before = present.get(rollout.HISTORY)
                wanted[rollout.HISTORY] = f"{before},{old}" if before else str(old)
        changed = {key: value for key, value in wanted.items() if present.get(key) != value}
        patch: KubeObject = {"metadata": {"annotations": changed}} if changed else {}
        minimum = int(deployment["spec"].get("minReadySeconds") or 0)
        if int(new["spec"].get("minReadySeconds") or 0) != minimum:
            patch["spec"] = {"minReadySeconds": minimum}
        return patch

    def _create(self, deployment: KubeObject, sets: list[KubeObject], revision: int) -> KubeObject:
        """Create the ReplicaSet of the present template."""
        digest = self._hash(deployment)
        new = self._blueprint(deployment, digest, revision)
        size = rollout.new_set_size(deployment, sets, new)
        new["spec"]["replicas"] = size
        try:
            made = self.registry.create(REPLICASETS, namespace_of(deployment), new)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                self._collide(deployment)
            else:
                message = f'Failed to create new replica set "{name_of(new)}": {error.message}'
                set_progress(self, deployment, "False", "ReplicaSetCreateError", message)
            raise
        if size:
            message = f"Scaled up replica set {name_of(made)} from 0 to {size}"
            self.events.event(deployment, "Normal", "ScalingReplicaSet", message)
        message = f'Created new replica set "{name_of(made)}"'
        set_progress(self, deployment, "True", "NewReplicaSetCreated", message)
        return made

    def _blueprint(self, deployment: KubeObject, digest: str, revision: int) -> KubeObject:
        spec = deployment["spec"]
        template = copy.deepcopy(spec["template"])
        labels = dict((template.get("metadata") or {}).get("labels") or {}) | {rollout.HASH: digest}
        template.setdefault("metadata", {})["labels"] = labels
        selector = copy.deepcopy(spec["selector"])
        selector["matchLabels"] = dict(selector.get("matchLabels") or {}) | {rollout.HASH: digest}
        inherited = {
            key: value
            for key, value in (deployment["metadata"].get("annotations") or {}).items()
            if key not in rollout.NOT_COPIED
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{name_of(deployment)}-{digest}",
                "labels": labels,
                "annotations": inherited | {rollout.REVISION: str(revision)} | self._sizes(deployment),
                "ownerReferences": [owner_reference(DEPLOYMENTS, deployment)],
            },
            "spec": {
                "replicas": 0,
                "minReadySeconds": int(spec.get("minReadySeconds") or 0),
                "selector": selector,
                "template": template,
            },
        }

    def _collide(self, deployment: KubeObject) -> None:
        """Another ReplicaSet has the name: the next attempt hashes differently."""
        status = copy.deepcopy(deployment.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        self._write(deployment, status)

    # Scaling

    def _sizes(self, deployment: KubeObject) -> dict[str, str]:
        wanted = rollout.replicas_of(deployment)
        return {
            rollout.DESIRED: str(wanted),
            rollout.MAX: str(wanted + rollout.fenceposts(deployment)[0]),
        }

    def _resize(self, deployment: KubeObject, replica_set: KubeObject, size: int) -> bool:
        """Set a ReplicaSet's size and its size annotations; True when the size changed."""
        before = rollout.replicas_of(replica_set)
        present = replica_set["metadata"].get("annotations") or {}
        sizes = {k: v for k, v in self._sizes(deployment).items() if present.get(k) != v}
        if size == before and not sizes:
            return False
        self.patch(REPLICASETS, replica_set, {"metadata": {"annotations": sizes}, "spec": {"replicas": size}})
        if size == before:
            return False
        direction = "up" if size > before else "down"
        message = f"Scaled {direction} replica set {name_of(replica_set)} from {before} to {size}"
        self.events.event(deployment, "Normal", "ScalingReplicaSet", message)
        return True

    def _scaled(self, deployment: KubeObject, sets: list[KubeObject]) -> bool:
        """Has spec.replicas changed since the active ReplicaSets were last sized?"""
        for each in sets:
            desired = (each["metadata"].get("annotations") or {}).get(rollout.DESIRED, "")
            sized = rollout.replicas_of(each) > 0 and desired.isdigit()
            if sized and int(desired) != rollout.replicas_of(deployment):
                return True
        return False

    def _scale_only(self, deployment: KubeObject, sets: list[KubeObject]) -> float | None:
        """Follow spec.replicas without moving the rollout on."""
        new = self._sync_newest(deployment, sets, create=False)
        self._proportional(deployment, self._fresh(deployment), new)
        deployment = self._present(deployment)
        sets = self._fresh(deployment)
        new = self._newest(deployment, sets)
        if deployment["spec"].get("paused"):
            self._clean_up(deployment, sets, new)
        self._write(deployment, calculate(deployment, sets, new, self.now()))
        return None

    def _proportional(self, deployment: KubeObject, sets: list[KubeObject], new: KubeObject | None) -> None:
        wanted = rollout.replicas_of(deployment)
        active = [each for each in sets if rollout.replicas_of(each) > 0]
        if len(active) <= 1:
            only = active[0] if active else (new or (sets[-1] if sets else None))
            if only is not None:
                self._resize(deployment, only, wanted)
            return
        if new is not None and self._saturated(deployment, new):
            for each in active:
                if name_of(each) != name_of(new):
                    self._resize(deployment, each, 0)
            return
        if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            return
        surge = rollout.fenceposts(deployment)[0]
        for each, size in rollout.proportions(deployment, active, surge):
            self._resize(deployment, each, size)

    def _saturated(self, deployment: KubeObject, new: KubeObject) -> bool:
        wanted = rollout.replicas_of(deployment)
        desired = (new["metadata"].get("annotations") or {}).get(rollout.DESIRED)
        return (
            rollout.replicas_of(new) == wanted and desired == str(wanted) and self._available(new) == wanted
        )

    # Rolling

    def _roll(self, deployment: KubeObject, sets: list[KubeObject]) -> float | None:
        new = self._sync_newest(deployment, sets, create=True)
        deployment, sets = self._present(deployment), self._fresh(deployment)
        new = self._newest(deployment, sets)
        if new is not None and not self._grow(deployment, sets, new):
            self._shrink_old(deployment, sets, new)
        return self._finish(deployment)

    def _grow(self, deployment: KubeObject, sets: list[KubeObject], new: KubeObject) -> bool:
        wanted = rollout.replicas_of(deployment)
        if rollout.replicas_of(new) >= wanted:
            return self._resize(deployment, new, wanted)
        lag = sum(max(0, self._alive(each) - rollout.replicas_of(each)) for each in sets)
        return self._resize(deployment, new, rollout.new_set_size(deployment, sets, new, lag))

    def _alive(self, replica_set: KubeObject) -> int:
        """Its active pods right now."""
        uid = replica_set["metadata"]["uid"]
        return sum(map(podfacts.active, self.cache.controlled("pods", namespace_of(replica_set), uid)))

    def _shrink_old(self, deployment: KubeObject, sets: list[KubeObject], new: KubeObject) -> None:
        """Give up old pods: unhealthy ones first, then as many as availability allows."""
        old = [each for each in sets if name_of(each) != name_of(new) and rollout.replicas_of(each) > 0]
        if not old:
            return
        floor = rollout.replicas_of(deployment) - rollout.max_unavailable(deployment)
        new_unavailable = rollout.replicas_of(new) - self._available(new)
        budget = rollout.total(sets) - floor - new_unavailable
        if budget <= 0:
            return
        sizes = {name_of(each): rollout.replicas_of(each) for each in old}
        available = {name_of(each): min(self._available(each), sizes[name_of(each)]) for each in old}
        for name in sizes:
            unhealthy = min(budget, sizes[name] - available[name])
            sizes[name] -= unhealthy
            budget -= unhealthy
        spare = min(budget, sum(available.values()) + self._available(new) - floor)
        for name in sizes:
            healthy = max(0, min(spare, sizes[name]))
            sizes[name] -= healthy
            spare -= healthy
        for each in old:
            self._resize(deployment, each, sizes[name_of(each)])

    def _recreate(self, deployment: KubeObject, sets: list[KubeObject]) -> float | None:
        new = self._sync_newest(deployment, sets, create=False)
        old = [each for each in self._fresh(deployment) if new is None or name_of(each) != name_of(new)]
        active = [each for each in old if rollout.replicas_of(each) > 0]
        for each in active:
            self._resize(deployment, each, 0)
        if active or any(self._running(each) for each in old):
            return self._finish(self._present(deployment))
        if new is None:
            new = self._sync_newest(deployment, self._fresh(deployment), create=True)
        if new is not None:
            self._resize(deployment, new, rollout.replicas_of(deployment))
        return self._finish(self._present(deployment))

    def _running(self, replica_set: KubeObject) -> bool:
        """Has it pods that have not ended yet?"""
        uid = replica_set["metadata"]["uid"]
        pods = self.cache.controlled("pods", namespace_of(replica_set), uid)
        return any(not podfacts.terminal(pod) for pod in pods)

    def _available(self, replica_set: KubeObject) -> int:
        """Its available pods right now; the status may be one reconcile behind."""
        minimum = int(replica_set["spec"].get("minReadySeconds") or 0)
        pods = self.cache.controlled("pods", namespace_of(replica_set), replica_set["metadata"]["uid"])
        now = self.now()
        return sum(
            1 for pod in pods if podfacts.active(pod) and podfacts.available_in(pod, minimum, now) == 0
        )

    # Finishing

    def _finish(self, deployment: KubeObject) -> float | None:
        """Write status and conditions, drop old ReplicaSets; seconds until the progress deadline."""
        sets = self._fresh(deployment)
        new = self._newest(deployment, sets)
        status, wait = rollout_status(deployment, sets, new, self.now())
        if complete(deployment, status):
            self._clean_up(deployment, sets, new)
        self._write(deployment, status)
        return wait

    def _clean_up(self, deployment: KubeObject, sets: list[KubeObject], new: KubeObject | None) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        old = [each for each in sets if new is None or name_of(each) != name_of(new)]
        old = sorted((each for each in old if not deleting(each)), key=rollout.revision_of)
        for each in old[: max(0, len(old) - int(limit))]:
            status = each.get("status") or {}
            observed = int(status.get("observedGeneration") or 0)
            idle = not status.get("replicas") and not rollout.replicas_of(each)
            if idle and observed >= int(each["metadata"].get("generation") or 0):
                self.delete(REPLICASETS, each)

    def _fresh(self, deployment: KubeObject) -> list[KubeObject]:
        """Its ReplicaSets as they are after this reconcile's writes, oldest first."""
        uid = deployment["metadata"]["uid"]
        sets = self.cache.controlled("replicasets.apps", namespace_of(deployment), uid)
        return sorted(
            sets, key=lambda each: (each["metadata"]["creationTimestamp"], rollout.revision_of(each))
        )

    def _present(self, deployment: KubeObject) -> KubeObject:
        return self.cache.get("deployments.apps", *key_of(deployment)) or deployment

    def _write(self, deployment: KubeObject, status: KubeObject) -> None:
        self.write_status(DEPLOYMENTS, self._present(deployment), status)
