"""Variables, volumes and the rewriting that stands in for DNS and mounts."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from kubelet_bench import Bench, python

from lab.kube.resources import builtin
from lab.localkube.kubelet.environment import service_variables
from lab.localkube.kubelet.rewriting import expand, path_rewriter

DUMP = python("import json, os; print(json.dumps(dict(os.environ)))")
PAUSE = python("import signal; signal.pause()")


def secret(bench: Bench, name: str, **data: str) -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    bench.create("Secret", name, data=encoded, type="Opaque")


async def dumped(bench: Bench, **container: Any) -> dict[str, str]:
    """What a container finds in its environment."""
    bench.pod("dump", {**DUMP, **container}, restartPolicy="Never", metadata={"labels": {"app": "x"}})
    await bench.until_phase("dump", "Succeeded")
    return dict(json.loads(await bench.log("dump")))


async def test_all_sources_in_order(bench: Bench) -> None:
    bench.create("ConfigMap", "settings", data={"A": "map", "B": "map"})
    secret(bench, "hidden", token="s3cret")
    bench.create("Service", "db", spec={"ports": [{"name": "sql", "port": 5432}], "selector": {"app": "db"}})
    env = await dumped(
        bench,
        envFrom=[
            {"configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "absent", "optional": True}},
            {"prefix": "P_", "configMapRef": {"name": "settings"}},
        ],
        env=[
            {"name": "B", "value": "own $(A) $(NOBODY) $$(A)"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "token"}}},
            {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "x", "optional": True}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {
                "name": "MEM",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
            {"name": "URL", "value": "postgres://db.default.svc:5432/x"},
        ],
        resources={"limits": {"memory": "64Mi"}},
    )
    address = bench.registry.get(builtin("Service"), "default", "db")["spec"]["clusterIP"]
    assert env["A"] == env["P_A"] == "map"
    assert env["B"] == "own map $(NOBODY) $(A)"
    assert env["TOKEN"] == "s3cret"
    assert "GONE" not in env
    assert (env["APP"], env["NAME"], env["MEM"]) == ("x", "dump", "64")
    assert env["IP"].startswith(f"127.{bench.block}.")
    assert env["URL"] == f"postgres://{address}:5432/x"
    assert env["DB_SERVICE_HOST"] == address
    assert env["DB_SERVICE_PORT_SQL"] == "5432"
    assert env["KUBERNETES_SERVICE_HOST"] == f"127.{bench.block}.0.1"
    assert "VIRTUAL_ENV" not in env
    assert "LAB_CACHE" not in env


async def test_what_is_no_variable_is_left_out(bench: Bench) -> None:
    """binaryData is for files, service links can be turned off, and the API's own address stays."""
    raw = base64.b64encode(b"raw").decode()
    bench.create("ConfigMap", "mixed", data={"PLAIN": "text"}, binaryData={"RAW": raw})
    bench.create("Service", "db", spec={"ports": [{"port": 5432}]})
    sources = [{"configMapRef": {"name": "mixed"}}]
    bench.pod("few", {**DUMP, "envFrom": sources}, restartPolicy="Never", enableServiceLinks=False)
    await bench.until_phase("few", "Succeeded")
    env = json.loads(await bench.log("few"))
    assert env["PLAIN"] == "text"
    assert env["KUBERNETES_SERVICE_HOST"] == f"127.{bench.block}.0.1"
    assert not {"RAW", "DB_SERVICE_HOST", "DB_PORT"} & env.keys()


async def test_a_missing_reference_waits_until_it_is_there(bench: Bench) -> None:
    ref = {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "x"}}}
    bench.pod("wait", {**PAUSE, "env": [ref]})
    waiting = await bench.until(
        lambda: bench.status("wait")["state"].get("waiting", {}).get("message"), what="a message"
    )
    assert waiting == 'configmap "later" not found'
    assert bench.status("wait")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    bench.create("ConfigMap", "later", data={"x": "1"})
    await bench.until_ready("wait")


async def test_volumes_are_where_the_paths_say(bench: Bench) -> None:
    bench.create("ConfigMap", "conf", data={"a.txt": "alpha", "b.txt": "beta"})
    secret(bench, "keys", key="hidden")
    volumes = [
        {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "a.txt", "path": "sub/renamed"}]}},
        {"name": "keys", "secret": {"secretName": "keys"}},
        {
            "name": "down",
            "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
        {"name": "none", "configMap": {"name": "absent", "optional": True}},
        {"name": "data", "emptyDir": {}},
    ]
    paths = {v["name"]: f"/mnt/{v['name']}" for v in volumes}
    script = (
        "cat /mnt/conf/sub/renamed /mnt/keys/key /mnt/down/l; ls /mnt/none; echo x > /mnt/data/f; ls $D; "
        "stat -Lc %a /mnt/keys /mnt/keys/key; pwd"
    )
    container = {
        "image": "busybox",
        "command": ["sh", "-c", script],
        "env": [{"name": "D", "value": "/mnt/data"}],
        "workingDir": "/mnt/data",
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in paths.items()],
    }
    bench.pod("vols", container, volumes=volumes, restartPolicy="Never", metadata={"labels": {"k": "v"}})
    await bench.until_phase("vols", "Succeeded")
    log = await bench.log("vols")
    assert log.startswith('alphahiddenk="v"f\n700\n600\n')
    assert log.rstrip().endswith("/volumes/data")


async def test_config_map_volumes_change_while_the_pod_runs(bench: Bench) -> None:
    bench.create("ConfigMap", "live", data={"x": "1", "old": "o"})
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    bench.pod("live", {**PAUSE, **mount}, volumes=[{"name": "v", "configMap": {"name": "live"}}])
    await bench.until_ready("live")
    [directory] = (bench.directory / "kubelet" / "pods").glob("*/volumes/v")
    assert (directory / "x").read_text() == "1"
    resource = builtin("ConfigMap")
    present = bench.registry.get(resource, "default", "live")
    bench.registry.update(resource, "default", "live", {**present, "data": {"x": "2", "new": "n"}})
    assert (directory / "x").read_text() == "2"
    assert {path.name for path in directory.iterdir() if not path.name.startswith("..")} == {"x", "new"}


async def test_a_volume_waits_for_its_config_map(bench: Bench) -> None:
    bench.pod("wait", PAUSE, volumes=[{"name": "v", "configMap": {"name": "later"}}])
    await bench.until(
        lambda: (
            ("FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "later" not found')
            in bench.events("wait")
        ),
        what="the event",
    )
    assert bench.status("wait")["state"]["waiting"]["reason"] == "ContainerCreating"
    bench.create("ConfigMap", "later", data={})
    await bench.until_ready("wait")


async def test_the_service_account_token_and_kubeconfig(bench: Bench) -> None:
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = f"cat {path}/namespace; echo; cat {path}/token; echo; cat $KUBECONFIG"
    bench.pod("sa", {"image": "busybox", "command": ["sh", "-c", script]}, restartPolicy="Never")
    await bench.until_phase("sa", "Succeeded")
    namespace, token, kubeconfig = (await bench.log("sa")).split("\n", 2)
    assert (namespace, token) == ("default", "token-of-default-default-sa")
    config = json.loads(kubeconfig)
    assert config["clusters"][0]["cluster"]["server"] == f"https://127.{bench.block}.0.1:6443"
    assert Path(config["users"][0]["user"]["tokenFile"]).read_text() == token
    assert Path(config["users"][0]["user"]["tokenFile"]).stat().st_mode & 0o777 == 0o600


async def test_no_token_when_it_is_not_wanted_and_no_variable_when_it_is_set(bench: Bench) -> None:
    bench.pod("off", DUMP, restartPolicy="Never", automountServiceAccountToken=False)
    bench.pod("own", {**DUMP, "env": [{"name": "KUBECONFIG", "value": "/mine"}]}, restartPolicy="Never")
    for name in ("off", "own"):
        await bench.until_phase(name, "Succeeded")
    assert "KUBECONFIG" not in json.loads(await bench.log("off"))
    assert json.loads(await bench.log("own"))["KUBECONFIG"] == "/mine"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/etc/app", "/real/1"),
        ("--config=/etc/app/x.yaml", "--config=/real/1/x.yaml"),
        ("/etc/app2/x", "/etc/app2/x"),
        ("/srv/etc/app/x", "/srv/etc/app/x"),
        ("/etc/app/deep/y:/data", "/real/2/y:/tmp/data"),
        ("/etc/app.d", "/etc/app.d"),
        ("cat /data/f;", "cat /tmp/data/f;"),
    ],
)
def test_mounted_paths_are_rewritten_once_and_longest_first(text: str, expected: str) -> None:
    mounts = {
        "/etc/app": Path("/real/1"),
        "/etc/app/deep/": Path("/real/2"),
        "/data": Path("/tmp/data"),
        "/": Path("/x"),
    }
    assert path_rewriter(mounts)(text) == expected


def test_expansion() -> None:
    assert expand("$(A)-$(B)-$$(A)-$$-$A-$(", {"A": "1"}) == "1-$(B)-$(A)-$-$A-$("


def test_headless_services_have_no_variables() -> None:
    service = {"metadata": {"name": "x"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    assert service_variables(service) == {}
