"""Looking into a running pod with `kubectl debug`, and giving it another image."""

from __future__ import annotations

import pytest
from kubectl_session import Kubectl, conforms

pytestmark = pytest.mark.slow
STATUS = "jsonpath={.status.ephemeralContainerStatuses[?(@.name=='%s')].state.terminated.exitCode}"


@conforms(verb="debug (ephemeral containers)")
def test_an_ephemeral_container_joins_a_running_pod(kubectl: Kubectl) -> None:
    kubectl("run", "web", "--image=busybox", "--env=COLOUR=blue", "--", "sleep", "3600")
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    kubectl("debug", "web", "--image=busybox", "-c", "look", "--", "sh", "-c", "echo looking; exit 3")
    kubectl.until("get", "pod", "web", "-o", STATUS % "look", shows="^3$")
    assert kubectl("logs", "web", "-c", "look") == "looking\n"
    hear = ("sh", "-c", "read word; echo I heard $word")
    kubectl("debug", "-i", "web", "--image=busybox", "-c", "talk", "--", *hear, stdin="hello\n")
    kubectl.until("logs", "web", "-c", "talk", shows="^I heard hello$")
    described = kubectl("describe", "pod", "web")
    assert "Ephemeral Containers:" in described
    assert kubectl("get", "pod", "web", "--no-headers").split()[1:4] == ["1/1", "Running", "0"]
    kubectl("delete", "pod", "web", "--grace-period=1")


@conforms(verb="debug --copy-to")
def test_a_copy_of_a_pod_is_looked_into(kubectl: Kubectl) -> None:
    kubectl("run", "web", "--image=busybox", "--", "sleep", "3600")
    copy = ("--copy-to=copy", "--container=web", "--", "sh", "-c", "echo copied; sleep 3600")
    kubectl("debug", "web", *copy)
    kubectl("wait", "pod/copy", "--for=condition=Ready", "--timeout=60s")
    assert kubectl("logs", "copy") == "copied\n"


@conforms(verb="set image (pod)")
def test_another_image_restarts_the_container(kubectl: Kubectl) -> None:
    kubectl("run", "web", "--image=acme/missing", "--", "sleep", "3600")
    kubectl.until("get", "pod", "web", shows="ErrImagePull|ImagePullBackOff")
    kubectl("set", "image", "pod/web", "web=busybox")
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    kubectl("set", "image", "pod/web", "web=alpine")
    restarts = "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].image}"
    kubectl.until("get", "pod", "web", "-o", restarts, shows="^1 alpine$")
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    events = kubectl("events", "--for=pod/web")
    assert "Container web definition changed, will be restarted" in events
