"""Keeps the replicas of a workload where its metrics want them.

    metrics ─► proposal ─► stabilization ─► rates, minimum, maximum ─► scale subresource

Source: pkg/controller/podautoscaler/horizontal.go.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from lab.kube.objects import KubeObject, labels_of, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.kube.selectors import SelectorError, parse_label_selector
from lab.kube.status import StatusError
from lab.localkube.controllers.autoscaler_limits import Bounds, History
from lab.localkube.controllers.autoscaler_metrics import Findings, evaluate
from lab.localkube.controllers.autoscaler_replicas import Question, UsageOf
from lab.localkube.controllers.base import Context, Controller, key_of, with_condition
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent
from lab.localkube.registry.scale import scale_of

AUTOSCALERS = builtin("HorizontalPodAutoscaler")
SYNC_SECONDS = 15.0
"""How often each autoscaler looks, where nothing else is said: upstream's."""

_NO_SCALE = "the HPA controller was unable to get the target's current scale: "


class _Stopped(Exception):
    """Nothing more can be done this time; the status says why."""


class AutoscalerController(Controller):
    """HorizontalPodAutoscaler + what its pods use → replicas of its target.

    usage: what the containers of a pod use. sync: seconds between two looks at an autoscaler; it also looks
    at once when the object is new or its spec has changed.
    """

    name = "horizontal-pod-autoscaler"
    listens = frozenset({"horizontalpodautoscalers.autoscaling"})

    def __init__(self, context: Context, *, usage: UsageOf, sync: float = SYNC_SECONDS) -> None:
        super().__init__(context)
        self.usage = usage
        self._sync = sync
        self._histories: dict[Key, History] = {}

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        before = event.previous
        if event.type == "MODIFIED" and before and before.get("spec") == event.object.get("spec"):
            return ()
        return [key_of(event.object)]

    def reconcile(self, key: Key) -> float | None:
        autoscaler = self.cache.get("horizontalpodautoscalers.autoscaling", *key)
        if autoscaler is None:
            self._histories.pop(key, None)
            return None
        run = _Run(self, autoscaler, self._histories.setdefault(key, History()))
        try:
            run.scale()
        except _Stopped:
            pass
        self.write_status(AUTOSCALERS, autoscaler, run.status)
        return self._sync

    def target(self, autoscaler: KubeObject) -> tuple[Resource, KubeObject]:
        """The resource and the Scale that an autoscaler is about. Raises StatusError 404."""
        reference = autoscaler["spec"]["scaleTargetRef"]
        group, kind = str(reference.get("apiVersion", "")).rpartition("/")[0], reference["kind"]
        known = [each for each in self.registry.resources() if (each.group, each.kind) == (group, kind)]
        if not known:
            why = f'no matches for kind "{kind}" in group "{group}"'
            raise StatusError(404, "NotFound", why, details={})
        resource = next((each for each in known if "scale" in each.subresources), None)
        if resource is None:
            why = "the server could not find the requested resource"
            raise StatusError(404, "NotFound", why, details={})
        found = self.registry.get(resource, namespace_of(autoscaler), reference["name"])
        return resource, scale_of(resource, found)

    def pods(self, namespace: str, selector: str) -> list[KubeObject]:
        """The pods of a Scale, in name order. Raises SelectorError."""
        wanted = parse_label_selector(selector)
        found = [pod for pod in self.cache.all("pods", namespace) if wanted.matches(labels_of(pod))]
        return sorted(found, key=name_of)

    def rivals(self, namespace: str, pods: list[KubeObject]) -> list[str]:
        """`namespace/name` of every autoscaler whose target has one of these pods."""
        found = []
        for other in self.cache.all("horizontalpodautoscalers.autoscaling", namespace):
            try:
                selector = self.target(other)[1]["status"].get("selector")
                wanted = parse_label_selector(selector) if selector else None
            except (StatusError, SelectorError):
                continue
            if wanted and any(wanted.matches(labels_of(pod)) for pod in pods):
                found.append(f"{namespace}/{name_of(other)}")
        return sorted(found)


class _Run:
    """One look at one autoscaler; `status` is what comes of it."""

    def __init__(self, controller: AutoscalerController, autoscaler: KubeObject, history: History) -> None:
        self._controller = controller
        self._autoscaler = autoscaler
        self._history = history
        self._namespace = namespace_of(autoscaler)
        self._spec = autoscaler["spec"]
        self._moment = controller.clock.monotonic()
        self.status: KubeObject = copy.deepcopy(autoscaler.get("status") or {})

    def scale(self) -> None:
        """Bring the target to the count that is wanted. Raises _Stopped."""
        resource, scale = self._target()
        current = scale["spec"].get("replicas", 0)
        self._history.begin(self._moment, current)
        minimum, maximum = self._spec.get("minReplicas", 1), self._spec["maxReplicas"]
        desired, reason = current, ""
        statuses: list[KubeObject] = []
        if current == 0 and minimum != 0:
            why = "scaling is disabled since the replica count of the target is zero"
            self._condition("ScalingActive", "False", "ScalingDisabled", why)
        elif current > maximum:
            desired, reason = maximum, "Current number of replicas above Spec.MaxReplicas"
        elif current < minimum:
            desired, reason = minimum, "Current number of replicas below Spec.MinReplicas"
        else:
            found = self._look(scale, current)
            statuses = found.statuses
            wish = found.replicas
            if wish != current:
                reason = f"{found.metric} above target" if wish > current else "All metrics below target"
            desired = self._limited(Bounds(minimum, maximum, current), wish)
        if desired != current:
            self._rescale(resource, scale, desired, reason, statuses)
        self._counts(current, desired, statuses)

    def _target(self) -> tuple[Resource, KubeObject]:
        try:
            resource, scale = self._controller.target(self._autoscaler)
        except StatusError as error:
            self._warn("FailedGetScale", error.message)
            self._condition("AbleToScale", "False", "FailedGetScale", _NO_SCALE + error.message)
            raise _Stopped from error
        why = "the HPA controller was able to get the target's current scale"
        self._condition("AbleToScale", "True", "SucceededGetScale", why)
        return resource, scale

    def _look(self, scale: KubeObject, current: int) -> Findings:
        """Ask the metrics. Raises _Stopped when they are not enough to act on."""
        pods = self._pods(scale, current)
        metrics = self._spec.get("metrics") or []
        question = Question("", "", pods, current, self._controller.now())
        found = evaluate(metrics, question, self._controller.usage, self._namespace)
        for failure in found.failures:
            self._warn(failure.reason, failure.message)
        if found.unusable(current):
            first = found.failures[0]
            why = f"the HPA was unable to compute the replica count: {first.message}"
            self._condition("ScalingActive", "False", first.reason, why)
            self._give_up(current, found.statuses, found.problem(len(metrics)))
        why = f"the HPA was able to successfully calculate a replica count from {found.metric}"
        self._condition("ScalingActive", "True", "ValidMetricFound", why)
        return found

    def _pods(self, scale: KubeObject, current: int) -> list[KubeObject]:
        selector = scale["status"].get("selector", "")
        if not selector:
            self._warn("SelectorRequired", "selector is required")
            why = "the HPA target's scale is missing a selector"
            self._condition("ScalingActive", "False", "InvalidSelector", why)
            self._give_up(current, [], "selector is required")
        try:
            pods = self._controller.pods(self._namespace, selector)
        except SelectorError as error:
            why = f"couldn't convert selector into a corresponding internal selector object: {error}"
            self._warn("InvalidSelector", why)
            self._condition("ScalingActive", "False", "InvalidSelector", why)
            self._give_up(current, [], why)
        rivals = self._controller.rivals(self._namespace, pods)
        if len(rivals) > 1:
            why = f"pods by selector {selector} are controlled by multiple HPAs: [{' '.join(rivals)}]"
            self._warn("AmbiguousSelector", why)
            self._condition("ScalingActive", "False", "AmbiguousSelector", why)
            self._give_up(current, [], why)
        return pods

    def _limited(self, bounds: Bounds, wish: int) -> int:
        decision = self._history.decide(self._moment, bounds, wish, self._spec.get("behavior"))
        self._condition("AbleToScale", "True", *decision.able)
        self._condition("ScalingLimited", "True" if decision.limited else "False", *decision.limit)
        return decision.replicas

    def _rescale(
        self, resource: Resource, scale: KubeObject, desired: int, reason: str, statuses: list[KubeObject]
    ) -> None:
        current = scale["spec"].get("replicas", 0)
        wanted = {**scale, "spec": {"replicas": desired}}
        place = (resource, self._namespace, name_of(scale))
        said = f"New size: {desired}; reason: {reason}"
        try:
            self._controller.registry.update(*place, wanted, subresource="scale")
        except StatusError as error:
            self._warn("FailedRescale", f"{said}; error: {error.message}")
            why = f"the HPA controller was unable to update the target scale: {error.message}"
            self._condition("AbleToScale", "False", "FailedUpdateScale", why)
            self._counts(current, None, statuses)
            raise _Stopped from error
        why = f"the HPA controller was able to update the target scale to {desired}"
        self._condition("AbleToScale", "True", "SucceededRescale", why)
        self._controller.events.event(self._autoscaler, "Normal", "SuccessfulRescale", said)
        self._history.scaled(self._moment, current, desired)
        self.status["lastScaleTime"] = self._controller.timestamp()

    def _give_up(self, current: int, statuses: list[KubeObject], problem: str) -> None:
        self._counts(current, None, statuses)
        self._warn("FailedComputeMetricsReplicas", problem)
        raise _Stopped

    def _counts(self, current: int, desired: int | None, statuses: list[KubeObject]) -> None:
        self.status["currentReplicas"] = current
        if desired is not None:
            self.status["desiredReplicas"] = desired
        self.status["currentMetrics"] = statuses
        if not statuses:
            del self.status["currentMetrics"]

    def _warn(self, reason: str, message: str) -> None:
        self._controller.events.event(self._autoscaler, "Warning", reason, message)

    def _condition(self, type: str, status: str, reason: str, message: str) -> None:
        condition = {
            "type": type,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": self._controller.timestamp(),
        }
        self.status["conditions"] = with_condition(self.status.get("conditions") or (), condition)
