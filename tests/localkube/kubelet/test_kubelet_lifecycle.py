"""A pod's life: start, status, ends, restarts, deletion."""

from __future__ import annotations

import psutil
import pytest
from kubelet_bench import POD_IP, SERVER, Bench, python

from lab.kube.resources import builtin

PAUSE = python("import signal; signal.pause()")
STUBBORN = python("import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()")


async def test_the_node_is_ready_and_renews_a_lease(bench: Bench) -> None:
    node = bench.ready_node()
    conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert conditions == {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }
    assert {"type": "InternalIP", "address": f"127.{bench.block}.0.1"} in node["status"]["addresses"]
    assert int(node["status"]["allocatable"]["pods"]) > 0
    lease = bench.registry.get(builtin("Lease"), "kube-node-lease", "local")
    assert lease["spec"]["holderIdentity"] == "local"


async def test_a_pod_runs_and_its_status_says_all(bench: Bench) -> None:
    bench.pod("web", PAUSE)
    pod = await bench.until_ready("web")
    status = pod["status"]
    assert status["phase"] == "Running"
    assert [c["type"] for c in status["conditions"]] == [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    assert status["podIP"].startswith(f"127.{bench.block}.1.")
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert status["hostIP"] == f"127.{bench.block}.0.1"
    assert status["qosClass"] == "BestEffort"
    assert status["startTime"]
    [container] = status["containerStatuses"]
    assert container["ready"]
    assert container["started"]
    assert "startedAt" in container["state"]["running"]
    assert [reason for reason, _ in bench.events("web")] == ["Pulled", "Created", "Started"]


@pytest.mark.parametrize(
    ("policy", "code", "phase", "reason"),
    [
        ("Never", 0, "Succeeded", "Completed"),
        ("Never", 3, "Failed", "Error"),
        ("OnFailure", 0, "Succeeded", "Completed"),
    ],
)
async def test_ends(bench: Bench, policy: str, code: int, phase: str, reason: str) -> None:
    bench.pod("job", python(f"raise SystemExit({code})"), restartPolicy=policy)
    pod = await bench.until_phase("job", phase)
    terminated = bench.status("job")["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (code, reason)
    ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted" if code == 0 else "PodFailed")


async def test_a_crashing_container_backs_off_and_keeps_its_last_end(bench: Bench) -> None:
    bench.pod("crash", python("import sys; sys.exit(5)"))
    await bench.until(lambda: bench.status("crash")["restartCount"] >= 2, what="two restarts")
    await bench.until(
        lambda: bench.status("crash")["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff",
        what="back-off",
    )
    status = bench.status("crash")
    assert status["lastState"]["terminated"]["exitCode"] == 5
    assert "restarting failed container=main pod=crash_default(" in status["state"]["waiting"]["message"]
    assert bench.phase("crash") == "Running"
    assert any(reason == "BackOff" for reason, _ in bench.events("crash"))


async def test_init_containers_run_in_order_before_the_others(bench: Bench) -> None:
    volume = {"volumes": [{"name": "d", "emptyDir": {}}]}
    mounts = {"volumeMounts": [{"name": "d", "mountPath": "/shared"}]}
    append = "import sys; open(sys.argv[1] + '/f', 'a').write(sys.argv[2])"
    inits = [
        {
            "name": f"i{n}",
            "image": "toil-lab",
            "command": ["python", "-c", append, "/shared", str(n)],
            **mounts,
        }
        for n in (1, 2)
    ]
    main = {**python("import sys; print(open('/shared/f').read())"), **mounts}
    main["command"] = ["python", "-c", "import sys; print(open(sys.argv[1]).read())", "/shared/f"]
    bench.pod("init", main, initContainers=inits, restartPolicy="Never", **volume)
    pod = await bench.until_phase("init", "Succeeded")
    assert await bench.log("init") == "12\n"
    ends = [c["state"]["terminated"]["reason"] for c in pod["status"]["initContainerStatuses"]]
    assert ends == ["Completed", "Completed"]


async def test_a_failing_init_container_holds_the_pod(bench: Bench) -> None:
    failing = {"name": "i", "image": "toil-lab", **python("raise SystemExit(1)")}
    bench.pod("held", PAUSE, initContainers=[failing])
    await bench.until(lambda: bench.status("held", "i")["restartCount"] >= 1, what="init restarts")
    assert bench.phase("held") == "Pending"
    assert "waiting" in bench.status("held")["state"]
    bench.pod("failed", PAUSE, initContainers=[failing], restartPolicy="Never")
    await bench.until_phase("failed", "Failed")


async def test_a_sidecar_runs_beside_and_ends_with_the_rest(bench: Bench) -> None:
    sidecar = {"name": "side", "image": "toil-lab", "restartPolicy": "Always", **PAUSE}
    bench.pod("beside", python("print('done')"), initContainers=[sidecar], restartPolicy="Never")
    await bench.until_phase("beside", "Succeeded")
    await bench.until(
        lambda: "terminated" in bench.status("beside", "side")["state"], what="the sidecar's end"
    )


async def test_deletion_asks_and_then_kills(bench: Bench) -> None:
    probe = {"readinessProbe": {"httpGet": {"path": "/", "port": 8080}}}
    bench.pod("polite", {**python(SERVER), "env": [POD_IP], **probe})
    bench.pod("stubborn", STUBBORN, terminationGracePeriodSeconds=1)
    await bench.until_ready("polite")
    await bench.until_ready("stubborn")
    pids = [bench.kubelet._pod("default", name).containers["main"].process for name in ("polite", "stubborn")]
    bench.delete("polite")
    bench.delete("stubborn")
    assert bench.get("stubborn")["metadata"]["deletionTimestamp"]
    for name in ("polite", "stubborn"):
        await bench.until_gone(name)
        assert ("Killing", "Stopping container main") in bench.events(name)
    codes = [process.exit_code for process in pids if process]
    assert codes == [0, 137]
    assert not any(psutil.pid_exists(process.pid) for process in pids if process)


async def test_a_forced_deletion_leaves_no_process(bench: Bench) -> None:
    bench.pod("forced", STUBBORN, terminationGracePeriodSeconds=300)
    await bench.until_ready("forced")
    process = bench.kubelet._pod("default", "forced").containers["main"].process
    assert process is not None
    bench.delete("forced", grace=0)
    assert bench.get("forced") is None
    await bench.until(lambda: not psutil.pid_exists(process.pid), what="the process ends")


async def test_a_deleted_pods_files_and_address_are_given_back(bench: Bench) -> None:
    bench.pod("first", PAUSE)
    address = (await bench.until_ready("first"))["status"]["podIP"]
    bench.delete("first")
    await bench.until_gone("first")
    await bench.until(lambda: not any((bench.directory / "kubelet/pods").iterdir()), what="no files")
    bench.pod("second", PAUSE)
    assert (await bench.until_ready("second"))["status"]["podIP"] != address


async def test_a_pod_before_its_deadline_and_after(bench: Bench) -> None:
    bench.pod("late", PAUSE, activeDeadlineSeconds=1, restartPolicy="Never")
    pod = await bench.until_phase("late", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"


async def test_an_unknown_image_waits_with_advice(bench: Bench) -> None:
    bench.pod("odd", {"image": "acme/thing:1"})
    waiting = await bench.until(lambda: bench.status("odd")["state"].get("waiting"), what="waiting")
    await bench.until(
        lambda: bench.status("odd")["state"].get("waiting", {}).get("reason") == "ErrImagePull", what="err"
    )
    message = bench.status("odd")["state"]["waiting"]["message"]
    assert "images.yaml" in message
    await bench.until(
        lambda: bench.status("odd")["state"]["waiting"]["reason"] == "ImagePullBackOff", what="back-off"
    )
    assert waiting
    bench.delete("odd")
    await bench.until_gone("odd")


async def test_a_command_that_does_not_exist_is_a_start_error(bench: Bench) -> None:
    bench.pod("typo", {"image": "busybox", "command": ["no-such-program"]}, restartPolicy="Never")
    await bench.until_phase("typo", "Failed")
    terminated = bench.status("typo")["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("StartError", 128)
    assert "executable file not found" in terminated["message"]


async def test_a_container_over_its_memory_limit_is_killed(bench: Bench) -> None:
    hungry = python("import time; kept = bytearray(200 << 20); import signal; signal.pause()")
    bench.pod("hungry", {**hungry, "resources": {"limits": {"memory": "96Mi"}}}, restartPolicy="Never")
    await bench.until_phase("hungry", "Failed")
    terminated = bench.status("hungry")["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("OOMKilled", 137)


async def test_hooks_run_at_both_ends(bench: Bench) -> None:
    volume = {"volumes": [{"name": "d", "emptyDir": {}}]}
    note = "echo $0 >> /d/notes"
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", note, "up"]}},
        "preStop": {"exec": {"command": ["sh", "-c", note, "down"]}},
    }
    mounts = [{"name": "d", "mountPath": "/d"}]
    # Only its preStop hook lets it end in time, and with a code of its own.
    code = (
        "import os, signal, sys, time\n"
        "def stop(*_): print(open(sys.argv[1]).read().split(), flush=True); sys.exit(0)\n"
        "signal.signal(15, stop); print('on', flush=True); signal.pause()"
    )
    command = ["python", "-c", code, "/d/notes"]
    bench.pod("hooked", {"command": command, "lifecycle": hooks, "volumeMounts": mounts}, **volume)
    await bench.until_ready("hooked")
    follower = bench.kubelet.logs("default", "hooked", "", follow=True)
    bench.delete("hooked")
    said = b"".join([part async for part in follower]).decode()
    assert "['up', 'down']" in said
    await bench.until_gone("hooked")


async def test_a_failing_post_start_hook_restarts_the_container(bench: Bench) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "exit 1"]}}}
    bench.pod("unhooked", {**PAUSE, "lifecycle": hook})
    await bench.until(lambda: bench.status("unhooked")["restartCount"] >= 1, what="a restart")
    assert any(reason == "FailedPostStartHook" for reason, _ in bench.events("unhooked"))


async def test_a_termination_message_is_kept(bench: Bench) -> None:
    command = ["sh", "-c", "echo why > /dev/termination-log; exit 1"]
    bench.pod("told", {"image": "busybox", "command": command}, restartPolicy="Never")
    await bench.until_phase("told", "Failed")
    assert bench.status("told")["state"]["terminated"]["message"] == "why\n"


async def test_the_log_stands_in_for_a_message_only_after_a_failure(bench: Bench) -> None:
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError", "image": "busybox"}
    many = "for n in $(seq 1 100); do echo line $n; done; exit "
    bench.pod("bad", {**policy, "command": ["sh", "-c", many + "3"]}, restartPolicy="Never")
    bench.pod("good", {**policy, "command": ["sh", "-c", many + "0"]}, restartPolicy="Never")
    own = {
        **policy,
        "terminationMessagePath": "/tmp/why",
        "command": ["sh", "-c", "echo own > /tmp/why; exit 1"],
    }
    bench.pod("own", own, restartPolicy="Never")
    for name, phase in (("bad", "Failed"), ("good", "Succeeded"), ("own", "Failed")):
        await bench.until_phase(name, phase)
    said = bench.status("bad")["state"]["terminated"]["message"].splitlines()
    assert (len(said), said[0], said[-1]) == (80, "line 21", "line 100")
    assert "message" not in bench.status("good")["state"]["terminated"]
    assert bench.status("own")["state"]["terminated"]["message"] == "own\n"


async def test_a_pod_that_has_ended_is_not_ready_to_start_containers(bench: Bench) -> None:
    bench.pod("done", python("print('x')"), restartPolicy="Never")
    pod = await bench.until_phase("done", "Succeeded")
    conditions = {each["type"]: each["status"] for each in pod["status"]["conditions"]}
    assert conditions == {
        "PodReadyToStartContainers": "False",
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }


@pytest.mark.slow
async def test_a_deadline_may_come_later(bench: Bench) -> None:
    bench.pod("late", PAUSE, restartPolicy="Never")
    await bench.until_ready("late")
    change = {"spec": {"activeDeadlineSeconds": 1}}
    bench.registry.patch(builtin("Pod"), "default", "late", change, "application/merge-patch+json")
    pod = await bench.until_phase("late", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"


@pytest.mark.slow
async def test_a_probe_has_a_grace_period_of_its_own(bench: Bench) -> None:
    probe = {"exec": {"command": ["false"]}, "failureThreshold": 1, "initialDelaySeconds": 1}
    probe["terminationGracePeriodSeconds"] = 1
    bench.pod("stubborn", {**STUBBORN, "livenessProbe": probe}, terminationGracePeriodSeconds=3600)
    await bench.until(lambda: bench.status("stubborn")["restartCount"] >= 1, what="its restart")
    assert bench.status("stubborn")["lastState"]["terminated"]["exitCode"] == 137
    bench.delete("stubborn", grace=0)


@pytest.mark.slow
async def test_what_a_pod_uses_is_known_once_it_was_looked_at_twice(bench: Bench) -> None:
    pod = bench.pod("used", PAUSE)
    await bench.until_ready("used")
    await bench.until(lambda: bench.kubelet.usage(pod, 15.0), what="two looks at its processes")
    [usage] = bench.kubelet.usage(pod, 15.0).values()
    assert usage.memory > 1 << 20
    assert usage.cpu >= 0
    assert usage.window > 0


async def test_what_a_policy_refuses_is_tried_again(bench: Bench) -> None:
    """Neither a pod's start nor its removal is forgotten when the API would not hear of it."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE", "DELETE"]}
    rules = [rule | {"resources": ["pods", "pods/status"]}]
    expression = "request.operation == 'DELETE' && request.options.gracePeriodSeconds > 0"
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": expression}]}
    bench.create("ValidatingAdmissionPolicy", "deaf", "", spec=spec)
    binding = builtin("ValidatingAdmissionPolicyBinding")
    bound = {"policyName": "deaf", "validationActions": ["Deny"]}
    bench.create("ValidatingAdmissionPolicyBinding", "deaf", "", spec=bound)
    bench.pod("web", PAUSE)
    await bench.until(lambda: bench.events("web")[-1:] and bench.events("web")[-1][0] == "Started")
    assert bench.phase("web") == "Pending"
    bench.registry.delete(binding, "", "deaf")
    await bench.until_ready("web")
    bench.create("ValidatingAdmissionPolicyBinding", "deaf", "", spec=bound)
    bench.delete("web", grace=1)
    worker = bench.kubelet._pod("default", "web")
    await bench.until(lambda: worker.containers["main"].status.terminated)
    assert bench.get("web") is not None
    bench.registry.delete(binding, "", "deaf")
    await bench.until_gone("web")
