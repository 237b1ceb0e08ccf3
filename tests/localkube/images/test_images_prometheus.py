"""The prometheus runner: configuration and arguments, and the real binary when there is one."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path

import pytest
import yaml
from images_bench import Runs, until

from lab.localkube.images.images import Images
from lab.localkube.images.launch import ContainerInput, StartError
from lab.localkube.images.prometheus import PrometheusRunner, find_prometheus

INSTALLED = os.environ.get("LAB_PROMETHEUS")
ADDRESS = f"127.98.{os.getpid() % 199 + 1}.7"
CONFIG = """
global: {scrape_interval: 1s}
rule_files: [rules.yml, /etc/prometheus/more/*.yml]
alerting:
  alertmanagers:
  - static_configs: [{targets: ["pager.lab-system.svc:8080"]}]
scrape_configs:
- job_name: pods
  kubernetes_sd_configs: [{role: pod}, {role: node, api_server: "https://x"}]
- job_name: self
  static_configs: [{targets: ["%s:9090"]}]
"""


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContainerInput:
    """A container whose configuration is mounted at the usual place."""
    binary = tmp_path / "prometheus"
    binary.write_text("")
    binary.chmod(0o755)
    monkeypatch.setenv("LAB_PROMETHEUS", str(binary))
    volume = tmp_path / "config"
    volume.mkdir()
    (volume / "prometheus.yml").write_text(CONFIG % ADDRESS)
    home = tmp_path / "home"
    home.mkdir()
    return ContainerInput(
        "prom/prometheus",
        [],
        ["--log.level=warn"],
        {},
        str(home),
        ADDRESS,
        home,
        {"/etc/prometheus": volume},
        tmp_path / "pod.kubeconfig",
        lambda text: text.replace("/etc/prometheus", str(volume)).replace(
            "pager.lab-system.svc", "127.9.200.1"
        ),
    )


def test_discovery_gets_the_kubeconfig_and_names_their_place(
    container: ContainerInput, tmp_path: Path
) -> None:
    launch = PrometheusRunner().launch(container, (), ())
    options = dict(argument.partition("=")[::2] for argument in launch.argv[1:])
    assert options["--web.listen-address"] == f"{ADDRESS}:9090"
    assert options["--storage.tsdb.path"] == str(container.directory / "data")
    assert options["--log.level"] == "warn"
    config = yaml.safe_load(Path(options["--config.file"]).read_text())
    volume = tmp_path / "config"
    assert config["rule_files"] == [str(volume / "rules.yml"), str(volume / "more/*.yml")]
    pods, elsewhere = config["scrape_configs"][0]["kubernetes_sd_configs"]
    assert pods == {"role": "pod", "kubeconfig_file": str(tmp_path / "pod.kubeconfig")}
    assert "kubeconfig_file" not in elsewhere
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["127.9.200.1:8080"]


@pytest.mark.parametrize("given", [":9999", "0.0.0.0:9999"])
def test_an_address_of_all_interfaces_becomes_the_pods(container: ContainerInput, given: str) -> None:
    other = ContainerInput(
        **{f: getattr(container, f) for f in container.__slots__}
        | {"args": [f"--web.listen-address={given}"]}
    )
    assert f"--web.listen-address={ADDRESS}:9999" in PrometheusRunner().launch(other, (), ()).argv


def test_a_missing_configuration_is_a_start_error(container: ContainerInput) -> None:
    (container.mounts["/etc/prometheus"] / "prometheus.yml").unlink()
    with pytest.raises(StartError, match=r"cannot read --config\.file"):
        PrometheusRunner().launch(container, (), ())


def test_without_a_binary_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAB_PROMETHEUS", "/nowhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    with pytest.raises(StartError, match="run `lab setup`"):
        find_prometheus()


async def test_the_real_binary_starts_and_is_ready(
    container: ContainerInput, images: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LAB_PROMETHEUS")
    if INSTALLED:
        monkeypatch.setenv("LAB_PROMETHEUS", INSTALLED)
    try:
        find_prometheus()
    except StartError as error:
        pytest.skip(str(error))
    (container.mounts["/etc/prometheus"] / "prometheus.yml").write_text(
        "scrape_configs:\n- job_name: self\n  scrape_interval: 1s\n"
        f"  static_configs: [{{targets: ['{ADDRESS}:9090']}}]\n"
    )
    runs = Runs(images.launcher, tmp_path)
    process, output = await runs.start(PrometheusRunner().launch(container, (), ()))

    def up() -> bool:
        assert process.exit_code is None, output.read_text()
        try:
            with urllib.request.urlopen(f"http://{ADDRESS}:9090/api/v1/query?query=up") as answer:
                return bool(json.load(answer)["data"]["result"])
        except OSError:
            return False

    await until(up, "Prometheus scrapes itself", seconds=20)
    process.signal(15)
    assert await process.wait() == 0
