"""Tolerations of pods.

Source: k8s.io/kubernetes/pkg/apis/core/validation/validation.go ValidateTolerations.
"""

from __future__ import annotations

from collections.abc import Collection

from lab.kube.objects import KubeObject
from lab.localkube.registry.names import qualified_name_problems
from lab.localkube.registry.validation.causes import Causes

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_EVERY = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'


def check_tolerations(tolerations: Collection[KubeObject], path: str, causes: Causes) -> None:
    """Each toleration of a pod."""
    for index, toleration in enumerate(tolerations):
        at, key = f"{path}[{index}]", toleration.get("key", "")
        operator, effect = toleration.get("operator", ""), toleration.get("effect", "")
        for problem in qualified_name_problems(key) if key else ():
            causes.invalid(f"{at}.key", key, problem)
        if not key and operator != "Exists":
            causes.invalid(f"{at}.operator", operator, _EVERY)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            causes.invalid(
                f"{at}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"
            )
        if operator == "Exists" and toleration.get("value"):
            why = "value must be empty when `operator` is 'Exists'"
            causes.invalid(f"{at}.operator", toleration["value"], why)
        elif operator not in ("", "Equal", "Exists"):
            causes.unsupported(f"{at}.operator", operator, ("Equal", "Exists"))
        if effect and effect not in _EFFECTS:
            causes.unsupported(f"{at}.effect", effect, _EFFECTS, ordered=True)
