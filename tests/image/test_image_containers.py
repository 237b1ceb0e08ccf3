"""The image, really built, and the lab's parts in containers of it, each as confined as its manifest says.

Where a Docker engine answers (DOCKER_HOST or the default socket). The base is LAB_TEST_BASE, else the
Dockerfile's own, else `local/debian-python:12`; LAB_TEST_IMAGE names an image that is there already. The
Kubernetes API is a localkube in a container of the same image; it listens on its loopback, and the gateway
shares its network.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import any_cluster
import pytest
from e2e_bench import until
from manifest_containers import LISTEN, Stage, said, state
from testcontainers.core.container import DockerContainer

from lab.core.places import data_root
from lab.engine.bringup import load_manifests
from lab.engine.objects import made_objects
from lab.engine.settings import LabSettings
from lab.errors import NotReadyError
from lab.providers.engine import Engine

pytestmark = pytest.mark.image

DOCKERFILE = "clusters/image/Dockerfile"
BASES = ("python:3.13-slim", "local/debian-python:12")
TAG = "toil-lab-test:latest"
DATABASE = "postgres:18"
SECONDS = 120
INSIDE = Path(__file__).with_name("inside_cluster.py")
SERVICES = ("shop/db", "shop/api", "shop/payments", "lab-system/gateway", "lab-system/pager")
FETCH = """
import sys, urllib.request
body = sys.argv[2].encode() if len(sys.argv) > 2 else None
with urllib.request.urlopen(urllib.request.Request(sys.argv[1], body), timeout=10) as answer:
    print(answer.read().decode())
"""
AUTOMATION = """
import time
from kubernetes import client, config
config.load_kube_config()
pods = client.CoreV1Api()
while True:
    name = sorted(pod.metadata.name for pod in pods.list_namespaced_pod("shop").items)[0]
    pods.delete_namespaced_pod(name, "shop")
    print("asked for the end of", name, flush=True)
    time.sleep(2)
"""
MANIFEST = (
    "apiVersion: toil-lab/v1\nkind: Automation\nname: ends-pods\nruntime: python\nentrypoint: main.py\n"
)
LEFT_OUT = ("Deployment", "Service", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
"""The image has not what a localkube evaluates policies with."""
PROBE = """
import os
status = open("/proc/self/status").read()
print(os.getuid(), os.getgid(), status.split("CapEff:")[1].split()[0])
for path in ("/opt/lab/x", "/x", "/etc/x", "/tmp/x"):
    try:
        open(path, "w")
        print("wrote", path)
    except OSError as error:
        print(error.strerror)
"""
GREEDY = "held = []\nwhile True: held.append(bytearray(8 << 20))"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The machine's Docker engine."""
    try:
        made = Engine()
    except NotReadyError as error:
        pytest.skip(error.message)
    with made:
        yield made


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    """The image, built by its Dockerfile. The engine keeps it, as it keeps every layer, for the next run."""
    from docker.errors import BuildError
    from testcontainers.core.image import DockerImage

    if ready := os.environ.get("LAB_TEST_IMAGE"):
        return ready
    given = os.environ.get("LAB_TEST_BASE")
    base = next((found for found in ((given,) if given else BASES) if available(engine, found)), None)
    if base is None:
        pytest.skip(f"the engine neither has nor can pull {given or ' or '.join(BASES)}")
    arguments = {"BASE": base, "PIP_INDEX_URL": os.environ.get("PIP_INDEX_URL", "")}
    build = DockerImage(
        data_root(),
        tag=TAG,
        dockerfile_path=DOCKERFILE,
        clean_up=False,
        buildargs={name: value for name, value in arguments.items() if value},
        network_mode="host",  # the package index, as this host reaches it
        timeout=1800,
    )
    try:
        build.build()
    except BuildError as error:
        pytest.fail(
            "".join(str(line.get("stream") or line.get("error") or "") for line in error.build_log)[-2000:]
        )
    finally:
        build.remove()
    return TAG


def available(engine: Engine, reference: str) -> bool:
    """Whether the engine has that image, or gets it."""
    from docker.errors import DockerException

    try:
        return engine.has_image(reference) or bool(engine.client.images.pull(reference))
    except DockerException:
        return False


@pytest.fixture(scope="module")
def stage(engine: Engine, image: str) -> Iterator[Stage]:
    """A network; at the end nothing is left of it and of what ran on it."""
    folder = Path(tempfile.mkdtemp(prefix="toil-lab-containers-"))
    folder.chmod(0o755)
    volumes = {volume.id for volume in engine.client.volumes.list()}
    addresses = {service: f"10.0.0.{number}" for number, service in enumerate(SERVICES, 1)}
    made = Stage(image, folder, made_objects(LabSettings(toil="off"), "admin", addresses, LISTEN))
    try:
        yield made
    finally:
        made.close()
        left = made.left()
        shutil.rmtree(folder)
    assert left == []
    assert {volume.id for volume in engine.client.volumes.list()} <= volumes


def inside(container: DockerContainer, program: str, *arguments: str) -> str:
    """What a Python program says in a running container; it must end well."""
    code, output = container.exec(["python", "-c", program, *arguments])
    assert code == 0, output.decode() + said(container)
    return output.decode().strip()


def ask(cluster: DockerContainer, *words: str) -> Any:
    """What `inside_cluster.py` says."""
    code, output = cluster.exec(["python", f"/setup/{INSIDE.name}", *words])
    assert code == 0, output.decode() + said(cluster)
    return json.loads(output)


def fetch(container: DockerContainer, *arguments: str) -> str:
    """What answers at a URL, asked from within a container, or nothing. A second word is posted."""
    code, output = container.exec(["python", "-c", FETCH, *arguments])
    return output.decode() if code == 0 else ""


def wait_for(container: DockerContainer, url: str) -> None:
    """Wait until a URL answers."""
    wrapped = container.get_wrapped_container()
    until(lambda: state(container)["Status"] == "exited" or fetch(container, url), SECONDS)
    assert state(container)["Status"] == "running", wrapped.logs().decode()


@pytest.fixture(scope="module")
def payments(stage: Stage) -> DockerContainer:
    """The shop's dependency."""
    made = stage.run(stage.of("shop", "payments"))
    wait_for(made, "http://127.0.0.1:8080/readyz")
    return made


@pytest.fixture(scope="module")
def pager(stage: Stage) -> DockerContainer:
    """The pager."""
    made = stage.run(stage.of("lab-system", "pager"))
    wait_for(made, "http://127.0.0.1:8080/readyz")
    return made


@pytest.fixture(scope="module")
def cluster(stage: Stage, image: str) -> DockerContainer:
    """A localkube with the rights and the objects of a lab, and the shop's workers, which nobody runs."""
    base = [m for m in load_manifests(data_root() / "clusters" / "base") if m["kind"] not in LEFT_OUT]
    objects = [*base, any_cluster.worker(replicas=2), *stage.added("ConfigMap", "automation-control")]
    mounts = {
        "/setup": stage.files("setup", {"objects.json": json.dumps(objects), INSIDE.name: INSIDE.read_text()})
    }
    options = ["--api-only", "--block", "7", "--data-dir", "/data/kube", "--ready-file", "/data/ready"]
    made = stage.bare(
        image, ["python", "-m", "lab.localkube", *options], alias="gateway.lab-system.svc", mounts=mounts
    )
    stage.run(made)
    until(lambda: made.exec(["test", "-e", "/data/ready"]).exit_code == 0, SECONDS)
    return made


@pytest.fixture(scope="module")
def gateway(stage: Stage, cluster: DockerContainer) -> DockerContainer:
    """The gateway, beside the API server."""
    own = stage.files("gateway-own", {"kubeconfig": json.dumps(ask(cluster, "furnish"))})
    env = {"KUBECONFIG": "/own/kubeconfig"}
    made = stage.run(stage.of("lab-system", "gateway", network_of=cluster, mounts={"/own": own}, env=env))
    wait_for(made, "http://127.0.0.1:8081/readyz")
    return made


def test_each_runs_as_its_manifest_says(stage: Stage, payments: DockerContainer) -> None:
    found = inside(payments, PROBE).splitlines()
    assert found[0] == "65532 65532 0000000000000000"
    assert found[1:] == ["Read-only file system"] * 4
    host = payments.get_wrapped_container().attrs["HostConfig"]
    assert (host["Memory"], host["Privileged"], host["CapAdd"]) == (host["MemorySwap"], False, None)


def test_an_order_goes_through_api_payments_and_database(
    engine: Engine, stage: Stage, payments: DockerContainer
) -> None:
    if not available(engine, DATABASE):
        pytest.skip(f"the engine neither has nor can pull {DATABASE}")
    stage.run(stage.of("shop", "db"))
    api = stage.run(stage.of("shop", "api"))
    wait_for(api, "http://127.0.0.1:8080/readyz")
    order = json.dumps({"customer": "c-1", "amountCents": 1250})
    placed = json.loads(until(lambda: fetch(api, "http://api.shop.svc:8080/orders", order), SECONDS))
    at = f"http://api.shop.svc:8080/orders/{placed['id']}"
    shown = json.loads(until(lambda: fetch(payments, at), SECONDS))
    assert shown["customer"] == "c-1"


def test_an_automation_is_shadowed_and_then_acts_through_the_gateway(
    stage: Stage, cluster: DockerContainer, gateway: DockerContainer, pager: DockerContainer
) -> None:
    before = until(lambda: ask(cluster, "pods"), SECONDS)
    text = stage.secret("automation", "automation-kubeconfig")["kubeconfig"]
    credentials = text.replace("https://10.0.0.4:8443", "https://gateway.lab-system.svc:8443")
    stage.replace("automation", "automation-kubeconfig", {"kubeconfig": credentials})
    stage.replace("automation", "workspace", {"automation.yaml": MANIFEST, "main.py": AUTOMATION})
    automation = stage.run(stage.of("automation", "automation"))
    until(lambda: said(automation).count("asked for the end of") > 1, SECONDS)
    assert ask(cluster, "pods") == before
    assert decisions(gateway) == {"shadowed"}
    ask(cluster, "pods", "live")
    until(lambda: ask(cluster, "pods")[0] != before[0], SECONDS)
    assert "allowed" in decisions(gateway)
    assert fetch(automation, "http://pager.lab-system.svc:8080/readyz")


def decisions(gateway: DockerContainer) -> set[str]:
    """What the gateway has decided on mutations, by its record."""
    code, output = gateway.exec(["cat", "/var/lib/gateway/audit.jsonl"])
    assert code == 0, output
    records = [json.loads(line) for line in output.decode().splitlines()]
    return {record["decision"] for record in records if record.get("verb") == "delete"}


def test_one_that_takes_more_memory_than_its_limit_is_killed(stage: Stage) -> None:
    made = stage.run(stage.of("shop", "worker", command=["python", "-c", GREEDY]))
    until(lambda: state(made)["Status"] == "exited", SECONDS)
    assert (state(made)["OOMKilled"], state(made)["ExitCode"]) == (True, 137)


def test_one_that_is_killed_serves_again_when_it_is_started_again(payments: DockerContainer) -> None:
    wrapped = payments.get_wrapped_container()
    wrapped.kill()
    until(lambda: state(payments)["Status"] == "exited", SECONDS)
    assert state(payments)["ExitCode"] == 137
    wrapped.start()
    wait_for(payments, "http://127.0.0.1:8080/readyz")


def test_one_that_is_told_to_end_ends_well(pager: DockerContainer) -> None:
    pager.get_wrapped_container().stop(timeout=30)
    assert state(pager)["ExitCode"] == 0, said(pager)
    assert "Traceback" not in said(pager)
