"""The official Python client and pods: from outside by exec, port-forward and logs, and from inside one.

Programs run in processes of their own: that client leaves its sockets to the garbage collector.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch
from localkube_process import Served

WAIT = 60.0
"""Seconds: far more than anything here takes, also on a loaded machine."""


@pytest.fixture
def api(cluster: Served) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield made


def container(image: str, *command: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "image": image, "command": list(command), **more}


def log(core: client.CoreV1Api, namespace: str) -> str:
    """What the pod `p` said. Raw, as some versions of that client spoil it."""
    return str(core.read_namespaced_pod_log("p", namespace, _preload_content=False).data.decode())


def start(core: client.CoreV1Api, namespace: str, container: dict[str, Any], until: str, **spec: Any) -> None:
    """Create the pod `p` and wait for its phase."""
    pod = {"containers": [container], "terminationGracePeriodSeconds": 1} | spec
    body = {"metadata": {"name": "p"}, "spec": pod}
    version = core.create_namespaced_pod(namespace, body).metadata.resource_version
    for event in watch.Watch().stream(
        core.list_namespaced_pod, namespace, resource_version=version, timeout_seconds=int(WAIT)
    ):
        status = event["object"].status
        ready = {each.type: each.status for each in status.conditions or ()}.get("Ready") == "True"
        if status.phase == until and (ready or until != "Running"):
            return
        assert status.phase != "Failed", log(core, namespace)
    raise AssertionError(f"never {until}")


STREAMS = """
import sys
from kubernetes import client, config
from kubernetes.stream import portforward, stream

kubeconfig, namespace = sys.argv[1:]
config.load_kube_config(kubeconfig)
core = client.CoreV1Api()
options = dict(stderr=True, stdin=False, stdout=True, tty=False)
for connect in (core.connect_get_namespaced_pod_exec, core.connect_post_namespaced_pod_exec):
    print(stream(connect, "p", namespace, command=["echo", "hi"], **options), end="")
shell = stream(
    core.connect_get_namespaced_pod_exec, "p", namespace, command=["sh"], _preload_content=False,
    **options | {"stdin": True},
)
shell.write_stdin("echo out; echo err >&2; exit 7\\n")
shell.run_forever(timeout=60)
print(shell.read_stdout(), shell.read_stderr(), shell.returncode)
ports = portforward(core.connect_get_namespaced_pod_portforward, "p", namespace, ports="8080,8081")
for port in (8080, 8080, 8081):
    try:
        connection = ports.socket(port)
        connection.setblocking(True)
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        print(port, connection.recv(8).decode(), ports.error(port))
        connection.close()
    except OSError as error:
        print(port, type(error).__name__)
"""
SERVER = """
import http.server, os

http.server.test(http.server.SimpleHTTPRequestHandler, bind=os.environ["IP"], port=8080)
"""


@pytest.mark.slow
@pytest.mark.conforms(client="python (stream)", verb="exec: output, input, exit code")
@pytest.mark.conforms(client="python (stream)", verb="port_forward")
@pytest.mark.conforms(client="python (watch)", verb="logs, followed")
def test_streams(api: client.ApiClient, cluster: Served, namespace: str) -> None:
    core = client.CoreV1Api(api)
    address = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    serves = container("python", "python", "-u", "-c", SERVER, env=[address], readinessProbe=probe)
    start(core, namespace, serves, "Running")
    command = [sys.executable, "-c", STREAMS, str(cluster.kubeconfig), namespace]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["hi", "hi"], done.stderr
    assert lines[2:5] == ["out", " err", " 7"]
    assert lines[5] == "8080 HTTP/1.0 None"
    for line in watch.Watch().stream(core.read_namespaced_pod_log, "p", namespace):
        if '"GET / HTTP/1.0" 200' in line:
            break


INSIDE = """
import os
from kubernetes import client, config

try:
    config.load_incluster_config()
    print("in-cluster files")
except config.ConfigException as error:
    print(error)
config.load_config()
print([each.metadata.name for each in client.CoreV1Api().list_namespaced_pod(os.environ["NAMESPACE"]).items])
loader = config.incluster_config.InClusterConfigLoader(os.environ["TOKEN"], os.environ["AUTHORITY"])
settings = client.Configuration()
loader.load_and_set(settings)
core = client.CoreV1Api(client.ApiClient(settings))
print([each.metadata.name for each in core.list_namespaced_pod(os.environ["NAMESPACE"]).items])
try:
    core.list_namespaced_secret(os.environ["NAMESPACE"])
except client.ApiException as error:
    print(error.status, error.reason)
"""
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.mark.slow
@pytest.mark.conforms(client="python (config)", verb="load_config in a pod, with the rights of its account")
@pytest.mark.conforms(
    client="python (config)",
    verb="load_incluster_config",
    verdict="differs",
    reason="no mount namespace: the files are where TOKEN and the like in env point, not at their fixed path",
)
def test_from_inside_a_pod(api: client.ApiClient, namespace: str) -> None:
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    name = {"metadata": {"name": "reader"}}
    core.create_namespaced_service_account(namespace, name)
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    rbac.create_namespaced_role(namespace, name | {"rules": rules})
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    rbac.create_namespaced_role_binding(namespace, name | {"roleRef": role, "subjects": [subject]})
    env = {"NAMESPACE": namespace, "TOKEN": f"{ACCOUNT}/token", "AUTHORITY": f"{ACCOUNT}/ca.crt"}
    variables = [{"name": key, "value": value} for key, value in env.items()]
    program = container("python", "python", "-c", INSIDE, env=variables)
    start(core, namespace, program, "Succeeded", serviceAccountName="reader", restartPolicy="Never")
    assert log(core, namespace).splitlines() == [
        "Service token file does not exist.",
        "['p']",
        "['p']",
        "403 Forbidden",
    ]


CANDIDATE = '''
import datetime
import sys

from kubernetes import client, config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

kubeconfig, namespace, identity, kind = sys.argv[1:]
config.load_kube_config(kubeconfig)


class LeaseLock:
    """A Lease behind the package's lock, which itself has one of ConfigMaps only."""

    def __init__(self, name, namespace, identity):
        self.name, self.namespace, self.identity = name, namespace, identity
        self.api, self.lease = client.CoordinationV1Api(), None

    def _spec(self, record):
        acquired, renewed = (
            datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)
            for text in (record.acquire_time, record.renew_time)
        )
        return client.V1LeaseSpec(
            holder_identity=record.holder_identity,
            lease_duration_seconds=int(record.lease_duration),
            acquire_time=acquired,
            renew_time=renewed,
        )

    def get(self, name, namespace):
        try:
            self.lease = self.api.read_namespaced_lease(name, namespace)
        except client.ApiException as error:
            return False, error
        spec = self.lease.spec
        times = (str(each.replace(tzinfo=None)) for each in (spec.acquire_time, spec.renew_time))
        return True, LeaderElectionRecord(spec.holder_identity, str(spec.lease_duration_seconds), *times)

    def create(self, name, namespace, election_record):
        lease = client.V1Lease(metadata=client.V1ObjectMeta(name=name), spec=self._spec(election_record))
        return self._tried(self.api.create_namespaced_lease, namespace, lease)

    def update(self, name, namespace, updated_record):
        self.lease.spec = self._spec(updated_record)
        return self._tried(self.api.replace_namespaced_lease, name, namespace, self.lease)

    def _tried(self, call, *arguments):
        try:
            call(*arguments)
        except client.ApiException:
            return False
        return True


lock = (ConfigMapLock if kind == "configmap" else LeaseLock)("lock", namespace, identity)
settings = electionconfig.Config(
    lock, lease_duration=4, renew_deadline=3, retry_period=1,
    onstarted_leading=lambda: print("leads", flush=True), onstopped_leading=None,
)
leaderelection.LeaderElection(settings).run()
'''


class Candidate:
    """A process that wants to lead."""

    def __init__(self, program: Path, served: Served, namespace: str, identity: str, kind: str) -> None:
        command = [sys.executable, str(program), str(served.kubeconfig), namespace, identity, kind]
        self.log = program.with_suffix(f".{identity}")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def leads(self) -> bool:
        return "leads" in self.log.read_text()

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline, pause = time.monotonic() + WAIT, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, what
        pause.wait(0.05)


@pytest.mark.slow
@pytest.mark.conforms(client="python (leaderelection)", verb="two candidates, the leader dies")
@pytest.mark.parametrize("kind", ["configmap", "lease"])
def test_a_follower_takes_over(
    api: client.ApiClient, cluster: Served, namespace: str, tmp_path: Path, kind: str
) -> None:
    program = tmp_path / "candidate.py"
    program.write_text(CANDIDATE)
    first = Candidate(program, cluster, namespace, "first", kind)
    candidates = [first]
    try:
        until(first.leads, "nobody leads")
        second = Candidate(program, cluster, namespace, "second", kind)
        candidates.append(second)
        renewed = _renewals(api, namespace, kind)
        until(lambda: len(renewed()) >= 3, "the leader does not renew")
        assert not second.leads(), "two lead at once"
        first.end()
        until(second.leads, "nobody took over")
    finally:
        for candidate in candidates:
            candidate.end()
    assert "Traceback" not in second.log.read_text(), second.log.read_text()


def _renewals(api: client.ApiClient, namespace: str, kind: str) -> Callable[[], set[str]]:
    """The versions of the lock seen so far, one more look with each call."""
    if kind == "configmap":
        read = client.CoreV1Api(api).read_namespaced_config_map
    else:
        read = client.CoordinationV1Api(api).read_namespaced_lease
    seen: set[str] = set()

    def look() -> set[str]:
        seen.add(read("lock", namespace).metadata.resource_version)
        return seen

    return look
