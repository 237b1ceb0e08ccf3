"""The `prom/prometheus` image: the binary of this machine, with its configuration adapted.

A pod on the local provider has no in-cluster files at their fixed place, so every `kubernetes_sd_configs`
entry without an address gets the pod's kubeconfig; host names and mounted paths are rewritten as everywhere.
The adapted copy is made at start: a changed ConfigMap needs a restart of the pod.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.core.places import cache_home
from lab.localkube.images.launch import ContainerInput, Launch, StartError
from lab.localkube.images.programs import base_environment

PORT = 9090
_CONFIG = "--config.file"
_STORAGE = "--storage.tsdb.path"
_LISTEN = "--web.listen-address"


def find_prometheus() -> Path:
    """The binary: LAB_PROMETHEUS, then PATH, then the lab's cache. Raises StartError."""
    named = os.environ.get("LAB_PROMETHEUS")
    candidates = [named, shutil.which("prometheus"), str(cache_home() / "prometheus" / "prometheus")]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return Path(candidate)
    raise StartError("Prometheus is not installed: run `lab setup`, or set LAB_PROMETHEUS to its binary")


class PrometheusRunner:
    """Executes Prometheus on the pod's address."""

    def launch(self, container: ContainerInput, entrypoint: Sequence[str], cmd: Sequence[str]) -> Launch:
        binary = find_prometheus()
        given = [*container.command, *container.args]
        if given and not given[0].startswith("-"):
            if given[0].rpartition("/")[2] != "prometheus":
                return Launch(tuple(given), base_environment(container) | dict(container.env), container.cwd)
            given = given[1:]
        options, rest = _split(given)
        options[_CONFIG] = str(self._adapt(container, options.get(_CONFIG)))
        storage = options.get(_STORAGE) or str(
            container.locate("/prometheus") or container.directory / "data"
        )
        options[_STORAGE] = storage
        host, _, port = options.get(_LISTEN, "").rpartition(":")
        if host in ("", "0.0.0.0", "[::]"):
            options[_LISTEN] = f"{container.pod_ip}:{port or PORT}"
        argv = (str(binary), *(f"{key}={value}" for key, value in options.items()), *rest)
        return Launch(argv, base_environment(container) | dict(container.env), container.cwd)

    def _adapt(self, container: ContainerInput, named: str | None) -> Path:
        default = "/etc/prometheus/prometheus.yml"
        source = Path(named) if named else container.locate(default) or Path(default)
        source = Path(container.cwd) / source
        try:
            config = yaml.safe_load(container.rewrite(source.read_text(encoding="utf-8"))) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise StartError(f"cannot read {_CONFIG} {source}: {error}") from error
        if not isinstance(config, dict):
            raise StartError(f"{source} is no Prometheus configuration")
        adapt_config(config, source.parent, container.kubeconfig)
        target = container.directory / "prometheus.yml"
        target.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        target.chmod(0o600)
        return target


def adapt_config(config: dict[str, Any], base: Path, kubeconfig: Path | None) -> None:
    """Give service discovery its kubeconfig, and make relative file names those of the original place."""
    for key in ("rule_files", "scrape_config_files"):
        if isinstance(config.get(key), list):
            config[key] = [str(base / str(name)) for name in config[key]]
    alerting = config.get("alerting") or {}
    groups = [*(config.get("scrape_configs") or ()), *(alerting.get("alertmanagers") or ())]
    for group in groups:
        for discovery in (isinstance(group, dict) and group.get("kubernetes_sd_configs")) or ():
            if kubeconfig and not discovery.get("api_server") and not discovery.get("kubeconfig_file"):
                discovery["kubeconfig_file"] = str(kubeconfig)


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The three options that matter here, written as `--x=y` or `--x y`, and all other arguments."""
    known: dict[str, str] = {}
    rest = []
    pending = iter(arguments)
    for argument in pending:
        key, equals, value = argument.partition("=")
        if key in (_CONFIG, _STORAGE, _LISTEN):
            known[key] = value if equals else next(pending, "")
        else:
            rest.append(argument)
    return known, rest
