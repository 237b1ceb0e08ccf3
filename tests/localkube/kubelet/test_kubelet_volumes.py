"""Volumes in detail: types of host paths, subPath, tokens, changes in a running pod, what may not leave."""

from __future__ import annotations

import base64
import socket
from pathlib import Path
from typing import Any

import pytest
from kubelet_bench import Bench, python

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.kubelet.atomic import File, write_directory
from lab.localkube.kubelet.places import mounted, prepare_host_path
from lab.localkube.kubelet.podfields import MissingReference

PAUSE = python("import signal; signal.pause()")


def shell(script: str, **fields: Any) -> dict[str, Any]:
    return {"image": "busybox", "command": ["sh", "-c", script], **fields}


def test_host_paths_are_what_their_type_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, made = tmp_path / "file", tmp_path / "made" / "deep"
    prepare_host_path({"path": str(file), "type": "FileOrCreate"})
    prepare_host_path({"path": str(made), "type": "DirectoryOrCreate"})
    assert file.is_file()
    assert made.is_dir()
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's name has to be short
        listener.bind("listener")
    for path, kind in ((file, "File"), (made, "Directory"), (tmp_path / "listener", "Socket")):
        prepare_host_path({"path": str(path), "type": kind})
    prepare_host_path({"path": "/dev/null", "type": "CharDevice"})
    prepare_host_path({"path": str(tmp_path / "absent"), "type": ""})
    for path, kind, name in (
        (file, "Directory", "a directory"),
        (made, "File", "a file"),
        (file, "Socket", "a socket file"),
        (file, "CharDevice", "a character device"),
        (tmp_path / "absent", "BlockDevice", "a block device"),
    ):
        with pytest.raises(MissingReference) as refused:
            prepare_host_path({"path": str(path), "type": kind})
        assert str(refused.value) == f"hostPath type check failed: {path} is not {name}"
    with pytest.raises(MissingReference, match=r"must not contain '\.\.'"):
        prepare_host_path({"path": f"{tmp_path}/../x", "type": "DirectoryOrCreate"})


def test_a_sub_path_stays_in_its_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "inner").mkdir()
    (volume / "fine").symlink_to("inner")
    (volume / "out").symlink_to(tmp_path)
    env = {"POD": "web-0", "EMPTY": ""}

    def at(**mount: str) -> Path:
        return mounted(volume, {"name": "d", **mount}, "main", env)

    assert at() == volume
    assert at(subPath="a/b").is_dir()
    assert at(subPath="fine") == volume / "fine"
    assert at(subPathExpr="logs/$(POD)") == volume / "logs" / "web-0"
    with pytest.raises(MissingReference, match="missing value for EMPTY, NONE"):
        at(subPathExpr="$(NONE)/$(EMPTY)")
    with pytest.raises(MissingReference) as refused:
        at(subPath="out/x")
    assert str(refused.value) == 'failed to prepare subPath for volumeMount "d" of container "main"'
    assert not (tmp_path / "x").exists()
    with pytest.raises(MissingReference, match=r"unable to provision SubPath `\.\./x`: must not contain"):
        at(subPath="../x")
    with pytest.raises(MissingReference, match="must not be an absolute path"):
        at(subPath="/etc")


def test_a_directory_changes_at_once_and_keeps_what_others_left(tmp_path: Path) -> None:
    directory = tmp_path / "v"
    write_directory(directory, {"a": File(b"1"), "sub/b": File(b"2", 0o400)})
    before = (directory / "..data").resolve()
    (directory / "own").mkdir()
    assert not write_directory(directory, {"a": File(b"1"), "sub/b": File(b"2", 0o400)})
    assert write_directory(directory, {"c": File(b"3")})
    assert not before.exists()
    assert {path.name for path in directory.iterdir() if not path.name.startswith("..")} == {"c", "own"}


REFUSED: list[tuple[dict[str, Any], dict[str, str], str]] = [
    (
        {"emptyDir": {}},
        {"subPath": "../x"},
        "volumeMounts.subPath: Invalid value: \"../x\": must not contain '..'",
    ),
    ({"emptyDir": {}}, {"subPath": "/x"}, 'subPath: Invalid value: "/x": must be a relative path'),
    (
        {"hostPath": {"path": "/a/../b"}},
        {},
        "hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
    ),
    (
        {"configMap": {"name": "c", "items": [{"key": "k", "path": "../../etc/passwd"}]}},
        {},
        "configMap.items[0].path: Invalid value: \"../../etc/passwd\": must not contain '..'",
    ),
    (
        {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]}},
        {},
        "expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
    ),
    (
        {"secret": {"secretName": "s", "defaultMode": 0o1000}},
        {},
        "secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
    ),
]


async def test_paths_that_leave_are_refused_by_the_api(bench: Bench) -> None:
    for volume, mount, said in REFUSED:
        mounts = [{"name": "d", "mountPath": "/d", **mount}]
        with pytest.raises(StatusError) as refused:
            bench.pod("out", {**PAUSE, "volumeMounts": mounts}, volumes=[{"name": "d", **volume}])
        assert refused.value.code == 422
        assert said in refused.value.message


async def test_a_link_that_leads_out_of_a_volume_is_no_sub_path(bench: Bench) -> None:
    escape = shell("ln -s / /d/out", volumeMounts=[{"name": "d", "mountPath": "/d"}])
    main = {**PAUSE, "volumeMounts": [{"name": "d", "mountPath": "/d", "subPath": "out/etc"}]}
    bench.pod("out", main, initContainers=[{"name": "i", **escape}], volumes=[{"name": "d", "emptyDir": {}}])
    waiting = await bench.until(
        lambda: (
            bench.status("out")["state"].get("waiting", {}).get("message")
            if bench.status("out")["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"
            else ""
        ),
        what="the refusal",
    )
    assert waiting == 'failed to prepare subPath for volumeMount "d" of container "main"'


async def test_all_kinds_of_files_with_their_modes(bench: Bench) -> None:
    bench.create(
        "ConfigMap", "c", data={"text": "t"}, binaryData={"raw": base64.b64encode(b"\0\xff").decode()}
    )
    bench.create("Secret", "s", data={"key": base64.b64encode(b"hidden").decode()}, type="Opaque")
    sources = [
        {"configMap": {"name": "c", "items": [{"key": "raw", "path": "in/raw", "mode": 0o440}]}},
        {"secret": {"name": "s"}},
        {"secret": {"name": "absent", "optional": True}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 600}},
    ]
    script = (
        "cd /all; cat key name vault; echo; od -An -tx1 in/raw; stat -Lc '%a %n' in/raw key name vault; "
        "cat /one; echo; cat /each/pod-all/f"
    )
    container = shell(
        script,
        env=[{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        volumeMounts=[
            {"name": "all", "mountPath": "/all"},
            {"name": "c", "mountPath": "/one", "subPath": "text"},
            {"name": "d", "mountPath": "/each"},
            {"name": "d", "mountPath": "/mine", "subPathExpr": "pod-$(POD)"},
        ],
    )
    container["command"][-1] = "echo x > /mine/f; " + script
    volumes = [
        {"name": "all", "projected": {"sources": sources, "defaultMode": 0o400}},
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "d", "emptyDir": {}},
    ]
    bench.pod("all", container, volumes=volumes, restartPolicy="Never")
    await bench.until_phase("all", "Succeeded")
    assert (await bench.log("all")).splitlines() == [
        "hiddenalltoken-of-default-default-all-vault-600",
        " 00 ff",
        *("440 in/raw", "400 key", "400 name", "600 vault"),
        "t",
        "x",
    ]


async def test_labels_and_tokens_are_renewed_while_the_pod_runs(bench: Bench) -> None:
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    volumes = [{"name": "v", "downwardAPI": {"items": items}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    bench.pod("live", {**PAUSE, "volumeMounts": mounts}, volumes=volumes, metadata={"labels": {"a": "1"}})
    await bench.until_ready("live")
    [file] = (bench.directory / "kubelet" / "pods").glob("*/volumes/v/labels")
    assert file.read_text() == 'a="1"'
    change = {"metadata": {"labels": {"a": "2"}}}
    bench.registry.patch(builtin("Pod"), "default", "live", change, "application/merge-patch+json")
    await bench.until(lambda: file.read_text() == 'a="2"', what="the label in the file")
    issued = bench.tokens_issued
    bench.kubelet._pod("default", "live").refresh(renew_token=True)
    assert bench.tokens_issued > issued


async def test_a_host_path_of_another_type_is_not_mounted(bench: Bench) -> None:
    bench.pod("host", PAUSE, volumes=[{"name": "h", "hostPath": {"path": "/etc", "type": "File"}}])
    text = 'MountVolume.SetUp failed for volume "h" : hostPath type check failed: /etc is not a file'
    await bench.until(lambda: ("FailedMount", text) in bench.events("host"), what="the event")
