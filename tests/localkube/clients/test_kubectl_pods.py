"""kubectl and pods that run, wait, end and fail: what it shows of them, and their logs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubectl_manifests import PODS
from kubectl_session import Kubectl, cells, conforms
from kubectls import kubectl_program
from localkube_process import Served

pytestmark = pytest.mark.slow

SETTLED = {
    "runs": "2/2 Running",
    "crashes": "0/1 CrashLoopBackOff",
    "completes": "0/1 Completed",
    "fails": "0/1 Error",
    "inits": "0/1 Init:0/1",
    "initfails": "0/1 Init:Error",
    "noimage": "0/1 ImagePullBackOff",
    "noconfig": "0/1 CreateContainerConfigError",
    "novolume": "0/1 ContainerCreating",
    "toobig": "0/1 Pending",
    "toofat": "0/1 OOMKilled",
}


@pytest.fixture(scope="module")
def pods(cluster: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A namespace with pods in every state; the tests read it and leave it alone."""
    home: Path = tmp_path_factory.mktemp("home")
    kubectl = Kubectl(kubectl_program(), cluster.kubeconfig, "every-state", home)
    kubectl("create", "namespace", "every-state")
    kubectl.until("get", "serviceaccount", "-o", "name", shows="serviceaccount/default")
    kubectl("apply", "-f", "-", stdin=PODS)
    for name, state in SETTLED.items():
        ready, status = state.split()
        kubectl.until("get", "pod", name, "--no-headers", shows=rf"^{name} +{ready} +{status} ")
    yield kubectl
    kubectl("delete", "namespace", "every-state", "--wait=false")


@pytest.fixture
def everywhere(pods: Kubectl, request: pytest.FixtureRequest, tmp_path: Path) -> Kubectl:
    """The same namespace as another kubectl sees it."""
    return Kubectl(kubectl_program(request.param), pods.kubeconfig, pods.namespace, tmp_path)


releases = pytest.mark.parametrize("everywhere", ["1.30", "1.31", "1.32", "1.33"], indirect=True)


@conforms(verb="get pods (every STATUS)")
@conforms(verb="get pods -o wide")
@releases
def test_states(everywhere: Kubectl) -> None:
    head, *rows = cells(everywhere("get", "pods", "-o", "wide"))
    assert head == [
        *("NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"),
    ]
    assert {row[0] for row in rows} == set(SETTLED)
    seen = {row[0]: f"{row[1]} {row[2]}" for row in rows}
    steady = set(SETTLED) - {"crashes", "noimage"}  # these two take turns with what they back off from
    assert {name: seen[name] for name in steady} == {name: SETTLED[name] for name in steady}
    by_name = {row[0]: row for row in rows}
    assert re.fullmatch(r"[1-9]\d* \(\d\S* ago\)", by_name["crashes"][3])
    assert by_name["runs"][3] == "0"
    assert re.fullmatch(r"127\.\d+\.\d+\.\d+", by_name["runs"][5])
    assert by_name["runs"][6:] == ["local", "<none>", "<none>"]
    assert by_name["toobig"][5:7] == ["<none>", "<none>"]
    failed = everywhere("get", "pods", "--field-selector=status.phase=Failed", "-o", "name")
    assert set(failed.split()) == {"pod/fails", "pod/initfails", "pod/toofat"}


@conforms(verb="describe pod")
def test_descriptions(pods: Kubectl) -> None:
    told = pods("describe", "pod", "runs")
    assert re.search(r"^Status: +Running$", told, re.MULTILINE)
    assert re.search(r"^    State: +Running$", told, re.MULTILINE)
    assert re.search(r"^QoS Class: +BestEffort$", told, re.MULTILINE)
    lines = [" ".join(line.split()) for line in told.splitlines()]
    conditions = lines.index("Conditions:")
    assert lines[conditions + 2 : conditions + 7] == [
        *("PodReadyToStartContainers True", "Initialized True", "Ready True"),
        *("ContainersReady True", "PodScheduled True"),
    ]
    events = told.partition("Events:")[2]
    for said in (
        r"Normal +Scheduled +\S+.* default-scheduler +Successfully assigned every-state/runs to local",
        r'Normal +Pulled +\S+.* kubelet +Container image "busybox" already present on machine',
        r"Normal +Started +\S+.* kubelet +Started container a",
    ):
        assert re.search(said, events), events
    fat = pods("describe", "pod", "toofat")
    assert re.search(r"Reason: +OOMKilled\n +Exit Code: +137$", fat, re.MULTILINE)
    big = pods("describe", "pod", "toobig")
    assert re.search(
        r"Warning +FailedScheduling .* default-scheduler +0/1 nodes are available: 1 Insufficient", big
    )
    assert "Error: ImagePullBackOff" in pods("describe", "pod", "noimage")
    assert 'configmap "nosuch" not found' in pods("describe", "pod", "noconfig")


@conforms(verb="logs")
@conforms(verb="logs -c, --all-containers, -l, --prefix")
@conforms(verb="logs --tail, --since, --since-time, --limit-bytes, --timestamps")
@conforms(verb="logs --previous")
@releases
def test_logs(everywhere: Kubectl) -> None:
    assert everywhere("logs", "runs") == "a-one\na-two\n"
    assert everywhere("logs", "runs", "-c", "b") == "b-one\n"
    together = everywhere("logs", "runs", "--all-containers", "--prefix").splitlines()
    assert sorted(together) == ["[pod/runs/a] a-one", "[pod/runs/a] a-two", "[pod/runs/b] b-one"]
    chosen = everywhere("logs", "-l", "app=x", "--prefix", "--all-containers", "--tail=1").splitlines()
    assert set(chosen) == {"[pod/runs/a] a-two", "[pod/runs/b] b-one", "[pod/crashes/c] run"}
    assert everywhere("logs", "runs", "--tail=1") == "a-two\n"
    assert everywhere("logs", "runs", "--limit-bytes=3") == "a-o"
    assert everywhere("logs", "runs", "--since=1h") == "a-one\na-two\n"
    assert everywhere("logs", "runs", "--since=1s") in ("", "a-one\na-two\n")
    assert everywhere("logs", "runs", "--since-time=2000-01-01T00:00:00Z") == "a-one\na-two\n"
    assert everywhere("logs", "runs", "--since-time=2200-01-01T00:00:00Z") == ""
    stamped = everywhere("logs", "runs", "--timestamps").splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z a-one", stamped[0])
    assert everywhere("logs", "crashes", "--previous") == "run\n"
    assert everywhere("logs", "completes") == "done\n"


@conforms(verb="logs (of what has none)")
@releases
def test_logs_that_are_not_there(everywhere: Kubectl) -> None:
    def refusal(*arguments: str) -> str:
        return everywhere.refused("logs", *arguments).splitlines()[-1]

    bad = "Error from server (BadRequest): "
    assert refusal("inits", "-c", "c") == (
        f'{bad}container "c" in pod "inits" is waiting to start: PodInitializing'
    )
    assert re.fullmatch(
        rf"{re.escape(bad)}container \"c\" in pod \"noimage\" is waiting to start: "
        "(trying and failing to pull image|image can't be pulled)",
        refusal("noimage"),
    )
    assert refusal("noconfig").endswith("is waiting to start: CreateContainerConfigError")
    assert refusal("completes", "--previous") == (
        f'{bad}previous terminated container "c" in pod "completes" not found'
    )
    assert refusal("runs", "-c", "x") == "error: container x is not valid for pod runs"
    assert (
        refusal("x") == 'error: error from server (NotFound): pods "x" not found in namespace "every-state"'
    )
    assert everywhere("logs", "toobig") == ""
    assert everywhere.run("logs", "-l", "app=nothing").stderr.startswith("No resources found in every-state")


@conforms(verb="logs -f")
def test_following_a_log(kubectl: Kubectl) -> None:
    script = "echo one; while [ ! -e $0 ]; do sleep 0.1; done; echo two"
    mark = str(kubectl.home / "go")
    kubectl("run", "p", "--image=busybox", "--restart=Never", "--command", "--", "sh", "-c", script, mark)
    kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=90s")
    with kubectl.running("logs", "-f", "p") as log:
        assert log.stdout is not None
        assert log.stdout.readline() == "one\n"
        Path(mark).touch()
        assert log.stdout.readline() == "two\n"
        assert log.stdout.read() == ""
        assert log.wait(90) == 0


@conforms(verb="get pods (Terminating)")
def test_a_pod_that_will_not_end(kubectl: Kubectl) -> None:
    stubborn = "trap '' TERM; echo deaf; while true; do sleep 0.2; done"
    kubectl("run", "p", "--image=busybox", "--command", "--", "sh", "-c", stubborn)
    kubectl.until("logs", "p", shows="deaf")
    kubectl("delete", "pod", "p", "--wait=false", "--grace-period=60")
    assert cells(kubectl("get", "pod", "p", "--no-headers"))[0][:3] == ["p", "1/1", "Terminating"]
    kubectl("delete", "pod", "p", "--force", "--grace-period=0")
    assert 'pods "p" not found' in kubectl.refused("get", "pod", "p")


@conforms(verb="debug node")
def test_debug(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=pause")
    copy = ("debug", "p", "--image=busybox", "--copy-to=copied", "-c", "dbg", "--", "sleep", "1000")
    kubectl(*copy)
    assert set(kubectl.field("pod/copied", ".spec.containers[*].name").split()) == {"p", "dbg"}
    kubectl("wait", "--for=condition=Ready", "pod/copied", "--timeout=90s")
    kubectl("debug", "node/local", "--image=busybox", "--", "true")
    kubectl.until("get", "pods", shows=r"^node-debugger-local-\w{5} +0/1 +Completed ")
