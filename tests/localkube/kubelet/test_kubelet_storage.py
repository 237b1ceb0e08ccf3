"""Limits of local storage: what counts, who is evicted and what for, and contents that mean harm."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from kubelet_bench import Bench, python

from lab.kube.status import StatusError
from lab.localkube.kubelet.disk import DEPTH, disk_usage
from lab.localkube.kubelet.storage import excess, storage_limits

MEBIBYTE = 1 << 20
FILL = """\
import os, signal, sys
print("writes", flush=True)
with open(os.path.join(sys.argv[1], "big"), "wb") as file:
    file.write(os.urandom(3 << 20))
signal.pause()
"""
PAUSE = python("import signal; signal.pause()")
SPOOL = {"name": "spool", "mountPath": "/spool"}


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


def filling(path: str, limit: str = "", **more: Any) -> dict[str, Any]:
    """A container that writes 3 MiB below a path; its own limit, if any."""
    limits = {"resources": {"limits": {"ephemeral-storage": limit}}} if limit else {}
    return {"command": ["python", "-c", FILL, path], **limits, **more}


def volume(limit: str | None = None, **more: str) -> list[dict[str, Any]]:
    return [{"name": "spool", "emptyDir": more if limit is None else {"sizeLimit": limit, **more}}]


@pytest.mark.parametrize(
    ("containers", "volumes", "message"),
    [
        (
            [filling("/spool", volumeMounts=[SPOOL])],
            volume("2048Ki"),
            'Usage of EmptyDir volume "spool" exceeds the limit "2Mi". ',
        ),
        (
            [filling("/spool", "1Mi", volumeMounts=[SPOOL]), {**filling(".", "1Mi"), **PAUSE}],
            volume(),
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
        ),
        (
            [filling(".", "2M"), {**filling(".", "1Gi"), **PAUSE}],
            volume(),
            'Container main exceeded its local ephemeral storage limit "2M". ',
        ),
    ],
    ids=["volume", "pod", "container"],
)
async def test_a_pod_above_a_limit_is_evicted(
    bench: Bench, containers: list[dict[str, Any]], volumes: list[dict[str, Any]], message: str
) -> None:
    bench.pod("big", *containers, volumes=volumes, terminationGracePeriodSeconds=300)
    status = (await bench.until_phase("big", "Failed"))["status"]
    assert (status["reason"], status["message"]) == ("Evicted", message)
    assert ("Evicted", message) in bench.events("big")
    assert all("terminated" in each["state"] for each in status["containerStatuses"])
    conditions = {each["type"]: (each["status"], each.get("reason")) for each in status["conditions"]}
    assert conditions["Ready"] == ("False", "PodFailed")
    worker = bench.kubelet._pod("default", "big")
    assert not any(each.process for each in worker.containers.values())
    files = worker.context.directory
    await bench.until(lambda: not (files / "volumes").exists(), what="its volumes are gone")
    worker.refresh()
    assert not (files / "volumes").exists()
    assert await bench.log("big", "main") == "writes\n"
    bench.delete("big")
    await bench.until_gone("big")
    await bench.until(lambda: not files.exists(), what="its files are gone")


async def test_who_ignores_the_signal_is_killed_and_who_stays_below_is_left_alone(bench: Bench) -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN)\n" + FILL
    stubborn = {"command": ["python", "-c", deaf, "/spool"], "volumeMounts": [SPOOL]}
    bench.pod("small", filling("/spool", volumeMounts=[SPOOL]), volumes=volume("8Mi"))
    bench.pod("deaf", stubborn, volumes=volume("2Mi"), terminationGracePeriodSeconds=300)
    await bench.until_phase("deaf", "Failed")
    assert bench.status("deaf")["state"]["terminated"]["exitCode"] == 137
    assert bench.phase("small") == "Running"
    assert not any(reason == "Evicted" for reason, _ in bench.events("small"))


async def test_a_limit_that_is_no_quantity_is_refused(bench: Bench) -> None:
    for limit in ("much", "-1Mi"):
        with pytest.raises(StatusError, match="sizeLimit"):
            bench.pod("odd", python("pass"), volumes=volume(limit))


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    named = [{"name": f"c{number}", **container} for number, container in enumerate(containers)]
    return {"spec": {"containers": named, **spec}}


def most(found: dict[str, Any]) -> list[int]:
    return [int(limit.most) for limit in storage_limits(found, Path("/pod"))]


def test_limits_of_containers_add_up_and_those_at_the_start_may_be_higher() -> None:
    both = pod(filling(".", "1Mi"), filling(".", "2Mi"))
    assert most(both) == [3 * MEBIBYTE, MEBIBYTE, 2 * MEBIBYTE]
    side = {"name": "side", "restartPolicy": "Always", **filling(".", "1Mi")}
    first = {"name": "first", **filling(".", "8Mi")}
    assert most(both | {"spec": both["spec"] | {"initContainers": [side]}})[0] == 4 * MEBIBYTE
    assert most(both | {"spec": both["spec"] | {"initContainers": [side, first]}})[0] == 9 * MEBIBYTE
    assert most(pod({}, volumes=volume())) == []
    assert most(pod({}, volumes=volume("0"))) == []


def test_memory_counts_for_its_volume_alone_and_critical_pods_are_spared() -> None:
    in_memory = pod(filling(".", "1Mi"), volumes=volume("2Mi", medium="Memory"))
    [own, whole, _] = storage_limits(in_memory, Path("/pod"))
    assert own.places == (Path("/pod/volumes/spool"),)
    assert own.places[0] not in whole.places
    for critical in ({"priority": 2_000_000_000}, {"priorityClassName": "system-node-critical"}):
        assert most(pod(filling(".", "1Mi"), **critical)) == []


def test_logs_and_folders_and_volumes_count(tmp_path: Path) -> None:
    limits = storage_limits(pod(filling(".", "3Mi"), volumes=volume()), tmp_path)
    assert excess(limits) == ""
    write(tmp_path / "logs" / "c0" / "0.log", MEBIBYTE)
    write(tmp_path / "containers" / "c0" / "tmp" / "a", MEBIBYTE)
    assert excess(limits) == ""
    write(tmp_path / "volumes" / "spool" / "a", MEBIBYTE)
    assert excess(limits).startswith("Pod ephemeral local storage usage exceeds")


def test_links_lead_nowhere_and_names_count_once(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    write(outside / "large", 4 * MEBIBYTE)
    write(inside / "a", MEBIBYTE)
    (inside / "folder").symlink_to(outside)
    (inside / "file").symlink_to(outside / "large")
    (inside / "loop").symlink_to(inside)
    os.link(inside / "a", inside / "b")
    os.mkfifo(inside / "pipe")
    with open(inside / "sparse", "wb") as file:
        file.truncate(1 << 40)
    assert MEBIBYTE <= disk_usage(inside) < 2 * MEBIBYTE
    (tmp_path / "link").symlink_to(outside)
    assert disk_usage(tmp_path / "link") == 0
    assert disk_usage(tmp_path / "missing") == 0
    assert disk_usage(inside / "a") == 0


def test_a_deep_tree_is_left_at_some_depth(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_RDONLY)
    name = "d" * 100  # longer in all than a path may be
    for _ in range(2 * DEPTH):
        os.mkdir(name, dir_fd=place)
        deeper = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)
    descriptors = psutil.Process().num_fds()
    assert disk_usage(tmp_path) < DEPTH * 64 * 1024
    assert psutil.Process().num_fds() == descriptors


def test_a_tree_that_changes_under_the_walk_neither_hurts_nor_leads_out(tmp_path: Path) -> None:
    outside, inside, aside = tmp_path / "outside", tmp_path / "inside", tmp_path / "aside"
    write(outside / "large", 8 * MEBIBYTE)
    (inside / "swapped").mkdir(parents=True)
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            os.rename(inside / "swapped", aside)
            (inside / "swapped").symlink_to(outside)
            (inside / "swapped").unlink()
            os.rename(aside, inside / "swapped")
            write(inside / "brief" / "file", 10)
            shutil.rmtree(inside / "brief")

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        assert max(disk_usage(inside) for _ in range(300)) < MEBIBYTE
    finally:
        over.set()
        churning.join()
