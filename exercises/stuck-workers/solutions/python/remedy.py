"""Restarting one worker: exactly the pod that was diagnosed, and an honest answer about what happened."""

import threading
import time
from enum import StrEnum

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from lab.automation import sdk

NAMESPACE = "shop"
CARRIED_OUT_WITHIN = sdk.lab_minutes(2)


class Outcome(StrEnum):
    """What the API made of the restart."""

    DONE = "done"  # the pod is going or gone
    NO_EFFECT = "no effect"  # accepted, but the pod stays: shadow mode
    FORBIDDEN = "forbidden"  # stand down
    CHANGED = "changed"  # not the pod that was diagnosed any more
    FAILED = "failed"  # the API could not


def restart(pod: str, incident: str, reason: str) -> tuple[Outcome, str]:
    """Delete the pod with its uid as a precondition; its ReplicaSet makes a new one. Second value: why."""
    core = client.CoreV1Api(sdk.kube_client(incident, reason))
    try:
        found = core.read_namespaced_pod(pod, NAMESPACE, _request_timeout=5)
        if found.metadata.deletion_timestamp or found.metadata.labels.get("app") != "worker":
            return Outcome.CHANGED, "it is no worker, or on its way out already"
        uid = found.metadata.uid
        options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))
        core.delete_namespaced_pod(pod, NAMESPACE, body=options, _request_timeout=10)
        return (Outcome.DONE, "") if _went(core, pod, uid) else (Outcome.NO_EFFECT, "the pod stays")
    except ApiException as error:
        why = f"{error.status} {error.reason}"
        outcomes = {403: Outcome.FORBIDDEN, 404: Outcome.CHANGED, 409: Outcome.CHANGED}
        return outcomes.get(error.status, Outcome.FAILED), why
    finally:
        core.api_client.close()


def _went(core: client.CoreV1Api, pod: str, uid: str) -> bool:
    deadline = time.monotonic() + CARRIED_OUT_WITHIN
    while time.monotonic() < deadline:
        try:
            found = core.read_namespaced_pod(pod, NAMESPACE, _request_timeout=5)
        except ApiException as error:
            if error.status == 404:
                return True
            raise
        if found.metadata.uid != uid or found.metadata.deletion_timestamp:
            return True
        threading.Event().wait(0.2)
    return False
